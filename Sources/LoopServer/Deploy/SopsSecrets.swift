internal import JSON
internal import Reactor

/// SopsSecrets that a deployment changes: an operator makes Secrets of them, whose readers then start again.
///
/// What is in them is encrypted, and applied as it is; loopd neither decrypts nor shows anything.
struct SopsSecrets: Sendable {
    /// One that changes.
    private struct Changed: Sendable {
        let reference: ObjectReference
        let resource: KubeResource
        /// The names of the Secrets that are made of it.
        let secrets: Set<String>
        /// What its operator had said before.
        let message: String?
    }

    private let client: KubeClient
    private let changed: [Changed]
    /// The versions of the Secrets before anything was applied, by namespace and name.
    private let before: [String: [String: String]]
    private let limit: Duration

    /// Those that a plan is about to change, as the cluster has them now; `nil` where there are none.
    init?(_ plan: ManifestApply.Plan, _ client: KubeClient, limit: Duration = .seconds(30)) async {
        let items = plan.items.filter { $0.reference.kind == "SopsSecret" && !$0.isUnchanged }
        guard !items.isEmpty else { return nil }
        var changed: [Changed] = []
        var before: [String: [String: String]] = [:]
        for item in items {
            let reference = item.reference
            guard let namespace = reference.namespace else { continue }
            let parts = reference.apiVersion.split(separator: "/").map(String.init)
            let resource = KubeResource(group: parts.first ?? "", version: parts.last ?? "", plural: "sopssecrets")
            let live = try? await client.get(resource, reference.name, namespace: namespace)
            changed.append(
                Changed(
                    reference: reference, resource: resource, secrets: SopsSecrets.secrets(of: item.object),
                    message: live?.at("status", "message")?.string))
            if before[namespace] == nil {
                before[namespace] = SopsSecrets.versions(
                    of: (try? await client.list(.init(.secrets, namespace: namespace)))?.items ?? [])
            }
        }
        self.client = client
        self.changed = changed
        self.before = before
        self.limit = limit
    }

    /// The names of the Secrets that an operator makes of a SopsSecret.
    static func secrets(of object: JSON) -> Set<String> {
        let templates = ["secretTemplates", "secret_templates"].flatMap { object.at("spec", $0)?.array ?? [] }
        return Set(templates.compactMap { $0["name"]?.string })
    }

    private static func versions(of secrets: [JSON]) -> [String: String] {
        Dictionary(
            secrets.compactMap { secret in
                secret.at("metadata", "name")?.string.map {
                    ($0, secret.at("metadata", "resourceVersion")?.string ?? "")
                }
            }, uniquingKeysWith: { first, _ in first })
    }

    // MARK: After it was applied

    /// Waits for the Secrets, starts their readers again, and follows those; false when that has failed, which is told.
    func settle(_ emit: @escaping @Sendable (LoopEvent.Kind) -> Void) async -> Bool {
        let isWhole = await DeployAttempt.run(emit) {
            let started = monotonicNow()
            var restarted: [ObjectReference] = []
            for one in changed {
                let fresh = try await untilMade(one, emit)
                restarted += try await restartReaders(
                    of: fresh, in: one.reference.namespace ?? "", but: restarted, emit)
            }
            guard !restarted.isEmpty else { return true }
            return await RolloutFollower.follow(restarted, since: started, client, { RegistryClues() }, emit)
        }
        return isWhole ?? Task.isCancelled
    }

    /// How long no further Secret may change before all are taken to have changed: an operator writes one after the other.
    private static let quiet = Duration.seconds(1)

    /// Waits until the Secrets of one are there and changed; returns those that were there before and are others now.
    private func untilMade(
        _ one: Changed, _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) async throws -> Set<String> {
        let namespace = one.reference.namespace ?? ""
        let old = before[namespace] ?? [:]
        let made = SecretsMade(one.secrets, old: old, message: one.message)
        let secrets = ResourceWatch(client, .init(.secrets, namespace: namespace))
        let itself = ResourceWatch(
            client, .init(one.resource, namespace: namespace, fields: "metadata.name=\(one.reference.name)"))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await secrets.run() }
            group.addTask { await itself.run() }
            group.addTask {
                while let change = await itself.next() { await made.take(operator: change) }
            }
            group.addTask {
                while let change = await secrets.next() { await made.take(secrets: change) }
            }
            group.addTask { await made.untilDecided(within: limit, quiet: SopsSecrets.quiet) }
            // Only the last one ends by itself.
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
        let names = one.secrets.sorted().map { "secret/\($0)" }.joined(separator: ", ")
        switch await made.result {
        case .made(let fresh): return fresh
        case .same:
            emit(.notice("\(one.reference) has changed, and \(names) has not: nothing is restarted"))
            return []
        case .failed(let message):
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(one.reference): its operator says \"\(message)\": \(names) is not up to date",
                    nextStep: "`kubectl describe sopssecret \(one.reference.name) -n \(namespace)` tells more"))
        case .missing(let missing, let message):
            let missing = missing.sorted().map { "secret/\($0)" }.joined(separator: ", ")
            let said = message.map { "its operator says \"\($0)\"" } ?? "no operator has said anything of it"
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(one.reference): \(missing) was not made within \(limit.components.seconds) s; \(said)",
                    nextStep: "see that the SopsSecret operator runs and has the key"))
        case .unknown(let reason):
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(one.reference): the cluster does not say what has become of \(names)"
                        + (reason.isEmpty ? "" : ": \(reason)"),
                    nextStep: "`kubectl describe sopssecret \(one.reference.name) -n \(namespace)` tells more"))
        }
    }

    private func restartReaders(
        of secrets: Set<String>, in namespace: String, but known: [ObjectReference],
        _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) async throws -> [ObjectReference] {
        guard !secrets.isEmpty else { return [] }
        var restarted: [ObjectReference] = []
        for kind in WorkloadKind.rolling {
            let all = try await client.list(.init(kind.resource, namespace: namespace)).items
            for workload in SecretConsumers.workloads(among: all, reading: secrets) {
                let name = workload.at("metadata", "name")?.string ?? ""
                let reference = ObjectReference(kind, name, namespace: namespace)
                guard !known.contains(reference) else { continue }
                let annotations: JSON = ["kubectl.kubernetes.io/restartedAt": .string(Timestamp.now().rfc3339)]
                _ = try await client.patch(
                    kind.resource, name, namespace: namespace, as: .merge,
                    ["spec": ["template": ["metadata": ["annotations": annotations]]]])
                restarted.append(reference)
            }
        }
        if !restarted.isEmpty {
            let names = secrets.sorted().map { "secret/\($0)" }.joined(separator: ", ")
            emit(.notice("restarting \(restarted.map(\.description).joined(separator: ", ")): \(names) has changed"))
        }
        return restarted
    }
}
