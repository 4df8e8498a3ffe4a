internal import Glibc
internal import Reactor
internal import Watcher

/// The services of a session: the dev mode of each one's workload, and the lanes that bring things into its pods.
extension SessionRun {
    func pods(_ connection: ClusterConnection) -> KubePods {
        KubePods(
            client: connection.client, namespace: configuration.namespace, kubectl: connection.context.kubectl,
            leash: connection.leash)
    }

    /// The dev mode of a service's workload; a single sync neither enters nor ends it.
    func devMode(
        _ service: Service, _ connection: ClusterConnection, images: ImageSet? = nil, once: Bool
    ) -> DevModeSession? {
        guard case .workload(let kind, let name) = service.target else { return nil }
        // Another service may have the workload in dev mode for both, in this session or in another one.
        let others = configuration.services.filter {
            service.dev == nil && $0.dev != nil && $0.target == service.target
        }
        if others.contains(where: isChosen) { return nil }
        let known = configuration.imageNames
        var purpose = DevModeSession.Purpose.use
        if !once, others.isEmpty {
            purpose = .clear
            if let dev = service.dev {
                purpose = .keep(
                    DevInputs(
                        service: service, dev: dev, plan: ServicePlan(service, project: configuration.directory),
                        pods: pods(connection), programs: options.programs, registry: options.registry,
                        names: { [configured = configuration.registry] in await images?.registry ?? configured },
                        images: { ManifestImages(await images?.references ?? [:], known: known) },
                        built: { await images?.configurations[$0] }))
            }
        }
        let emit = emit
        return DevModeSession(
            purpose, kind, name, client: connection.client, namespace: configuration.namespace, session: self.name
        ) { emit(LoopEvent($0, service: service.name)) }
    }

    func serviceRun(
        _ service: Service, after dependencies: [ServiceLane], _ devModes: [String: DevModeSession],
        _ images: SessionImages, host: HostRun?,
        _ connection: ClusterConnection, scratch: String
    ) throws -> ServiceRun? {
        let parts = service.isOnHost ? [] : ServicePlan.parts(of: service, project: configuration.directory)
        let dev = devModes[service.name]
        let running = images.plan.entries.filter { $0.isRun(by: service) }
        // One without rules is followed, too: what becomes of its pods is told, and nothing is brought into them.
        let isFollowed = !parts.isEmpty || !running.isEmpty || host != nil || service.rules.isEmpty
        guard let target = service.target, isFollowed else { return nil }
        let pods = pods(connection)
        var containers: ServiceLane?
        var nodes: NodeRun?
        for plan in parts {
            switch plan.part {
            case .containers:
                let ladder = try ladder(plan, pods, scratch: scratch)
                containers = try lane(plan, after: dependencies, by: ladder, pods, connection)
            case .nodes: nodes = try nodeRun(plan, after: dependencies, pods, connection, scratch: scratch)
            }
        }
        let (emit, namespace) = (emit, configuration.namespace)
        // Another service of the workload may have it in dev mode for both.
        let holder =
            dev ?? services.first { $0.target == target && devModes[$0.name] != nil }.flatMap { devModes[$0.name] }
        var rollouts: [String: ImageRollout] = [:]
        for entry in running {
            guard let user = entry.users.first(where: { $0.service.name == service.name }) else { continue }
            let image = Image(entry.name, nil, container: user.container)
            rollouts[entry.name] = ImageRollout(
                image, of: service, dev: holder, client: connection.client, namespace: namespace,
                clues: clues(images.set), ledger: connection.told
            ) { emit(LoopEvent($0, service: service.name)) }
        }
        return ServiceRun(
            service, target: target, containers: containers, nodes: nodes, host: host,
            images: ServiceImages(rollouts, isResting: service.isOnHost),
            entering: { [ofTarget = images.ofTarget] in ofTarget(target) }, dev: dev,
            client: connection.client,
            namespace: configuration.namespace, clues: clues(images.set), ledger: connection.told,
            session: name, takeOver: options.takeOver,
            emit: emit)
    }

