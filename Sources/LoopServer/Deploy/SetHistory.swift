internal import JSON

/// The sets of manifests that were kept, by what changes from one to the next: a pure function.
///
/// The newest one is what was applied last, whatever others have made of it in the cluster since. Images that rules roll out
/// by themselves are no change of a set: they change beside it.
struct SetHistory: Sendable {
    /// The first set of those that differ from the newest one by such images only.
    let since: ReleaseHistory.Release?
    /// The newest set that differs by more.
    let before: ReleaseHistory.Release?

    /// Of sets with the newest first; `rollouts` says which images rules roll out into an object.
    init(
        _ releases: [ReleaseHistory.Release], namespace: String, rollouts: (ObjectReference) -> [RolledImage]
    ) {
        let plain = releases.map { release in release.objects.map { SetHistory.withoutImages($0, rollouts) } }
        let same = plain.map { ReleaseDiff(from: $0, to: plain[0], namespace: namespace).lines.isEmpty }
        since = zip(releases, same).prefix { $0.1 }.last?.0
        before = zip(releases, same).first { !$0.1 }?.0
    }

    private static func withoutImages(_ object: JSON, _ rollouts: (ObjectReference) -> [RolledImage]) -> JSON {
        guard let reference = ObjectReference(object) else { return object }
        return rollouts(reference).reduce(object) { object, image in
            (try? image.set("an-image-of-a-rule", in: object)) ?? object
        }
    }
}

extension RollbackSearch {
    /// Back to a set, with the images that run now.
    func back(to release: ReleaseHistory.Release) async throws -> Rollback {
        var apply = ManifestApply(
            connection.client, namespace: namespace, service: service.name, of: inputs.configuration.project)
        apply.prepare = { await inputs.carry($0, .server) }
        // What ran to its end runs again only where that was asked for.
        apply.recreates = service.recreate
        apply.emit = emit
        var objects: [JSON] = []
        for object in release.objects { objects.append(try await withRunningImages(object)) }
        let plan = try await apply.plan(objects)
        guard !plan.isEmpty else {
            if let failure = plan.immutable.first { throw LoopFailure(failure: failure) }
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "the cluster holds the manifests of \(release.created) already, which are those before the last",
                    nextStep: "`loopd deploy \(service.name)` applies what is here now"))
        }
        for failure in plan.immutable { emit(.failed(failure)) }
        return Rollback(
            place: "the manifests of \(release.created)", lines: plan.lines,
            carryOut: { [apply, objects] in
                let started = monotonicNow()
                let secrets = await SopsSecrets(plan, connection.client)
                if let notice = await history.keep(objects) { emit(.notice(notice)) }
                let done = try await apply.apply(plan)
                emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
                let isRolledOut = await follow(plan.changedWorkloads, since: started)
                let isSettled = await secrets?.settle(emit) ?? true
                return isRolledOut && isSettled && plan.immutable.isEmpty
            })
    }

    /// A manifest with the images that rules have rolled out since.
    private func withRunningImages(_ object: JSON) async throws -> JSON {
        guard let reference = ObjectReference(object) else { return object }
        let images = inputs.rollouts(into: reference)
        guard let kind = images.first?.kind else { return object }
        let live: JSON
        do {
            live = try await connection.client.get(kind.resource, reference.name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {
            return object
        }
        return images.reduce(object) { object, image in
            guard let place = try? image.place(in: live) else { return object }
            return (try? image.set(place.reference, in: object)) ?? object
        }
    }
}
