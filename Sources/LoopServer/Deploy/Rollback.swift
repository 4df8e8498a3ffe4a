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

    private var connection: ClusterConnection { inputs.connection }
    private var namespace: String { inputs.configuration.namespace }

    /// The way back: to the newest set of manifests that was kept and is not what the cluster holds, to the release's
    /// revision before this one, or to the image that the workload had before; `nil` where there is none.
    ///
    /// Throws `LoopFailure`.
    func find() async throws -> Rollback? {
        if let back = try await toEarlierSet() { return back }
        for release in releases { if let back = try await toEarlierRevision(of: release) { return back } }
        return try await toEarlierImage()
    }

    private var deployments: [Deployment] {
        service.rules.compactMap { rule in if case .deploy(let deployment) = rule.action { deployment } else { nil } }
    }

    private var releases: [HelmRelease] {
        deployments.compactMap { deployment in
            if case .helm(let release) = deployment.source { release } else { nil }
        }
    }

    private var images: [Image] {
        service.rules.compactMap { rule in if case .image(let image) = rule.action { image } else { nil } }
    }

    // MARK: Sets of manifests

    private func toEarlierSet() async throws -> Rollback? {
        let project = inputs.configuration.project
        let history = ReleaseHistory(
            connection.client, service: service.name, of: project, namespace: namespace)
        var apply = ManifestApply(connection.client, namespace: namespace, service: service.name, of: project)
        apply.prepare = { await inputs.carry($0, .server) }
        // What ran to its end runs again only where that was asked for.
        apply.recreates = service.recreate
        apply.emit = emit
        for release in try await history.releases() {
            let plan = try await apply.plan(release.objects)
            guard !plan.isEmpty else { continue }
            for failure in plan.immutable { emit(.failed(failure)) }
            return Rollback(
                place: "the manifests of \(release.created)", lines: plan.lines,
                carryOut: { [apply, connection, emit] in
                    let started = monotonicNow()
                    let secrets = await SopsSecrets(plan, connection.client)
                    let done = try await apply.apply(plan)
                    if let notice = await history.keep(release.objects) { emit(.notice(notice)) }
                    emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
                    let changed = plan.items.filter { !$0.isUnchanged && $0.reference.workloadKind != nil }
                    let isRolledOut = await follow(changed.map(\.reference), since: started)
                    let isSettled = await secrets?.settle(emit) ?? true
                    return isRolledOut && isSettled && plan.immutable.isEmpty
                })
        }
        return nil
    }

    private func follow(_ workloads: [ObjectReference], since started: UInt64) async -> Bool {
        if workloads.isEmpty { return true }
        return await RolloutFollower.follow(
            workloads, since: started, connection.client, inputs.clues, emit)
    }

    // MARK: Releases

    private func toEarlierRevision(of release: HelmRelease) async throws -> Rollback? {
        guard let helm = HelmCommand.find(for: connection.context, namespace: namespace) else {
            throw HelmCommand.missing(release.name)
        }
        let run = HelmRun(connection.leash)
        guard let now = try await run.state(of: release.name, helm) else { return nil }
        let text = try await run.run(helm.history(release.name), about: release.name)
        let revisions = HelmRevision.list((try? JSON(parsing: Array(text.utf8))) ?? [])
        guard let target = HelmRevision.before(revisions) else { return nil }
        async let current = run.run(helm.manifest(release.name), about: release.name)
        async let earlier = run.run(helm.manifest(release.name, revision: target), about: release.name)
        let difference = ReleaseDiff(
            from: try await HelmManifest.objects(of: current, connection),
            to: try await HelmManifest.objects(of: earlier, connection), namespace: namespace)
        let major = HelmCommand.major(try await run.run(helm.version, about: release.name)) ?? 3
        return Rollback(
            place: "revision \(target) of release \(release.name)",
            lines: difference.lines.isEmpty ? ["~ release/\(release.name)  \(now.status)"] : difference.lines,
            carryOut: {
                let started = monotonicNow()
                let command = helm.rollback(
                    release.name, to: target, forcesConflicts: major >= 4 && now.isServerSide)
                _ = try await run.run(command, about: release.name)
                return await follow(difference.changed.filter { $0.workload != nil }, since: started)
            })
    }

    // MARK: Images

    private func toEarlierImage() async throws -> Rollback? {
        guard case .workload(let kind, let name) = service.target, kind.rollsOut, !images.isEmpty else { return nil }
        let object: JSON
        let revisions: [JSON]
        do {
            object = try await connection.client.get(kind.resource, name, namespace: namespace)
            let resource: KubeResource = kind == .deployment ? .replicaSets : .controllerRevisions
            revisions = try await connection.client.list(.init(resource, namespace: namespace)).items
        } catch let error as KubeError where error.isNotFound {
            return nil
        }
        let templates = EarlierTemplates.templates(of: object, among: revisions)
        for template in templates {
            var lines: [String] = []
            var changes: [(Image, String)] = []
            for image in images {
                let rolled = RolledImage(
                    kind: kind, name: name, image: image.name, container: image.container ?? service.container)
                guard let place = try? rolled.place(in: object),
                    let old = EarlierTemplates.image(of: place.container, place.list, in: template),
                    old != place.reference
                else { continue }
                changes.append((image, old))
                lines.append("~ \(rolled.workload)  image of \(place.container) \(place.reference) → \(old)")
            }
            guard !changes.isEmpty else { continue }
            return Rollback(
                place: changes.map { "image \($0.1)" }.joined(separator: ", "), lines: lines,
                carryOut: { [changes] in try await set(changes, in: ObjectReference(kind, name, namespace: namespace)) }
            )
        }
        return nil
    }

    private func set(_ images: [(Image, String)], in workload: ObjectReference) async throws -> Bool {
        let started = monotonicNow()
        var isSet = true
        for (image, reference) in images {
            let rollout = ImageRollout(
                image, of: service, dev: inputs.devModes.first { $0.isAbout(workload.stub, namespace: namespace) },
                client: connection.client, namespace: namespace, emit: emit)
            let isDone = await rollout?.roll(to: reference) ?? true
            isSet = isSet && isDone
            await rollout?.end()
        }
        guard isSet else { return false }
        return await follow([workload], since: started)
    }
}

extension ObjectReference {
    /// As much of the object as tells which one it is.
    fileprivate var stub: JSON {
        var metadata: JSON = ["name": .string(name)]
        metadata["namespace"] = namespace.map(JSON.string)
        return ["apiVersion": .string(apiVersion), "kind": .string(kind), "metadata": metadata]
    }
}
