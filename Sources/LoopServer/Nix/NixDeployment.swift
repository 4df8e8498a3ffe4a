internal import JSON
internal import Reactor
internal import Synchronization

/// What Nix builds for one rule, deployed once.
actor NixDeployment: Deploying {
    private let lane: BuildLane
    private let deployer: Deployer
    private let built: Output
    private var pending: (path: String, what: Deployer.Pending)?

    /// The store path that was built.
    private final class Output: Sendable {
        private let path = Mutex<String?>(nil)

        var value: String? { path.withLock { $0 } }

        func set(_ new: String?) { path.withLock { $0 = new } }
    }

    /// `nil` for a rule that Nix builds nothing for, or that deploys nothing.
    init?(_ entry: NixRules.Entry, _ inputs: Deployments.Inputs, emit: @escaping @Sendable (LoopEvent.Kind) -> Void) {
        let service = entry.plan.service
        guard let installable = entry.installable, case .deploy(let deployment) = service.rules[entry.rule].action
        else { return nil }
        let connection = inputs.connection
        var apply = ManifestApply(
            connection.client, namespace: inputs.configuration.namespace, service: service.name,
            of: inputs.configuration.project)
        apply.prepare = { await inputs.carry($0, .server) }
        apply.images = inputs.images
        apply.prunesData = inputs.isAsked
        apply.recreates = inputs.isAsked || service.recreate
        deployer = Deployer(kluctl: deployment.kluctl, connection, apply, clues: inputs.clues, emit: emit)
        let built = Output()
        self.built = built
        lane = NixBuilds.lane(
            entry, installable, isForNodes: false, NodeSystems(connection.client), leash: connection.leash, emit: emit
        ) { _, _, answer in
            built.set(NixBuilds.output(answer, installable, emit))
            return built.value != nil
        }
    }

    func plan(isNewNamespace: Bool) async throws -> Bool {
        guard let path = await build() else { throw CancellationError() }
        let next = try await deployer.plan(path, isNewNamespace: isNewNamespace)
        pending = (path, next)
        if case .nothing = next { return false }
        return true
    }

    /// The store path; `nil` when the build has failed, which is reported.
    private func build() async -> String? {
        let lane = lane
        built.set(nil)
        let run = Task { await lane.run() }
        await lane.trigger(firstEvent: monotonicNow())
        await withTaskCancellationHandler {
            await lane.untilIdle()
        } onCancel: {
            run.cancel()
        }
        run.cancel()
        await run.value
        return built.value
    }

    func carryOut() async throws {
        guard let next = pending else { return }
        pending = nil
        try await deployer.carryOut(next.what, of: next.path)
    }

    func untilRolledOut() async -> Bool { await deployer.untilRolledOut() }

    var images: Set<String> { get async { await deployer.images } }

    func end() async { await deployer.end() }
}
