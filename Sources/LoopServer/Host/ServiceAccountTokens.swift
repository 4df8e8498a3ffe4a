internal import JSON

/// Tokens of a pod's service account, by the TokenRequest API: they end with the pod, or after an hour.
struct ServiceAccountTokens: Sendable {
    /// A token, and how long it is good from the moment that it was asked for.
    struct Token: Equatable, Sendable {
        let text: String
        let life: Duration
    }

    /// How long a token is asked for; a cluster may give another time.
    private static let life: Int64 = 3600

    let client: KubeClient
    let namespace: String
    let account: String
    let pod: JSON

    init(_ client: KubeClient, _ references: PodReferences) {
        self.client = client
        (namespace, account, pod) = (references.namespace, references.serviceAccount, references.pod)
    }

    /// Asks for a token.
    ///
    /// Throws `LoopFailure` where that is not allowed, or there is no such account.
    func request(_ wish: TokenWish) async throws -> Token {
        var spec: JSON = ["expirationSeconds": .integer(ServiceAccountTokens.life)]
        spec["audiences"] = wish.audience.map { [.string($0)] }
        let metadata = pod["metadata"] ?? .null
        if let name = metadata["name"], let uid = metadata["uid"] {
            spec["boundObjectRef"] = ["kind": "Pod", "apiVersion": "v1", "name": name, "uid": uid]
        }
        let asked = Timestamp.now()
        do {
            let answer = try await client.requestToken(of: account, namespace: namespace, spec)
            guard let text = answer.at("status", "token")?.string, !text.isEmpty else {
                throw failure("the cluster has answered without one", "set \"identity\": \"user\"")
            }
            let end = answer.at("status", "expirationTimestamp")?.string.flatMap { Timestamp(rfc3339: $0) }
            // A clock here that is wrong makes no token old at once.
            let seconds = end.map { $0.seconds - asked.seconds } ?? ServiceAccountTokens.life
            return Token(
                text: text, life: .seconds((60...86_400).contains(seconds) ? seconds : ServiceAccountTokens.life))
        } catch let error as KubeError where error.isForbidden {
            throw failure(
                error.message,
                "get the right to `create` serviceaccounts/token in namespace \(namespace), "
                    + "or set \"identity\": \"user\""
            )
        } catch let error as KubeError where error.isNotFound {
            throw failure(error.message, "make the service account, or set \"identity\": \"user\"")
        }
    }

    private func failure(_ answer: String, _ nextStep: String) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "no token of service account \"\(account)\" in namespace \(namespace): \(answer)", nextStep: nextStep))
    }
}
