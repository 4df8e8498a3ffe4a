internal import JSON
internal import Reactor
internal import Synchronization
internal import Watcher

/// The rules of a session that build with Nix: each builds when its files change, and what it has built goes into the
/// containers' stores, or is applied.
struct NixBuilds: Sendable {
    private let rules: NixRules
    private let lanes: [BuildLane]
    private let deployers: [Int: Deployer]

    /// The rules of these services; `consumers` bring things into the containers of those that have some.
    ///
    /// `prepare` is what an object becomes before it is applied: see `ManifestApply`; in the folder `roots` are the links
    /// that keep Nix from collecting what is in use.
    init(
        _ services: [Service], _ consumers: [ServiceLane], _ configuration: Configuration,
        _ connection: ClusterConnection,
        deploys: Bool, roots: String? = nil, prepare: @escaping @Sendable (JSON) async -> JSON? = { $0 },
        images: @escaping @Sendable () async -> ManifestImages = { ManifestImages() },
        clues: @escaping RegistryClues.Source = { RegistryClues() },
        emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        let plans = services.map { service in
            NixBuilds.lane(of: service, among: consumers)?.plan
                ?? ServicePlan(service, project: configuration.directory)
        }
        let rules = NixRules(plans, deployments: deploys)
        let nodes = NodeSystems(connection.client)
        var deployers: [Int: Deployer] = [:]
        var lanes: [BuildLane] = []
        for (number, entry) in rules.entries.enumerated() {
            let service = entry.plan.service
            let emitKind: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: service.name)) }
            guard let installable = entry.installable else { continue }
            let success: BuildLane.Success
            if case .deploy(let deployment) = service.rules[entry.rule].action {
                var apply = ManifestApply(
                    connection.client, namespace: configuration.namespace, service: service.name,
                    of: configuration.project)
                apply.prepare = prepare
                apply.images = images
                apply.recreates = service.recreate
                let deployer = Deployer(
                    kluctl: deployment.kluctl, connection, apply, clues: clues,
                    emit: emitKind)
                deployers[number] = deployer
                let volumes = DeployedVolumes(
                    VolumeFollower(
                        client: connection.client, namespace: configuration.namespace, system: NixSystem.native,
                        emit: emitKind))
                success = { _, _, answer in
                    guard let path = NixBuilds.output(answer, installable, emitKind) else { return false }
                    guard await deployer.deploy(path) else { return false }
                    await volumes.follow(await deployer.workloads, of: path)
                    return true
                }
            } else {
                let sink = ClosureSink(
                    lane: NixBuilds.lane(of: service, among: consumers), rule: entry.rule, service: service,
                    connection: connection, namespace: configuration.namespace, nodes: nodes, emit: emitKind)
                success = { firstEvent, ended, answer in
                    guard let path = NixBuilds.output(answer, installable, emitKind) else { return false }
                    return await sink.take(path, firstEvent: firstEvent, settled: ended)
                }
            }
            lanes.append(
                NixBuilds.lane(
                    entry, installable, isForNodes: deployers[number] == nil, nodes,
                    root: roots.map { "\($0)/nix-\(number)" }, leash: connection.leash, emit: emitKind,
                    onSuccess: success))
        }
        self.rules = rules
        self.lanes = lanes
        self.deployers = deployers
    }

    /// The lane that brings things into a service's containers.
    private static func lane(of service: Service, among lanes: [ServiceLane]) -> ServiceLane? {
        lanes.first { $0.plan.service.name == service.name && $0.plan.part == .containers }
    }

    /// The lane of a rule: a build whose command line is Nix's.
    static func lane(
        _ entry: NixRules.Entry, _ installable: Installable, isForNodes: Bool, _ nodes: NodeSystems,
        root: String? = nil, leash: String, emit: @escaping @Sendable (LoopEvent.Kind) -> Void,
        onSuccess: @escaping BuildLane.Success
    ) -> BuildLane {
        let build = Build(
            name: "\(entry.plan.service.name)/rules[\(entry.rule)]", command: NixCommand.build(installable),
            directory: installable.directory, root: installable.directory)
        let system = Mutex<String?>(nil)
        let tool = BuildTool {
            let needed = isForNodes ? NixSystem.needed(forNodes: await nodes.architectures) : nil
            system.withLock { $0 = needed }
            return NixCommand.build(
                installable, system: needed, isEmulated: needed.map(NixSystem.isEmulated) ?? false,
                overrides: FlakeLock.overrides(for: installable), root: root)
        } diagnose: { status, lines in
            let failure = NixFailure(
                installable: installable, system: system.withLock { $0 } ?? NixSystem.native)
            return failure.explain(status, lines)
        } isHiccup: {
            NixFailure.isHiccup($0)
        }
        return BuildLane(build, tool: tool, leash: leash, emit: emit, onSuccess: onSuccess)
    }

    /// The store path that was built.
    static func output(
        _ answer: [UInt8], _ installable: Installable, _ emit: @Sendable (LoopEvent.Kind) -> Void
    ) -> String? {
        if let path = NixCommand.output(of: answer), NixStore.name(of: path) != nil { return path }
        let said = String(decoding: answer.prefix(200), as: UTF8.self)
        emit(.failed(LoopEvent.Failure("nix build \(installable.words) names no store path: \(said)")))
        return nil
    }

    /// Whether some rule builds with Nix.
    var isEmpty: Bool { lanes.isEmpty }

    /// Builds as it is asked for, until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for lane in lanes { group.addTask { await lane.run() } }
        }
        for deployer in deployers.values { await deployer.end() }
    }

    /// Builds everything once, as at the start.
    func buildAll() async {
        let now = monotonicNow()
        for lane in lanes { await lane.trigger(firstEvent: now) }
    }

    /// Asks for the builds that a change on disk makes necessary.
    func settle(_ changes: ChangeSet) async {
        for number in rules.entries(for: changes) { await lanes[number].trigger(firstEvent: changes.firstEvent) }
    }

    /// Asks for the deployments that have one of these images in them.
    func settle(images: Set<String>) async {
        for (number, deployer) in deployers where await !deployer.images.isDisjoint(with: images) {
            await lanes[number].trigger(firstEvent: monotonicNow())
        }
    }

    /// Returns once nothing is to be built and everything that was applied runs; false when something has failed.
    func untilIdle() async -> Bool {
        var isWhole = true
        for (number, lane) in lanes.enumerated() {
            await lane.untilIdle()
            let isRolledOut = await deployers[number]?.untilRolledOut() ?? true
            let hasSucceeded = lane.hasSucceeded
            isWhole = isWhole && hasSucceeded && isRolledOut
        }
        return isWhole
    }
}

