internal import JSON
internal import Reactor

/// The way back of a Helm release.
extension RollbackSearch {
    /// What a release has applied, and the way behind that; `nil` where there is no release.
    func look(at release: HelmRelease) async throws -> (applied: AppliedObjects, change: Change?)? {
        guard let helm = HelmCommand.find(for: connection.context, namespace: namespace) else {
            throw HelmCommand.missing(release.name)
        }
        let run = HelmRun(connection.leash)
        guard let now = try await run.state(of: release.name, helm) else { return nil }
        let text = try await run.run(helm.history(release.name), about: release.name)
        let revisions = HelmRevision.list((try? JSON(parsing: Array(text.utf8))) ?? [])
        let objects = try await plainObjects(of: now)
        let updated = revisions.first?.updated
        let change = HelmRevision.before(revisions).map { target in
            Change(moment: ChangeMoment(updated)) {
                try await back(to: target, from: now, objects, release.name, helm)
            }
        }
        return (AppliedObjects(objects: objects, time: updated), change)
    }

    private func plainObjects(of state: HelmState) async throws -> [JSON] {
        try await HelmManifest.objects(of: state.text, connection).filter { !HelmHooks.isHook($0) }
    }

    private func back(
        to target: Int, from now: HelmState, _ objects: [JSON], _ release: String, _ helm: HelmCommand
    ) async throws -> Rollback {
        let run = HelmRun(connection.leash)
        guard let then = try await run.state(of: release, revision: target, helm) else {
            throw LoopFailure(failure: LoopEvent.Failure("revision \(target) of release \(release) has gone"))
        }
        let wanted = try await plainObjects(of: then)
        let difference = ReleaseDiff(from: objects, to: wanted, namespace: namespace)
        let major = HelmCommand.major(try await run.run(helm.version, about: release)) ?? 3
        return Rollback(
            place: "revision \(target) of release \(release)",
            lines: difference.lines.isEmpty ? ["~ release/\(release)  \(now.status)"] : difference.lines,
            carryOut: {
                let started = monotonicNow()
                let command = helm.rollback(release, to: target, forcesConflicts: major >= 4 && now.isServerSide)
                _ = try await run.run(command, about: release)
                let changed = difference.changed.filter { $0.workload != nil }
                let restored = try await leaveDevMode(wanted)
                return await follow(
                    changed + restored.filter { other in !changed.contains { $0.isSame(as: other) } }, since: started)
            })
    }

    /// Takes dev mode out of workloads that were in it when a revision was applied: helm has put it back, and the helper's
    /// program, which pods would wait for, is in no release.
    ///
    /// A workload that another loopd watches is that one's to change.
    private func leaveDevMode(_ objects: [JSON]) async throws -> [ObjectReference] {
        var restored: [ObjectReference] = []
        var programs: Set<String> = []
        for object in objects where DevRecord.text(in: object) != nil {
            guard let reference = ObjectReference(object), let kind = reference.workload else { continue }
            let place = reference.namespace ?? namespace
            let restore = DevRestore(client: connection.client, namespace: place)
            let result = try await restore.restore(kind, reference.name) { live in
                Lease(of: live)?.isHeld(at: Timestamp.now().seconds) != true
            }
            guard let result else { continue }
            for line in await restore.settle(kind, reference.name, result) { emit(.notice(line)) }
            emit(.notice("\(reference) was in dev mode in that revision, which is undone"))
            restored.append(ObjectReference(kind, reference.name, namespace: place))
            if place == namespace { programs.insert(result.program) }
        }
        if !programs.isEmpty {
            try? await ProgramConfigMap(client: connection.client, namespace: namespace).removeUnused(programs)
        }
        return restored
    }
}
