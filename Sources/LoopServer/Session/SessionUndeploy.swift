internal import JSON
internal import Reactor

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
        let found = try await undeployment(connection)
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
        if !options.takeOver, let held = await holder(connection) { throw held }
        for problem in await leaveDevMode(connection) {
            report(.failed(LoopEvent.Failure(problem, nextStep: "nothing was removed")))
            return false
        }
        try await found.carryOut(limit: .seconds(120), emit)
        return true
    }

    /// Another loopd that syncs into one of the workloads: it would bring back what goes.
    private func holder(_ connection: ClusterConnection) async -> LeaseHeld? {
        let now = Timestamp.now().seconds
        for service in services {
            guard case .workload(let kind, let name) = service.target,
                let live = try? await connection.client.get(kind.resource, name, namespace: configuration.namespace),
                let lease = Lease(of: live), lease.isHeld(at: now)
            else { continue }
            return LeaseHeld(workload: "\(kind.rawValue)/\(name)", lease: lease, now: now)
        }
        return nil
    }

    private func undeployment(_ connection: ClusterConnection) async throws -> Undeployment {
        try await Undeployment(
            of: services, connection, namespace: configuration.namespace,
            isEverything: services.count == configuration.services.count)
    }

    /// How long the end of a session waits for what goes with it.
    static let cleanupPatience = Duration.seconds(45)

    /// Removes everything at the end of a session, also for a task that is cancelled, which is how most sessions end; says
    /// what is left.
    func cleanUp(_ connection: ClusterConnection) async {
        await Task {
            let isDone: Void? = await DeployAttempt.run({ report($0) }) {
                let found = try await undeployment(connection)
                for line in found.kept { report(.notice(line)) }
                try await found.carryOut(limit: SessionRun.cleanupPatience, emit)
            }
            if isDone == nil {
                report(.notice("not everything is removed: `loopd undeploy` goes on with it"))
            }
        }.value
    }
}
