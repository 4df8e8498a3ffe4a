internal import HTTP
internal import JSON

/// Objects that are deleted to be made anew, each in a Secret from before its deletion until it is there again: whoever is
/// killed in between loses nothing.
struct KeptObjects: Sendable {
    /// One of them.
    struct Kept: Equatable, Sendable {
        /// The Secret's name.
        let secret: String
        let kind: WorkloadKind
        let name: String
        /// The one that was to be deleted.
        let uid: String
        /// By which it is made anew.
        let manifest: JSON
        /// Who does it.
        let lease: Lease?

        var workload: String { "\(kind.rawValue)/\(name)" }
    }

    private static let label = "loopd.dev/recreates"
    private static let uid = "loopd.dev/uid"
    private static let key = "object.json"
    let client: KubeClient
    let namespace: String

    /// The name of the Secret of an object, which fits into 253 characters.
    static func secretName(_ kind: WorkloadKind, _ name: String) -> String {
        let full = "loopd-recreate-\(kind.rawValue)-\(name)"
        if full.utf8.count <= 253 { return full }
        return "loopd-recreate-\(kind.rawValue)-\(SHA256Digest(of: Array(name.utf8)).hex)"
    }

    /// Keeps an object.
    ///
    /// Throws `LoopFailure` where that is refused.
    func keep(_ manifest: JSON, _ kind: WorkloadKind, _ name: String, uid: String) async throws {
        let secret = KeptObjects.secretName(kind, name)
        let now = Timestamp.now().seconds
        let object: JSON = [
            "apiVersion": "v1", "kind": "Secret",
            "metadata": [
                "name": .string(secret),
                "labels": [KeptObjects.label: .string(kind.rawValue), "app.kubernetes.io/managed-by": "loopd"],
                "annotations": [
                    KeptObjects.uid: .string(uid),
                    Lease.annotation: .string(Lease.mine(session: "recreation", now: now).text),
                ],
            ],
            "type": "Opaque", "data": [KeptObjects.key: .string(HTTP.Base64.encode(manifest.bytes))],
        ]
        do {
            _ = try await client.apply(
                .secrets, secret, namespace: namespace, object, manager: FieldManagers.own, force: true)
        } catch let error as KubeError where (400..<500).contains(error.code) && error.code != 401 && !error.isConflict
        {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(kind.rawValue)/\(name) was not deleted: it cannot be kept in secret/\(secret) meanwhile",
                    details: [error.message],
                    nextStep:
                        "allow Secrets in namespace \(namespace): without it, it would be lost if loopd were killed"))
        }
    }

    /// Every object that is kept.
    func all() async throws -> [Kept] {
        try await client.list(.init(.secrets, namespace: namespace, labels: KeptObjects.label)).items.compactMap(
            KeptObjects.kept)
    }

    /// The object of that name, where it is kept.
    func find(_ kind: WorkloadKind, _ name: String) async throws -> Kept? {
        do {
            let secret = KeptObjects.secretName(kind, name)
            return KeptObjects.kept(try await client.get(.secrets, secret, namespace: namespace))
        } catch let error as KubeError where error.isNotFound || error.isForbidden {
            // Who may not keep anything there has kept nothing.
            return nil
        }
    }

    static func kept(_ secret: JSON) -> Kept? {
        let metadata = secret["metadata"] ?? .null
        guard let kind = metadata.strings("labels")[label].flatMap(WorkloadKind.init),
            let text = secret["data"]?[key]?.string, let bytes = HTTP.Base64.decode(text),
            let manifest = try? JSON(parsing: bytes), let name = manifest.at("metadata", "name")?.string
        else { return nil }
        return Kept(
            secret: metadata["name"]?.string ?? "", kind: kind, name: name,
            uid: metadata.strings("annotations")[uid] ?? "", manifest: manifest, lease: Lease(of: secret))
    }

    /// Leaves an object to whoever comes next.
    func leave(_ secret: String) async throws {
        _ = try await client.patch(
            .secrets, secret, namespace: namespace, as: .merge, ["metadata": ["annotations": [Lease.annotation: nil]]])
    }

    /// Forgets an object that is there again.
    func forget(_ secret: String) async throws {
        do {
            try await client.delete(.secrets, secret, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {
            return
        }
    }
}
