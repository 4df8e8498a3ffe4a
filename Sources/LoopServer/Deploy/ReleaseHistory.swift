internal import HTTP
internal import JSON
internal import Reactor

/// The sets of manifests that were applied last for a service, each in a Secret: there may be Secrets in them.
///
/// A set is kept before it is applied: the newest one is what was wanted last, also where the cluster has refused a part.
struct ReleaseHistory: Sendable {
    /// One set that was applied.
    struct Release: Equatable, Sendable {
        let number: Int
        let objects: [JSON]
        /// When, in the API's own form.
        let created: String

        /// The same as a moment.
        var time: Timestamp? { Timestamp(rfc3339: created) }
    }

    /// How many sets are kept.
    static let count = 5
    /// What a Secret may hold, with room for what the cluster adds: 1 MiB.
    private static let limit = 900_000
    private static let number = "loopd.dev/release"
    /// What selects every set of every service.
    static let everySet = "app.kubernetes.io/managed-by=loopd,\(number)"
    private static let key = "manifests"

    private let client: KubeClient
    private let service: String
    private let project: String
    private let namespace: String

    /// The history of a service.
    init(_ client: KubeClient, service: String, of project: String, namespace: String) {
        self.client = client
        self.service = service
        self.project = project
        self.namespace = namespace
    }

    private var selector: String { "app.kubernetes.io/managed-by=loopd,loopd.dev/service=\(service),\(Self.number)" }

    /// The Secret of a number.
    static func name(of service: String, _ number: Int) -> String { "loopd-release-\(service).\(number)" }

    /// The sets, the newest first; what cannot be read is left out.
    func releases() async throws -> [Release] {
        try await secrets().compactMap { secret in
            guard let number = Self.number(of: secret), let text = secret.at("data", Self.key)?.string,
                let bytes = Base64.decode(text), let objects = try? JSON(parsing: bytes).array
            else { return nil }
            return Release(
                number: number, objects: objects, created: secret.at("metadata", "creationTimestamp")?.string ?? "")
        }
    }

    private func secrets() async throws -> [JSON] {
        let list = try await client.list(.init(.secrets, namespace: namespace, labels: selector))
        for secret in list.items { try ProjectLabel.check(secret, of: service, in: project) }
        return list.items.sorted { Self.number(of: $0) ?? 0 > Self.number(of: $1) ?? 0 }
    }

    private static func number(of secret: JSON) -> Int? {
        secret["metadata"]?.strings("labels")[number].flatMap { Int($0) }
    }

    /// Keeps a set that is to be applied, unless the newest one is the same, and lets go of the oldest.
    ///
    /// Returns what a person should know where it cannot be kept.
    func keep(_ objects: [JSON]) async -> String? {
        do {
            let known = try await secrets()
            let bytes = JSON.array(objects).bytes
            let text = Base64.encode(bytes)
            if let newest = known.first, newest.at("data", Self.key)?.string == text { return nil }
            guard bytes.count <= Self.limit else {
                return "this set is too large to be kept: `loopd rollback` cannot come back to it"
            }
            let number = (known.first.flatMap(Self.number) ?? 0) + 1
            _ = try await client.create(.secrets, namespace: namespace, secret(number, text))
            for old in known.dropFirst(Self.count - 1) { try await delete(old) }
            return nil
        } catch {
            return Task.isCancelled ? nil : "this set cannot be kept, `loopd rollback` cannot come back to it: \(error)"
        }
    }

    /// Deletes every set.
    func forget() async throws {
        do {
            for secret in try await secrets() { try await delete(secret) }
        } catch let error as KubeError where error.isForbidden {
            // Who may not list them has kept none.
        }
    }

    private func delete(_ secret: JSON) async throws {
        do {
            try await client.delete(.secrets, secret.at("metadata", "name")?.string ?? "", namespace: namespace)
        } catch let error as KubeError where error.isNotFound {}
    }

    private func secret(_ number: Int, _ text: String) -> JSON {
        [
            "apiVersion": "v1", "kind": "Secret", "type": "loopd.dev/release", "immutable": true,
            "metadata": [
                "name": .string(Self.name(of: service, number)), "namespace": .string(namespace),
                "labels": [
                    "app.kubernetes.io/managed-by": "loopd", "loopd.dev/service": .string(service),
                    ProjectLabel.key: .string(project),
                    Self.number: .string("\(number)"),
                ],
            ],
            "data": [Self.key: .string(text)],
        ]
    }
}
