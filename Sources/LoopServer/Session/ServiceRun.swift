internal import JSON
internal import Reactor
internal import Synchronization

/// One service while a session runs: its lease, its pods, and a lane for its containers, its nodes, or both.
final class ServiceRun: Sendable {
    let service: Service
    private let containers: ServiceLane?
    private let nodes: NodeRun?
    /// What runs on this machine in place of its containers' service.
    private let host: HostRun?
    /// The images that its workload runs.
    let images: ServiceImages
    /// The images of all services of its workload.
    private let entering: @Sendable () -> [ServiceImages]
    private let target: Target
    private let client: KubeClient
    private let namespace: String
    private let keeper: LeaseKeeper?
    private let dev: DevModeSession?
    private let takeOver: Bool
    private let causes: CauseWatch
    private let trouble: ServiceTrouble
    private let emit: @Sendable (LoopEvent) -> Void
    private let hasLease = Mutex(false)
    /// Whether another loopd has taken the lease, and works on with what is in the cluster.
    private let hasLostLease = Mutex(false)

    init(
        _ service: Service, target: Target, containers: ServiceLane?, nodes: NodeRun?, host: HostRun? = nil,
        images: ServiceImages,
        entering: @escaping @Sendable () -> [ServiceImages], dev: DevModeSession?, client: KubeClient,
        namespace: String, clues: @escaping RegistryClues.Source,
        ledger: CauseLedger?, session: String, takeOver: Bool,
        emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        self.service = service
        self.target = target
        self.containers = containers
        self.nodes = nodes
        self.host = host
        self.images = images
        self.entering = entering
        self.dev = dev
        self.client = client
        self.namespace = namespace
        self.takeOver = takeOver
        self.emit = emit
        let trouble = ServiceTrouble(
            absence: host == nil ? "no pod to sync into" : "no pod whose connections come here")
        self.trouble = trouble
        causes = CauseWatch(
            client, target, namespace: namespace, container: service.container, clues: clues, ledger: ledger
        ) { [name = service.name] in
            if trouble.heal() { emit(LoopEvent(.notice("the pods of \(target) are ready"), service: name)) }
        } report: { [name = service.name] failure in
            emit(LoopEvent(.failed(trouble.tell(failure)), service: name))
        }
        if case .workload(let kind, let name) = target {
            keeper = LeaseKeeper(client, kind, name: name, namespace: namespace, session: session)
        } else {
            // Pods that some program makes have no workload to hold a lease on.
            keeper = nil
        }
    }

    /// The lanes that bring its files to their places.
    var lanes: [ServiceLane] { [containers, nodes?.lane].compactMap(\.self) }

