internal import HTTP
internal import JSON

extension APIServer {
    /// Answers a TokenRequest with a token that says what a real cluster's does.
    ///
    /// The playground asks nobody who they are, so that there is nothing to sign it for: a JWT without a signature.
    func token(_ request: APIRequest, body: [UInt8]) throws -> APIResponse {
        let namespace = request.namespace ?? ""
        let name = request.name ?? ""
        guard let account = store.get(.serviceAccount, namespace, name) else {
            throw StatusError.notFound(.serviceAccount, name)
        }
        let (asked, _) = try RequestBody.read(body, contentType: request.headers["Content-Type"])
        let spec = asked["spec"] ?? [:]
        let seconds = spec["expirationSeconds"]?.integer ?? 3600
        guard (600...(1 << 32)).contains(seconds) else {
            throw TokenFormat.invalid(
                .invalid(
                    "spec.expirationSeconds", .integer(seconds),
                    seconds < 600
                        ? "may not specify a duration less than 10 minutes"
                        : "may not specify a duration larger than 2^32 seconds"))
        }
        let pod = try boundPod(spec["boundObjectRef"], account: name, namespace)
        let given = (spec["audiences"]?.array ?? []).compactMap(\.string)
        let audiences = JSON.array((given.isEmpty ? [TokenFormat.issuer] : given).map { .string($0) })
        let now = Timestamp.now
        var answer: JSON = ["audiences": audiences, "expirationSeconds": .integer(seconds)]
        answer["boundObjectRef"] = spec["boundObjectRef"] ?? .null
        var place: JSON = ["namespace": .string(namespace)]
        if let pod {
            place["pod"] = ["name": pod.at("metadata", "name") ?? "", "uid": pod.at("metadata", "uid") ?? ""]
        }
        place["serviceaccount"] = ["name": .string(name), "uid": account.at("metadata", "uid") ?? ""]
        let claims: JSON = [
            "aud": audiences, "exp": .integer(Int64(now.seconds) + seconds), "iat": .integer(Int64(now.seconds)),
            "iss": .string(TokenFormat.issuer), "jti": .string(Identifier.random(bytes: 16)), "kubernetes.io": place,
            "nbf": .integer(Int64(now.seconds)), "sub": .string("system:serviceaccount:\(namespace):\(name)"),
        ]
        let token = [["alg": "none", "typ": "JWT"], claims].map(TokenFormat.encoded).joined(separator: ".")
        return APIResponse(
            status: 201,
            body: [
                "kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1",
                "metadata": [
                    "name": .string(name), "namespace": .string(namespace),
                    "creationTimestamp": .string(now.description),
                ],
                "spec": answer,
                "status": [
                    "token": .string("\(token)."),
                    "expirationTimestamp": .string(Timestamp(seconds: now.seconds + Int(seconds)).description),
                ],
            ])
    }

    /// The pod that a token ends with; `nil` where it ends with none.
    private func boundPod(_ reference: JSON?, account: String, _ namespace: String) throws -> JSON? {
        guard let reference, !reference.isNull else { return nil }
        let kind = reference["kind"]?.string ?? ""
        let name = reference["name"]?.string ?? ""
        guard kind == "Pod" else {
            throw StatusError.badRequest(
                "cannot bind token to object of type \(kind): the playground binds to pods only")
        }
        guard let pod = store.get(.pod, namespace, name) else { throw StatusError.notFound(.pod, name) }
        let uid = pod.at("metadata", "uid")?.string ?? ""
        if let wanted = reference["uid"]?.string, !wanted.isEmpty, wanted != uid {
            throw StatusError.conflict(
                .pod, name,
                "the UID in the bound object reference (\(wanted)) does not match the UID in record. "
                    + "The object might have been deleted and then recreated")
        }
        guard pod.at("spec", "serviceAccountName")?.string ?? "default" == account else {
            throw StatusError.badRequest(
                "cannot bind token for serviceaccount \"\(account)\" to pod running with different serviceaccount name."
            )
        }
        return pod
    }
}

/// What belongs to tokens alone.
private enum TokenFormat {
    static let issuer = "https://kubernetes.default.svc.cluster.local"

    static func invalid(_ cause: FieldError) -> StatusError {
        StatusError(
            code: 422, reason: "Invalid", message: "TokenRequest.authentication.k8s.io \"\" is invalid: \(cause)",
            details: ["group": "authentication.k8s.io", "kind": "TokenRequest", "causes": [cause.cause]])
    }

    /// As a part of a JWT: Base64 for URLs, without padding.
    static func encoded(_ part: JSON) -> String {
        HTTP.Base64.encode(part.bytes).replacing("+", with: "-").replacing("/", with: "_").filter { $0 != "=" }
    }
}
