internal import JSON
internal import Reactor

/// One way back for a service: what it comes back to, what that changes, and how it is done.
struct Rollback: Sendable {
    /// What it comes back to, for people: `revision 3 of release web`.
    let place: String
    /// What changes, line by line.
    let lines: [String]
    /// Does it; true once what was changed runs.
    ///
    /// Throws `LoopFailure`.
    let carryOut: @Sendable () async throws -> Bool
}

/// Finds the way back for one service.
struct RollbackSearch: Sendable {
    let service: Service
    let inputs: Deployments.Inputs
    let emit: @Sendable (LoopEvent.Kind) -> Void

    var connection: ClusterConnection { inputs.connection }
    var namespace: String { inputs.configuration.namespace }

    /// The last change of one kind.
    struct Change: Sendable {
        let moment: ChangeMoment
        /// The way back behind it.
        let undo: @Sendable () async throws -> Rollback
    }

    /// The way back behind what was changed last: the set of manifests, the revision of a release, or the image of the
    /// service's workload; `nil` where nothing is known of before.
    ///
    /// Throws `LoopFailure`.
    func find() async throws -> Rollback? {
        var changes: [Change] = []
        var applied: [AppliedObjects] = []
        let sets = SetHistory(try await history.releases(), namespace: namespace) { inputs.rollouts(into: $0) }
        if let since = sets.since {
            applied.append(AppliedObjects(objects: since.objects, time: since.time))
            if let before = sets.before {
                changes.append(Change(moment: ChangeMoment(since.time)) { try await back(to: before) })
            }
        }
        for release in service.releases {
            guard let look = try await look(at: release) else { continue }
            applied.append(look.applied)
            if let change = look.change { changes.append(change) }
        }
        if let change = try await lastImageChange(since: applied) { changes.append(change) }
        if let last = changes.max(by: { $0.moment < $1.moment }) { return try await last.undo() }
        if KluctlRemoval.isPossible(for: service) {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "kluctl deploys \(service.name), and keeps nothing to go back to",
                    nextStep: "check out what was there before, and `loopd deploy \(service.name)`"))
        }
        return nil
    }

    var history: ReleaseHistory {
        ReleaseHistory(
            connection.client, service: service.name, of: inputs.configuration.project, namespace: namespace)
    }

    func follow(_ workloads: [ObjectReference], since started: UInt64) async -> Bool {
        if workloads.isEmpty { return true }
        return await RolloutFollower.follow(
            workloads, since: started, connection.client, inputs.clues, emit)
    }
}
