internal import JSON
internal import Reactor

/// The manifests and kustomizations of one service's rules: one set, with one inventory.
actor ManifestDeployment: Deploying {
    private let sources: ManifestSources
    private let connection: ClusterConnection
    private let deployer: Deployer
    private var pending = Deployer.Pending.nothing

    /// Nothing happens before the first call.
    init(
        _ sources: ManifestSources, kluctl: Deployment.Kluctl? = nil, _ connection: ClusterConnection,
        _ apply: ManifestApply, clues: @escaping RegistryClues.Source = { RegistryClues() },
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.sources = sources
        self.connection = connection
        deployer = Deployer(kluctl: kluctl, connection, apply, clues: clues, emit: emit)
    }

    func plan(isNewNamespace: Bool) async throws -> Bool {
        pending = .nothing
        let sources = sources
        if let project = sources.kluctlProject {
            pending = try await deployer.plan(project: project)
        } else {
            let before = sources.emptyFile
            let objects = try await sources.objects(kubectl: connection.context.kubectl, leash: connection.leash)
            // A generator truncates its file before it writes it: kubectl may have seen that moment.
            let doubt = (before ?? sources.emptyFile).map { "\($0) is empty" }
            pending = try await deployer.plan(objects, isNewNamespace: isNewNamespace, doubt: doubt) {
                sources.origin(of: $0)
            }
        }
        if case .nothing = pending { return false }
        return true
    }

    func carryOut() async throws {
        let next = pending
        pending = .nothing
        try await deployer.carryOut(next, of: "")
    }

    func untilRolledOut() async -> Bool { await deployer.untilRolledOut() }

    var images: Set<String> { get async { await deployer.images } }

    func end() async { await deployer.end() }
}
