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

    private let choice: Deployment.Kluctl?
    private let connection: ClusterConnection
    private var apply: ManifestApply
    private let history: ReleaseHistory
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    /// What was applied last by this process, and the images in it.
    private var applied: String?
    private var appliedImages: ManifestImages?
    private let rollouts: RolloutFollower
    private var toldKept: Set<String> = []
    private var toldWaiting: [String] = []
    private var hasToldUnpruned = false
    /// Whether the last set was applied as a whole: nothing of it had to stay as it was.
    private var isWhole = true
    /// The workloads of the last deployment.
    private(set) var workloads: [ObjectReference] = []
    /// The images in the last set that was looked at, those too that it waits for.
    private(set) var images: Set<String> = []

    /// Deploys to the connection's cluster.
    init(
        kluctl: Deployment.Kluctl?, _ connection: ClusterConnection, _ apply: ManifestApply,
        clues: @escaping RegistryClues.Source = { RegistryClues() }, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        choice = kluctl
        self.connection = connection
        self.apply = apply
        self.apply.emit = emit
        self.emit = emit
        history = ReleaseHistory(
            connection.client, service: apply.service, of: apply.project, namespace: apply.namespace)
        rollouts = RolloutFollower(
            connection.client, clues: clues, ledger: connection.told, emit: emit)
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
        if applied == path, await apply.images() == appliedImages { return .nothing }
        let store = NixStore()
        switch try Manifests.find(at: store.place(of: path)) {
        case .kluctl(let folder): return try await plan(project: folder)
        case .files(let files):
            if choice != nil {
                if files != [store.place(of: path)], let kluctl = KluctlCommand.find(for: connection.context) {
                    return try await plan(store.place(of: path), kluctl)
                }
                emit(.notice("applied as by kubectl: there is no kluctl in PATH, or what is built is no folder"))
            }
            let objects = try await Manifests.objects(
                in: files, kubectl: connection.context.kubectl, leash: connection.leash)
            return try await plan(objects, isNewNamespace: isNewNamespace)
        }
    }

    /// Looks at what a kluctl project would change, and tells it.
    func plan(project: String) async throws -> Pending {
        guard let kluctl = KluctlCommand.find(for: connection.context) else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(project) is a kluctl project, and there is no kluctl in PATH",
                    nextStep: "install it (https://kluctl.io), or build plain manifests"))
        }
        return try await plan(project, kluctl)
    }

    /// Looks at what a set of manifests would change, and tells it; `origin` says where an object of it comes from.
    func plan(
        _ objects: [JSON], isNewNamespace: Bool, doubt: String? = nil,
        origin: @escaping @Sendable (ObjectReference) -> String? = { _ in nil }
    ) async throws -> Pending {
        apply.origin = origin
        let plan = try await apply.plan(objects, isNewNamespace: isNewNamespace, doubt: doubt)
        try Task.checkCancellation()
        workloads = plan.references.filter { $0.workload != nil }
        images = plan.images
        isWhole = plan.immutable.isEmpty
        tell(plan)
        return plan.isEmpty ? .nothing : .manifests(plan)
    }

    private func tell(_ plan: ManifestApply.Plan) {
        for words in plan.waiting where !toldWaiting.contains(words) { emit(.notice(words)) }
        toldWaiting = plan.waiting
        for conflict in plan.conflicts { emit(.notice("taken over: \(conflict)")) }
        let kept = plan.kept.map(\.description)
        for words in kept where toldKept.insert(words).inserted { emit(.notice(words)) }
        for failure in plan.immutable where toldKept.insert(failure.summary).inserted { emit(.failed(failure)) }
        toldKept.formIntersection(kept + plan.immutable.map(\.summary))
        if !plan.isEmpty { emit(.diff(lines: ManifestDiff.shortened(plan.lines))) }
    }

    private func plan(_ folder: String, _ kluctl: KluctlCommand) async throws -> Pending {
        let output = try await run(kluctl.diff(folder, choice), kluctl)
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
            await rollouts.begin()
            // Whatever fails half-way is neither the old nor the new set.
            applied = nil
        }
        let started = monotonicNow()
        var done: [String] = []
        var changed: [ObjectReference] = []
        switch pending {
        case .nothing: break
        case .manifests(let plan):
            let secrets = await SopsSecrets(plan, connection.client)
            if let rendered = plan.rendered, let notice = await history.keep(rendered) { emit(.notice(notice)) }
            done = try await apply.apply(plan)
            changed = plan.changedWorkloads
            if let secrets { await rollouts.add { [emit] in await secrets.settle(emit) } }
        case .project(let folder, let kluctl, let prunes):
            let output = try await run(kluctl.deploy(folder, choice, prunes: prunes), kluctl)
            for line in output.text.split(separator: "\n") { emit(.buildOutput(line: String(line))) }
            done = ["kluctl project"]
        }
        applied = path
        appliedImages = await apply.images()
        emit(.deployed(objects: done, milliseconds: Double(monotonicNow() - started) / 1e6))
        if !changed.isEmpty { await rollouts.follow(changed, since: started) }
    }

    /// Returns when everything that was applied runs, or has been reported not to.
    ///
    /// False when it does not, or where something of the set stays as it was.
    func untilRolledOut() async -> Bool { await rollouts.untilDone() && isWhole }

    /// Follows no rollout any more.
    func end() async { await rollouts.end() }

    private func run(_ command: [String], _ kluctl: KluctlCommand) async throws -> Output {
        let output = try await Leashed.run(command, environment: kluctl.environment, leash: connection.leash)
        guard output.status.isSuccess else { throw KluctlCommand.failure(of: command[1], output) }
        return output
    }

    /// Runs what may fail; `nil` when it has, which is reported.
    nonisolated func attempt<Result: Sendable>(_ body: () async throws -> Result) async -> Result? {
        await DeployAttempt.run(emit, body)
    }
}