    /// Follows the pods and keeps the lanes up with them until the task is cancelled.
    ///
    /// Throws `LeaseHeld` when another loopd has the workload.
    func run() async throws {
        let watch = WorkloadWatch(client, target, namespace: namespace)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            group.addTask { await self.causes.run() }
            group.addTask { try await self.follow(watch) }
            group.addTask { await self.nodes?.run() }
            group.addTask { await self.images.run() }
            group.addTask {
                if let keeper = self.keeper { try await keeper.keep() }
            }
            defer { group.cancelAll() }
            do {
                while let _ = try await group.next() {}
            } catch let held as LeaseHeld {
                hasLostLease.withLock { $0 = true }
                await dev?.standBack()
                throw held
            }
        }
    }

    private func follow(_ watch: WorkloadWatch) async throws {
        var known: [ContainerInstance] = []
        var told: String?
        var isWaiting = false
        /// Which workload this session has brought to what it wants.
        var shaped: String?
        while var state = await watch.next() {
            if state.isMissing {
                if told != "missing" { await tellMissing() }
                told = "missing"
                trouble.setAbsence(true)
                causes.update(nil)
                await containers?.setInstances([])
                await host?.update(state, [])
                nodes?.update(state)
                known = []
                continue
            }
            // While the cluster does not answer nothing is known to be gone: the lane keeps what it has.
            if let disconnection = state.disconnection {
                // Once, although the words change from the cut connection to the refused one.
                if told != "away" { report(.notice("the cluster does not answer: \(disconnection)")) }
                told = "away"
                continue
            }
            if let workload = state.workload {
                try await hold(workload)
                if hasLease.withLock({ $0 }) {
                    await images.allow()
                    await images.retry()
                    let uid = workload.at("metadata", "uid")?.string
                    if let dev {
                        // What ran before has gone when images have come.
                        let isLasting = uid == shaped ? true : await !untilImagesEnter(workload, dev)
                        let isRunning = isLasting && !state.instances(of: service.container).isEmpty
                        try await dev.hold(workload, isRunning: isRunning)
                    }
                    shaped = uid
                }
            }
            let isRollingOut = await keepAdmitted(in: &state)
            let present = state.instances(of: service.container)
            if !present.isEmpty { await dev?.tellRunning() }
            tellChange(from: known, to: present)
            known = present
            await containers?.setInstances(present, wanted: state.wantedPods)
            await host?.update(state, present)
            nodes?.update(state)
            let reason = isReached(present, state) ? nil : absence(in: state, isRollingOut: isRollingOut)
            let isMisnamed = missingContainer(state) != nil
            // Why pods do not come up or get ready is told in full, as soon as it is known.
            var hasTrouble = !isMisnamed && (reason != nil || state.lacksPods || !state.isReady(service.container))
            // Pods whose connections come here are as ready as the program here, which tells of itself.
            if reason == nil, let host, await host.explainsReadiness { hasTrouble = false }
            trouble.setAbsence(reason != nil)
            // What crashes again and again is ready in between.
            causes.update(hasTrouble ? state : nil, settling: state.hasRestarted ? .seconds(30) : .zero)
            let isExplained = reason != nil && !isMisnamed && isExplained(state)
            let isComing = reason != nil && !isExplained && isComing(state)
            if let reason, reason != told, !isExplained {
                // A pod that is on its way is worth one calm line, one that cannot come up is a failure.
                if !isComing {
                    let missing = !isMisnamed ? nil : "set the service's \"container\" in loop.json"
                    report(.failed(LoopEvent.Failure("\(trouble.absence): \(reason)", nextStep: missing)))
                } else if !isWaiting {
                    report(.notice("waiting for a pod: \(reason)"))
                }
            }
            told = reason
            isWaiting = isComing
        }
    }

    /// How long dev mode waits for an image: about as long as the rollout takes that this saves.
    private static let imagePatience = Duration.seconds(30)

    /// Lets images go first, of whichever service of the workload: they bring dev mode with them, in one rollout.
    ///
    /// What they cannot do within half a minute dev mode does not wait for. False where there is none.
    private func untilImagesEnter(_ workload: JSON, _ dev: DevModeSession) async -> Bool {
        let all = entering()
        guard !all.isEmpty else { return false }
        var isWaiting = false
        // A workload that is in dev mode already needs no rollout for it.
        if case .keep = dev.purpose, DevRecord.text(in: workload) == nil {
            for images in all { isWaiting = await images.isExpecting || isWaiting }
        }
        if isWaiting { report(.notice("waits for its image before it enters dev mode")) }
        let isEntered: Void? = await atMost(ServiceRun.imagePatience) { [isWaiting] in
            for images in all { await images.untilEntered(andExpected: isWaiting) }
        }
        if isEntered == nil, isWaiting, !Task.isCancelled {
            report(.notice("its image takes longer: it enters dev mode without it"))
        }
        return true
    }

    /// Leaves out the pods that go because the workload comes into dev mode; true when there are only such.
    private func keepAdmitted(in state: inout WorkloadState) async -> Bool {
        guard let dev else { return false }
        var admitted: [PodState] = []
        for pod in state.pods where await dev.admits(pod) { admitted.append(pod) }
        let isRollingOut = admitted.isEmpty && !state.pods.isEmpty
        state.pods = admitted
        return isRollingOut
    }

    /// Whether there is a place to bring files to: a container, or where only nodes are wanted, a pod on one.
    private func isReached(_ present: [ContainerInstance], _ state: WorkloadState) -> Bool {
        containers == nil && host == nil ? state.pods.contains { $0.node != nil && !$0.isOver } : !present.isEmpty
    }

    /// Why there is nothing to sync into, in one line.
    private func absence(in state: WorkloadState, isRollingOut: Bool) -> String {
        if isRollingOut, let workload = state.workload {
            return PodDiagnosis.reason(workload: workload) ?? "dev mode is rolling out"
        }
        if case .selector(let labels) = target, state.pods.isEmpty {
            return "no pod in namespace \(namespace) has \(labels)"
        }
        return missingContainer(state) ?? state.reason(container: service.container)
            ?? "its container is between two runs"
    }

    /// Whether there is more to tell about it than a line.
    private func isExplained(_ state: WorkloadState) -> Bool {
        let picture = RolloutPicture(
            target: target, namespace: namespace, state: state, asks: false, container: service.container)
        return !picture.examine().diagnoses.isEmpty
    }

    /// Whether every pod is on its way up as far as its status says.
    private func isComing(_ state: WorkloadState) -> Bool {
        let isStarting = state.pods.filter { !$0.isOver }.flatMap(\.containers).allSatisfy { container in
            switch container.now {
            case .unknown, .running: true
            case .waiting(let reason, _): reason == "ContainerCreating" || reason == "PodInitializing"
            case .terminated: false
            }
        }
        return isStarting && missingContainer(state) == nil && !state.pods.contains { $0.unschedulable != nil }
    }

    /// A container name that no pod has, and what there is instead.
    private func missingContainer(_ state: WorkloadState) -> String? {
        guard containers != nil || host != nil, let pod = state.pods.first(where: { !$0.isOver }) else { return nil }
        let names = pod.lastingContainers.map(\.name)
        let list = names.joined(separator: ", ")
        guard let wanted = service.container else {
            return pod.usualContainer == nil ? "\(pod.name) has several containers (\(list)): set \"container\"" : nil
        }
        return names.contains(wanted) ? nil : "\(pod.name) has no container \"\(wanted)\", but \(list)"
    }

    /// Takes the lease once, and notices when somebody else did.
    private func hold(_ workload: JSON) async throws {
        guard let keeper else { return }
        if hasLease.withLock({ $0 }) {
            if let loss = keeper.loss(in: workload) { throw loss }
            return
        }
        var backoff = Backoff()
        var isTold = false
        while true {
            do {
                try await keeper.take(takeOver: takeOver)
                break
            } catch let error as KubeError where error.isForbidden {
                report(.notice("\(target) cannot be annotated (\(error.message)): another loopd would not be noticed"))
                break
            } catch let error as KubeError where error.isNotFound {
                // Gone since: the watch tells, and tells when it is back.
                return
            } catch let held as LeaseHeld {
                throw held
            } catch {
                try Task.checkCancellation()
                // The cluster hiccups: that ends nothing.
                if !isTold { report(.notice("\(target) cannot be leased yet: \(error)")) }
                isTold = true
                try await Task.sleep(for: backoff.next())
            }
        }
        hasLease.withLock { $0 = true }
    }

    /// Returns once the images that were built run in the workload; false where one does not, which was reported.
    func untilImagesRun(limit: Duration = .seconds(60)) async -> Bool {
        guard await atMost(limit, { [images] in await images.untilEntered() }) != nil else {
            if !Task.isCancelled {
                report(
                    .failed(
                        LoopEvent.Failure(
                            "\(target) has not got its images within \(limit.components.seconds) s",
                            nextStep: "the lines above say why; `loopd status` shows the pods")))
            }
            return false
        }
        return await images.untilRolledOut()
    }

    /// Leaves the places that files were brought to; what runs on this machine is ended.
    func leave() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.containers?.end() }
            group.addTask { await self.host?.giveUp() }
            group.addTask { await self.nodes?.end(keepingPods: self.hasLostLease.withLock { $0 }) }
        }
    }

    /// Takes the workload out of dev mode, and gives the lease back; neither where another loopd has it by now.
    func end() async {
        guard hasLease.withLock({ $0 }), let keeper else { return await dev?.abandon() ?? () }
        await dev?.leave { keeper.loss(in: $0) == nil }
        guard let error = await keeper.release() else { return }
        report(.detail("the lease of \(target) ends by itself, in a minute; until then --take-over takes it: \(error)"))
    }

    private func tellMissing() async {
        let names = (try? await client.workloadNames(namespace: namespace)) ?? []
        let more = names.count > 10 ? ", and \(names.count - 10) more" : ""
        let list = names.prefix(10).joined(separator: ", ") + more
        let there = names.isEmpty ? "there is no workload at all" : "there is \(list)"
        let near = NearestName.of("\(target)", among: names).map { "did you mean \"workload\": \"\($0)\"?" }
        report(
            .failed(
                LoopEvent.Failure(
                    "\(target) is not in namespace \(namespace): \(there)",
                    nextStep: near
                        ?? (service.manifests.isEmpty
                            ? "deploy it, name its manifests in loop.json, or set cluster.namespace to where it is"
                            : "check its name and namespace in its manifests and in loop.json"))))
    }

    private func tellChange(from known: [ContainerInstance], to present: [ContainerInstance]) {
        let (before, now) = (Set(known), Set(present))
        let added = now.subtracting(before).map(\.pod).sorted()
        let removed = before.subtracting(now).map(\.pod).sorted()
        if !added.isEmpty || !removed.isEmpty { report(.podsChanged(added: added, removed: removed)) }
    }

    private func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind, service: service.name)) }
}

/// What has been told about a service's pods.
private final class ServiceTrouble: Sendable {
    /// What it means when there is no pod.
    let absence: String
    private let state = Mutex((isAbsent: true, isTold: false))

    init(absence: String) { self.absence = absence }

    /// Whether there is no pod.
    func setAbsence(_ isAbsent: Bool) { state.withLock { $0.isAbsent = isAbsent } }

    /// A cause as it is told now: whether nothing can be synced is what matters most.
    func tell(_ failure: LoopEvent.Failure) -> LoopEvent.Failure {
        let isAbsent = state.withLock { state in
            state.isTold = true
            return state.isAbsent
        }
        var failure = failure
        if isAbsent { failure.summary = "\(absence): \(failure.summary)" }
        return failure
    }

    /// All is well, where there is something to sync into; true where something else has been told.
    func heal() -> Bool {
        state.withLock { state in
            guard !state.isAbsent else { return false }
            defer { state.isTold = false }
            return state.isTold
        }
    }
}
