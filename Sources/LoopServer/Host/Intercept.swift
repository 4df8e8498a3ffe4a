internal import Reactor
internal import Wire

/// Hands the connections of a service's pods over to a program on this machine.
///
/// Every pod in dev mode has a link of its own, which is made anew for as long as the pod runs. While connections are not
/// wanted here, and whenever the link is lost, the pod's own service runs.
actor Intercept {
    private struct Pod {
        let instance: ContainerInstance
        let task: Task<Void, Never>
    }

    private let host: Host
    private let connector: any ContainerConnector
    private let program: any LocalProgram
    /// The links to the pods, for connections in the other direction.
    private let links: PodLinks
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let isWanted = Wish(false)
    private var ports: [HostPort] = []
    private var pods: [ContainerInstance.ID: Pod] = [:]
    /// The pods whose connections come here.
    private var taken: Set<String> = []
    private var told: Set<String> = []

    init(
        _ host: Host, by connector: any ContainerConnector, to program: any LocalProgram, links: PodLinks,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.host = host
        self.connector = connector
        self.program = program
        self.links = links
        self.emit = emit
    }

    /// Follows the running containers: those that are new are connected to, those that are gone are left.
    ///
    /// `ports` is what is carried from them.
    func setInstances(_ instances: [ContainerInstance], ports: [HostPort]) {
        let usable = instances.filter(\.isInDevMode).sorted { $0.pod < $1.pod }
        var chosen = usable
        if host.replicas == .one {
            let kept = usable.first { pods[$0.id] != nil } ?? usable.first
            chosen = kept.map { [$0] } ?? []
        }
        let isSame = ports == self.ports
        self.ports = ports
        let ids = Set(chosen.map(\.id))
        for (id, pod) in pods where !ids.contains(id) || !isSame {
            pod.task.cancel()
            pods[id] = nil
            taken.remove(pod.instance.pod)
        }
        for instance in chosen where pods[instance.id] == nil {
            pods[instance.id] = Pod(instance: instance, task: Task { await drive(instance) })
        }
        tell()
    }

    /// Says whether the connections are wanted here now.
    nonisolated func setWanted(_ wanted: Bool) { isWanted.value = wanted }

    /// Leaves every pod to its own service.
    func end() async {
        let tasks = pods.values.map(\.task)
        pods = [:]
        taken = []
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    private func drive(_ instance: ContainerInstance) async {
        var backoff = Backoff()
        // What is refused is refused again, until something changes in the cluster.
        var patience = Backoff(first: .seconds(1), limit: .seconds(30))
        var lastFailure = ""
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await serve(instance)
            } catch {
                guard !Task.isCancelled else { return }
                // Whoever follows the pods tells of a container that has ended; a lost way is found again.
                let isLost = if case LinkError.disconnected = error { true } else { error is ExecEnd }
                let failure = (error as? LoopFailure)?.failure ?? LoopEvent.Failure("\(instance.pod): \(error)")
                if isLost {
                    emit(.detail(failure.summary))
                } else if failure.summary != lastFailure {
                    emit(.failed(failure))
                    lastFailure = failure.summary
                }
                if ContinuousClock.now - began > .seconds(10) {
                    backoff.reset()
                    patience.reset()
                }
                try? await Task.sleep(for: isLost ? backoff.next() : patience.next())
            }
        }
    }

    private func serve(_ instance: ContainerInstance) async throws {
        let access = try await connector.connect(to: instance)
        guard let way = access as? LinkAccess, way.link.welcome.capabilities.isSuperset(of: [.service, .network]) else {
            access.drop()
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(instance.pod): its connections cannot be handed over: \(access.description)",
                    nextStep: "its container has to be in dev mode: `loopd status` says whether it is"))
        }
        links.add(way.link, to: instance.pod)
        let pod = InterceptedPod(
            link: way.link, heartbeat: way.heartbeat, instance: instance, ports: ports, isWanted: isWanted,
            local: { [program, patience = host.patience] port in
                LocalPort(program: program, port: port, patience: patience)
            },
            onChange: { await self.note(instance, isTaken: $0) })
        let result: Result<Void, any Error>
        do {
            try await pod.run()
            result = .success(())
        } catch {
            result = .failure(error)
        }
        await access.end()
        try result.get()
    }

    private func note(_ instance: ContainerInstance, isTaken: Bool) {
        guard pods[instance.id] != nil else { return }
        if isTaken { taken.insert(instance.pod) } else { taken.remove(instance.pod) }
        tell()
    }

    /// Says where connections go, once it is the same for every pod.
    private func tell() {
        let all = Set(pods.values.map(\.instance.pod))
        guard taken != told, taken == all || taken.isEmpty, !(taken.isEmpty && !all.isEmpty && isWanted.value) else {
            return
        }
        let hadAny = !told.isEmpty
        told = taken
        // Pods that have gone took nothing back.
        if !taken.isEmpty || hadAny && !all.isEmpty { emit(.intercepting(pods: taken.sorted(), ports: ports)) }
    }
}