    private func nodeRun(
        _ plan: ServicePlan, after dependencies: [ServiceLane], _ pods: KubePods, _ connection: ClusterConnection,
        scratch: String
    ) throws -> NodeRun {
        let (emit, name) = (emit, plan.service.name)
        let tell: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: name)) }
        let nodePods = NodePods(
            pods, service: name, image: configuration.cluster.usedHelperImage,
            folders: plan.destinations.map(\.path))
        let restarts = NodeRestarts(connection.client, namespace: configuration.namespace, emit: tell)
        let connector = NodeConnector(
            pods: nodePods, ladder: try ladder(plan, pods, scratch: scratch), restarts: restarts)
        return NodeRun(
            try lane(plan, after: dependencies, by: connector, pods, connection), pods: nodePods,
            restarts: restarts, namespace: configuration.namespace, emit: tell)
    }

    func ladder(_ plan: ServicePlan, _ pods: KubePods, scratch: String) throws -> Ladder {
        let (emit, name) = (emit, plan.service.name)
        let isOnNodes = plan.part == .nodes
        let vias = Set(plan.service.rules.compactMap(\.sync?.via))
        let folder = "\(scratch)/\(name)\(isOnNodes ? "@nodes" : "")"
        guard mkdir(folder, 0o700) == 0 else { throw SystemError.last("mkdir \(folder)") }
        return Ladder(
            objects: pods, exec: pods, commands: pods, programs: options.programs,
            helperImage: configuration.cluster.usedHelperImage,
            transport: isOnNodes ? .exec : vias.contains(.cp) ? .cp : vias.contains(.exec) ? .exec : .automatic,
            destinations: isOnNodes ? [] : plan.destinations.map(\.path), root: isOnNodes ? NodePodSpec.root : "",
            scratch: folder
        ) { emit(LoopEvent($0, service: name)) }
    }

    private func lane(
        _ plan: ServicePlan, after dependencies: [ServiceLane], by connector: any ContainerConnector,
        _ pods: KubePods, _ connection: ClusterConnection
    ) throws -> ServiceLane {
        ServiceLane(
            plan, tree: LocalTree(root: configuration.directory), connector: connector, pods: pods,
            ignore: try IgnoreRules(root: configuration.directory, patterns: configuration.watch.ignore),
            journal: Journal(path: journalPath(plan, connection), destinations: plan.destinations),
            dependencies: dependencies,
            isExplained: { [told = connection.told, namespace = configuration.namespace] container in
                plan.service.target.map { told.hasTold(of: container, of: $0, in: namespace) } ?? false
            }, emit: emit)
    }

    /// One journal for each service on each cluster, beside those of other projects.
    private func journalPath(_ plan: ServicePlan, _ connection: ClusterConnection) -> String? {
        let folder = "\(options.stateDirectory)/journals"
        for path in [options.stateDirectory, folder] where mkdir(path, 0o700) != 0 && errno != EEXIST { return nil }
        let parts =
            [
                connection.context.name, connection.context.server, configuration.namespace, configuration.directory,
                plan.service.name,
            ] + (plan.part == .nodes ? ["nodes"] : [])
        let digest = SHA256Digest(of: Array(parts.joined(separator: "\0").utf8))
        return "\(folder)/\(plan.service.name)-\(digest.hex.prefix(16))"
    }

    /// What image names mean to the cluster, with what was found out when the first image went there.
    func clues(_ images: ImageSet) -> RegistryClues.Source {
        let (configured, playground) = (configuration.registry, options.registry)
        return {
            // The playground's nodes pull from no other.
            if let playground { return RegistryClues(names: RegistryNames(push: playground), playground: playground) }
            return RegistryClues(names: await images.registry ?? configured)
        }
    }

    /// Where the session's images go.
    func imageHome(_ connection: ClusterConnection) -> ImageHomeChoice {
        let surroundings = RegistryDiscovery.Surroundings.live(
            configured: configuration.registry, playground: options.registry, connection)
        return ImageHomeChoice(RegistryDiscovery(surroundings: surroundings)) { report(.notice($0)) }
    }
}
