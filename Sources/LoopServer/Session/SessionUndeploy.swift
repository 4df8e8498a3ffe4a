internal import JSON
internal import Reactor
internal import Synchronization

/// Taking away what loopd has deployed.
extension SessionRun {
    /// Removes what was deployed for the chosen services, once: shows it, asks, and waits until it is gone.
    func undeploy(dryRun: Bool, confirm: @escaping @Sendable () async -> Bool) async -> Outcome {
        await onCluster { connection in
            do {
                let isWhole = try await undeploy(connection, dryRun: dryRun, confirm)
                return Task.isCancelled ? .interrupted : isWhole ? .done : .failed
            } catch {
                let result = outcome(of: error)
                return Task.isCancelled ? .interrupted : result
            }
        }
    }

    private func undeploy(
        _ connection: ClusterConnection, dryRun: Bool, _ confirm: @Sendable () async -> Bool
    ) async throws -> Bool {
        let removed = try await chosenRemovedServices(connection)
        let found = try await undeployment(connection, removed)
        for part in found.parts where part.isRemoved {
            report(.notice("service \(part.service) is not in loop.json any more: what was deployed for it goes, too"))
        }
        for line in found.kept { report(.notice(line)) }
        guard !found.isEmpty else {
            report(.notice("nothing of loopd's is deployed in namespace \(configuration.namespace)"))
            return true
        }
        if !found.lines.isEmpty { report(.diff(lines: found.lines)) }
        if dryRun { return true }
        guard await confirm() else {
            report(.notice("nothing was removed"))
            return true
        }
        if !options.takeOver, let held = await held(connection, found.parts.filter(\.isRemoved)).first?.value {
            throw held
        }
        for problem in await leaveDevMode(connection) {
            report(.failed(LoopEvent.Failure(problem, nextStep: "nothing was removed")))
            return false
        }
        try await found.carryOut(until: ContinuousClock.now + .seconds(120), emit)
        return true
    }

    /// The services whose workload another loopd syncs into: it would bring back what goes.
    private func held(
        _ connection: ClusterConnection, _ removed: [Undeployment.Part] = []
    ) async -> [String: LeaseHeld] {
        var workloads: [(service: String, workload: String, resource: KubeResource, name: String, namespace: String?)]
        workloads = services.compactMap { service in
            guard case .workload(let kind, let name) = service.target else { return nil }
            return (service.name, "\(kind.rawValue)/\(name)", kind.resource, name, configuration.namespace)
        }
        for part in removed {
            workloads += part.objects.map {
                (part.service, "\($0.reference)", $0.resource, $0.reference.name, $0.reference.namespace)
            }
        }
        let now = Timestamp.now().seconds
        var held: [String: LeaseHeld] = [:]
        for (service, workload, resource, name, namespace) in workloads {
            guard let live = try? await connection.client.get(resource, name, namespace: namespace),
                let lease = Lease(of: live), lease.isHeld(at: now), lease.session != self.name
            else { continue }
            held[service] = LeaseHeld(workload: workload, lease: lease, now: now)
        }
        return held
    }

    /// The services that are in loop.json no more, and whose deployments the cluster still holds.
    func removedServices(_ connection: ClusterConnection) async throws -> [String] {
        do {
            return try await InventoryStore.removedServices(
                of: configuration.project, beside: configuration.services, connection.client,
                namespace: configuration.namespace)
        } catch let error as KubeError where error.isForbidden {
            // Who may not list them knows those of loop.json only.
            return []
        }
    }

    /// Those of them that the command line means: by their names, or by naming none.
    private func chosenRemovedServices(_ connection: ClusterConnection) async throws -> [String] {
        let removed = try await removedServices(connection)
        if options.services.isEmpty { return removed }
        let known = configuration.services.map(\.name) + removed
        if let unknown = options.services.first(where: { !known.contains($0) }) {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(configuration.file) has no service \"\(unknown)\", and nothing of one is deployed",
                    nextStep: NearestName.of(unknown, among: known).map { "did you mean \"\($0)\"?" }
                        ?? "services: \(known.joined(separator: ", "))"))
        }
        return removed.filter(options.services.contains)
    }

    /// Says of which services that are in loop.json no more the cluster still holds something.
    func tellOfRemovedServices(_ connection: ClusterConnection) async {
        guard let removed = try? await removedServices(connection), !removed.isEmpty else { return }
        let services =
            removed.count == 1 ? "service \(removed[0]) is" : "services \(removed.joined(separator: ", ")) are"
        report(
            .notice(
                "\(services) not in loop.json any more, and still in the cluster: `loopd undeploy "
                    + "\(removed.joined(separator: " "))` removes \(removed.count == 1 ? "it" : "them")"))
    }

    private func undeployment(
        _ connection: ClusterConnection, _ removed: [String] = [], without held: [String: LeaseHeld] = [:]
    ) async throws -> Undeployment {
        let going = services.filter { held[$0.name] == nil }
        let names = going.map(\.name)
        return try await Undeployment(
            of: going, removed: removed, staying: configuration.services.filter { !names.contains($0.name) },
            in: configuration.project, connection, namespace: configuration.namespace)
    }

    /// How long the end of a session waits for what goes with it.
    static let cleanupPatience = Duration.seconds(45)

    /// Removes everything at the end of a session, also for a task that is cancelled, which is how most sessions end; says
    /// what is left.
    ///
    /// What another loopd holds stays, and all of it where this session has applied nothing.
    func cleanUp(_ connection: ClusterConnection) async {
        guard ledger.hasApplied else {
            report(.notice("nothing is removed: this session has applied nothing; `loopd undeploy` removes all of it"))
            return
        }
        await Task {
            let isDone: Void? = await DeployAttempt.run({ report($0) }) {
                let end = ContinuousClock.now + SessionRun.cleanupPatience
                let held = await held(connection)
                for (service, lease) in held.sorted(by: { $0.key < $1.key }) {
                    emit(LoopEvent(.notice("what was deployed stays: \(lease)"), service: service))
                }
                let late = LoopFailure(
                    failure: LoopEvent.Failure("it takes too long to find out what was deployed"))
                var found = try await atMost(end - ContinuousClock.now, otherwise: late) {
                    try await undeployment(connection, without: held)
                }
                found.keepProjects()
                for line in found.kept { report(.notice(line)) }
                try await found.carryOut(until: end, emit)
            }
            if isDone == nil {
                report(.notice("not everything is removed: `loopd undeploy` goes on with it"))
            }
        }.value
    }
}

/// Whether a session has changed the cluster so far, as its events tell.
final class AppliedLedger: Sendable {
    private let applied = Mutex(false)

    /// Takes notice of an event.
    func note(_ event: LoopEvent) {
        if case .deployed(let objects, _) = event.kind, !objects.isEmpty { applied.withLock { $0 = true } }
    }

    /// Whether something was applied.
    var hasApplied: Bool { applied.withLock { $0 } }
}
