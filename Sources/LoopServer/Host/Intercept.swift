internal import Reactor
internal import Wire

/// Hands the connections of a service's pods over to a program on this machine.
///
/// Every pod in dev mode has a link of its own, which is made anew for as long as the pod runs. While connections are not
/// wanted here, and whenever the link is lost, the pod's own service runs.
actor Intercept {
    private struct Pod {
        let instance: ContainerInstance
        /// Told apart from an earlier one of the same container.
        let number: Int
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
    private var lastNumber = 0
    /// Those that are being left: they still may have ports of their pods.
    private var leaving: [Int: Task<Void, Never>] = [:]
    private var telling: Task<Void, Never>?
    private var hasToldUnusable = false

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
        for (id, pod) in pods where !ids.contains(id) || !isSame { leave(pod, id) }
        for instance in chosen where pods[instance.id] == nil { begin(instance) }
        if usable.isEmpty, !instances.isEmpty, !hasToldUnusable {
            emit(.notice("no connection comes here: its pods are not in dev mode"))
        }
        hasToldUnusable = usable.isEmpty && !instances.isEmpty
        tell()
    }

    private func begin(_ instance: ContainerInstance) {
        lastNumber += 1
        let (number, before) = (lastNumber, Array(leaving.values))
        let task = Task {
            for task in before { await task.value }
            await drive(instance, number)
        }
        pods[instance.id] = Pod(instance: instance, number: number, task: task)
    }

    private func leave(_ pod: Pod, _ id: ContainerInstance.ID) {
        pod.task.cancel()
        pods[id] = nil
        taken.remove(pod.instance.pod)
        leaving[pod.number] = Task {
            await pod.task.value
            leaving[pod.number] = nil
        }
    }

    /// Says whether the connections are wanted here now.
    nonisolated func setWanted(_ wanted: Bool) { isWanted.value = wanted }

    /// Leaves every pod to its own service.
    func end() async {
        for (id, pod) in pods { leave(pod, id) }
        telling?.cancel()
        for task in leaving.values { await task.value }
    }

    private func drive(_ instance: ContainerInstance, _ number: Int) async {
        var backoff = Backoff()
        // What is refused is refused again, until something changes in the cluster.
        var patience = Backoff(first: .seconds(1), limit: .seconds(120))
        var lastFailure = ""
        while !Task.isCancelled {
            let began = ContinuousClock.now
            do {
                try await serve(instance, number)
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
                if isLost, ContinuousClock.now - began > .seconds(10) {
                    backoff.reset()
                    patience.reset()
                }
                // The cluster tells nothing of a way that works again, nor of a port that is free.
                try? await Task.sleep(for: isLost ? backoff.next() : patience.next())
            }
        }
    }

    private func serve(_ instance: ContainerInstance, _ number: Int) async throws {
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
            onWaiting: { [emit] in emit(.notice("\(instance.pod): waits for its own service to end")) },
            onChange: { await self.note(instance, number, isTaken: $0) })
        do {
            try await pod.run()
        } catch {
            await access.end()
            throw error
        }
        await access.end()
    }

    private func note(_ instance: ContainerInstance, _ number: Int, isTaken: Bool) {
        guard pods[instance.id]?.number == number else { return }
        if isTaken { taken.insert(instance.pod) } else { taken.remove(instance.pod) }
        tell()
    }

    /// Says where connections go: at once where it is the same for every pod, else when it has not become so.
    private func tell() {
        telling?.cancel()
        telling = nil
        let isWhole = taken == Set(pods.values.map(\.instance.pod)) || taken.isEmpty && !isWanted.value
        guard taken != told, !isWhole else { return tellNow() }
        telling = Task {
            // Pods are taken one by one: this is long enough for all of them to be told in one line.
            guard (try? await Task.sleep(for: .seconds(1))) != nil else { return }
            tellNow()
        }
    }

    private func tellNow() {
        guard taken != told else { return }
        // Pods that have gone took nothing back.
        let isNews = !taken.isEmpty || !pods.isEmpty
        told = taken
        if isNews { emit(.intercepting(pods: taken.sorted(), ports: ports)) }
    }
}