/// Takes what Nix has built for a service's containers.
private struct ClosureSink: Sendable {
    let lane: ServiceLane?
    let rule: Int
    let service: Service
    let connection: ClusterConnection
    let namespace: String
    let nodes: NodeSystems
    let emit: @Sendable (LoopEvent.Kind) -> Void

    func take(_ path: String, firstEvent: UInt64, settled: UInt64) async -> Bool {
        guard case .closure(let about) = service.rules[rule].action else { return true }
        do {
            let architectures = await nodes.architectures
            if let obstacle = NixSystem.obstacle(forNodes: architectures) { throw LoopFailure(failure: obstacle) }
            let system = NixSystem.needed(forNodes: architectures) ?? NixSystem.native
            // Of nodes that are alike each pod can run it; and what says itself what it is for knows better.
            let only = architectures.count > 1 && !about.installable.namesSystem ? system : nil
            if let lane, service.rules[rule].entersContainers {
                let closure = try await StoreClosure.query(path, leash: connection.leash)
                while true {
                    let contents = try await ClosureContents.read(
                        closure, in: NixStore(), known: await lane.knownStorePaths)
                    let isTaken = await lane.takeClosure(
                        contents, of: rule, for: only, firstEvent: firstEvent, settled: settled)
                    if isTaken { break }
                }
            }
            guard case .workload(let kind, let name) = service.target else { return true }
            let follower = VolumeFollower(
                client: connection.client, namespace: namespace, system: system, emit: emit)
            let leash = connection.leash
            let deliver = about.copyTo.map { store in
                { @Sendable in try await copy(path, to: store, leash) }
            }
            return await follower.follow(kind, name, inputs: path, output: path, deliver: deliver)
        } catch let failure as LoopFailure {
            emit(.failed(failure.failure))
        } catch is CancellationError {
            return true
        } catch {
            emit(.failed(LoopEvent.Failure("\(path) cannot be brought over: \(error)")))
        }
        return false
    }

    private func copy(_ path: String, to store: String, _ leash: String) async throws {
        let output = try await Leashed.run(NixCommand.copy(path, to: store), leash: leash)
        guard !output.status.isSuccess else { return }
        let lines = output.errorText.split(separator: "\n").map(String.init)
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "\(path) cannot be copied to \(store): volumes keep what they have", details: lines.suffix(6)))
    }
}

/// The volumes of what a rule deploys: their pods are made anew when something else was built from the rule's files.
private actor DeployedVolumes {
    private let follower: VolumeFollower
    private var last: String?

    init(_ follower: VolumeFollower) { self.follower = follower }

    func follow(_ workloads: [ObjectReference], of path: String) async {
        // At the start nobody knows of a change: pods that run keep what they have.
        defer { last = path }
        guard let last, last != path else { return }
        for reference in workloads {
            guard let kind = reference.workload else { continue }
            _ = await follower.follow(
                kind, reference.name, namespace: reference.namespace, inputs: path)
        }
    }
}
