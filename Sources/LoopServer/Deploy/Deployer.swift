internal import JSON
internal import Reactor

/// The deployments of one rule: what was built last is what the cluster holds.
actor Deployer {
    /// What is to be done for something that was built.
    enum Pending: Sendable {
        /// The cluster holds it already.
        case nothing
        case manifests(ManifestApply.Plan)
        /// The folder of a kluctl project.
        case project(String, KluctlCommand, prunes: Bool)
    }

    private let deployment: Deployment
    private let connection: ClusterConnection
    private let apply: ManifestApply
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    /// What was applied last by this process.
    private var applied: String?
    private var rollout: Task<Void, Never>?
    private var toldForeign: Set<ObjectReference> = []
    private var hasToldUnpruned = false
    /// The workloads of the last deployment.
    private(set) var workloads: [ObjectReference] = []
    /// Whether what was applied last has come to run, as far as is known.
    private var isRolledOut = true

    /// Deploys to the connection's cluster.
    init(
        _ deployment: Deployment, _ connection: ClusterConnection, _ apply: ManifestApply,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.deployment = deployment
        self.connection = connection
        self.apply = apply
        self.emit = emit
    }

    /// Brings the cluster to what was built at a store path; failures are reported.
    ///
    /// Returns when it is applied, false when that failed; `untilRolledOut` waits for the rest.
    func deploy(_ path: String) async -> Bool {
        await attempt {
            let pending = try await plan(path)
            try await carryOut(pending, of: path)
        } != nil
    }

    /// Looks at what would change, and tells it.
    ///
    /// Throws `LoopFailure`.
    func plan(_ path: String, isNewNamespace: Bool = false) async throws -> Pending {
        if applied == path { return .nothing }
        let store = NixStore()
        switch try Manifests.find(at: store.place(of: path)) {
        case .kluctl(let folder):
            guard let kluctl = KluctlCommand.find(for: connection.context) else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "\(path) is a kluctl project, and there is no kluctl in PATH",
                        nextStep: "install it (https://kluctl.io), or build plain manifests"))
            }
            return try await plan(folder, kluctl)
        case .files(let files):
            if deployment.kluctl != nil {
                if files != [store.place(of: path)], let kluctl = KluctlCommand.find(for: connection.context) {
                    return try await plan(store.place(of: path), kluctl)
                }
                emit(.notice("applied as by kubectl: there is no kluctl in PATH, or what is built is no folder"))
            }
            let objects = try await Manifests.objects(
                in: files, kubectl: connection.context.kubectl, leash: connection.leash)
            let plan = try await apply.plan(objects, isNewNamespace: isNewNamespace)
            workloads = plan.references.filter { $0.workload != nil }
            tell(plan)
            return plan.isEmpty ? .nothing : .manifests(plan)
        }
    }

    private func tell(_ plan: ManifestApply.Plan) {
        for conflict in plan.conflicts { emit(.notice("taken over: \(conflict)")) }
        for object in plan.foreign where toldForeign.insert(object).inserted {
            emit(.notice("\(object) has left the manifests and stays: loopd does not apply it any more"))
        }
        if !plan.isEmpty { emit(.diff(lines: ManifestDiff.shortened(plan.lines))) }
    }

    private func plan(_ folder: String, _ kluctl: KluctlCommand) async throws -> Pending {
        let output = try await run(kluctl.diff(folder, deployment.kluctl), kluctl)
        let lines = output.text.split(separator: "\n").map(String.init)
        if !lines.isEmpty { emit(.diff(lines: ManifestDiff.shortened(lines, limit: 60))) }
        let prunes = KluctlCommand.canPrune(output.text + output.errorText)
        if !prunes, !hasToldUnpruned {
            hasToldUnpruned = true
            emit(.notice("the kluctl project has no discriminator: what leaves it stays in the cluster"))
        }
        return .project(folder, kluctl, prunes: prunes)
    }

    /// Does what was planned.
    ///
    /// Throws `LoopFailure`.
    func carryOut(_ pending: Pending, of path: String) async throws {
        if case .nothing = pending {
            // What is on its way goes on.
        } else {
            rollout?.cancel()
            isRolledOut = true
            // Whatever fails half-way is neither the old nor the new set.
            applied = nil
        }
        let started = monotonicNow()
        var done: [String] = []
        var changed: [ObjectReference] = []
        switch pending {
        case .nothing: break
        case .manifests(let plan):
            done = try await apply.apply(plan)
            changed = plan.items.filter { !$0.isUnchanged && $0.reference.workload != nil }.map(\.reference)
        case .project(let folder, let kluctl, let prunes):
            let output = try await run(kluctl.deploy(folder, deployment.kluctl, prunes: prunes), kluctl)
            for line in output.text.split(separator: "\n") { emit(.buildOutput(line: String(line))) }
            done = ["kluctl project"]
        }
        applied = path
        emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
        if !changed.isEmpty { rollout = Task { await self.follow(changed, since: started) } }
    }

    private func follow(_ workloads: [ObjectReference], since started: UInt64) async {
        let endings = await withTaskGroup(of: RolloutWatch.Ending.self) { group in
            for workload in workloads { group.addTask { await self.follow(workload) } }
            var endings: [RolloutWatch.Ending] = []
            for await ending in group { endings.append(ending) }
            return endings
        }
        guard !Task.isCancelled else { return }
        let ready = endings.compactMap { if case .ready(let at) = $0 { at } else { nil } }
        isRolledOut = ready.count == endings.count
        guard isRolledOut else { return }
        emit(
            .rolledOut(
                workloads: workloads.map(\.description),
                milliseconds: Double(max(started, ready.max() ?? started) - started) / 1e6))
    }

    private nonisolated func follow(_ workload: ObjectReference) async -> RolloutWatch.Ending {
        guard let kind = workload.workload, let namespace = workload.namespace else {
            return .ready(at: monotonicNow())
        }
        return await RolloutWatch.run(
            .workload(kind, name: workload.name), client: connection.client, namespace: namespace
        ) { [emit] in emit(.failed($0)) }
    }

    /// Returns when everything that was applied runs, or has been reported not to.
    ///
    /// False when it does not.
    func untilRolledOut() async -> Bool {
        await rollout?.value
        return isRolledOut
    }

    /// Follows no rollout any more.
    func end() { rollout?.cancel() }

    private func run(_ command: [String], _ kluctl: KluctlCommand) async throws -> Output {
        let output = try await Leashed.run(command, environment: kluctl.environment, leash: connection.leash)
        guard output.status.isSuccess else {
            let lines = (output.errorText + output.text).split(separator: "\n").map(String.init)
            throw LoopFailure(
                failure: LoopEvent.Failure("kluctl \(command[1]) failed: \(output.status)", details: lines.suffix(12)))
        }
        return output
    }

    /// Runs what may fail; `nil` when it has, which is reported.
    nonisolated func attempt<Result: Sendable>(_ body: () async throws -> Result) async -> Result? {
        do {
            return try await body()
        } catch let failure as LoopFailure {
            emit(.failed(failure.failure))
        } catch is CancellationError {
            return nil
        } catch {
            emit(.failed(LoopEvent.Failure("the deployment failed: \(error)")))
        }
        return nil
    }
}
