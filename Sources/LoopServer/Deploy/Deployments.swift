internal import JSON
internal import Reactor
internal import Watcher

/// The deployments of a session that need no build by Nix: each has a lane of its own.
struct Deployments: Sendable {
    /// What all of them need.
    struct Inputs: Sendable {
        let connection: ClusterConnection
        let configuration: Configuration
        /// The dev modes that objects are applied in.
        let devModes: [DevModeSession]
        /// Whether the lease of another loopd is taken over.
        var takeOver = false
        /// Whether a person is asked before anything changes.
        var isAsked = false
        /// The images as they are now.
        let images: @Sendable () async -> ManifestImages
        /// Those that are being built for the first time.
        var expected: @Sendable () async -> Set<String> = { [] }
        /// What image names mean to the cluster.
        let clues: RegistryClues.Source
        /// A private folder of the session.
        let scratch: String

        /// The images that this session, or another one, rolls out into an object by itself.
        func rolled(_ object: ObjectReference) -> Set<String> { Set(rollouts(into: object).map(\.image)) }

        /// The same with the containers that they belong to.
        func rollouts(into object: ObjectReference) -> [RolledImage] {
            guard let kind = WorkloadKind(rawValue: object.kind.lowercased()),
                object.namespace ?? configuration.namespace == configuration.namespace
            else { return [] }
            let services = configuration.services.filter { $0.target == .workload(kind, name: object.name) }
            return services.flatMap { service in
                service.rules.compactMap(\.image).map { image in
                    RolledImage(
                        kind: kind, name: object.name, image: image.name,
                        container: image.container ?? service.container)
                }
            }
        }

        /// What an object becomes before it is applied, by who applies it: the same in dev mode, where it is meant to be.
        func carry(_ object: JSON, _ applier: DevModeSession.Applier) async -> JSON {
            guard let session = devModes.first(where: { $0.isAbout(object, namespace: configuration.namespace) }),
                await !isEarly(session, object)
            else { return object }
            return await session.carry(object, by: applier, takeOver: takeOver)
        }

        /// Whether dev mode of a workload that is there comes with an image that is still to be built, in one rollout.
        private func isEarly(_ session: DevModeSession, _ object: JSON) async -> Bool {
            let rolled = ObjectReference(object).map { self.rolled($0) } ?? []
            guard await !expected().isDisjoint(with: rolled) else { return false }
            let live = try? await connection.client.get(
                session.kind.resource, session.name, namespace: configuration.namespace)
            return live.map { DevRecord.text(in: $0) == nil } ?? false
        }
    }

    private let rules: DeployRules
    private let lanes: [DeployLane]
    private let start: StartManifests
    private let devModes: [DevModeSession]

    /// The deployments of these services; none with `deploys` false.
    init(
        _ services: [Service], _ inputs: Inputs, _ start: StartManifests, deploys: Bool = true,
        emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        self.start = start
        devModes = inputs.devModes
        rules = DeployRules(deploys ? services : [], project: inputs.configuration.directory)
        var lanes: [DeployLane] = []
        var byService: [String: [DeployLane]] = [:]
        for (number, entry) in rules.entries.enumerated() {
            let emitKind: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: entry.service)) }
            let lane = DeployLane(
                Deployments.work(entry, number, inputs, emit: emitKind),
                after: entry.plan.service.dependsOn.flatMap { byService[$0] ?? [] }, emit: emitKind)
            lanes.append(lane)
            byService[entry.service, default: []].append(lane)
        }
        self.lanes = lanes
    }

    /// What deploys an entry.
    static func work(
        _ entry: DeployRules.Entry, _ number: Int, _ inputs: Inputs,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) -> any Deploying {
        let namespace = inputs.configuration.namespace
        if let release = entry.release {
            return HelmDeployment(
                release, of: entry.service, inputs, folder: "\(inputs.scratch)/helm-\(number)", emit: emit)
        }
        var apply = ManifestApply(
            inputs.connection.client, namespace: namespace, service: entry.service,
            of: inputs.configuration.project)
        apply.prepare = { await inputs.carry($0, .server) }
        apply.images = inputs.images
        apply.prunesData = inputs.isAsked
        apply.recreates = inputs.isAsked || entry.plan.service.recreate
        apply.rolled = { inputs.rolled($0) }
        return ManifestDeployment(
            ManifestSources(entry.deployments, project: inputs.configuration.directory),
            kluctl: entry.deployments.lazy.compactMap(\.kluctl).first, inputs.connection, apply,
            clues: inputs.clues, emit: emit)
    }

    /// Whether there is none.
    var isEmpty: Bool { lanes.isEmpty }

    /// Deploys as it is asked for, until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for lane in lanes { group.addTask { await lane.run() } }
        }
    }

    /// Deploys everything once, as at the start: images are built before.
    func deployAll() async {
        let now = monotonicNow()
        for lane in lanes { await lane.trigger(firstEvent: now) }
    }

    /// Asks for the deployments that a change on disk makes necessary.
    func settle(_ changes: ChangeSet) async {
        for number in rules.entries(for: changes) { await lanes[number].trigger(firstEvent: changes.firstEvent) }
    }

    /// Asks for the deployments that have one of these images in them: it has another reference now.
    func settle(images: Set<String>) async {
        await start.settle(images: images)
        for dev in devModes { await dev.renew(images: images) }
        let now = monotonicNow()
        for lane in lanes where await !lane.images.isDisjoint(with: images) { await lane.trigger(firstEvent: now) }
    }

    /// Returns once nothing is to be deployed, whatever has become of it; after `limit`; or when the task is cancelled.
    func untilApplied(limit: Duration) async {
        _ = await atMost(limit) { for lane in lanes { await lane.untilApplied() } }
    }

    /// Returns once nothing is to be deployed and everything that was applied runs; false when something has failed.
    func untilIdle() async -> Bool {
        var isWhole = true
        for lane in lanes where await !lane.untilIdle() { isWhole = false }
        return isWhole
    }
}
