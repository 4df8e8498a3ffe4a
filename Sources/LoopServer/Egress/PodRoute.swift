internal import JSON
internal import Reactor
internal import Synchronization
internal import Wire

/// The way by a pod of a service: a helper is brought into one that is ready, and into another one at once when that goes.
///
/// Nothing happens before the first call; from then on a link is kept open until `end`. Connections of a pod that is being
/// deleted go on for as long as it lasts.
final class PodRoute: ClusterRoute {
    /// A pod with an open link.
    struct Way: Sendable {
        let pod: PodState
        let link: HelperLink
    }

    private struct Entered {
        let instance: ContainerInstance
        let pod: PodState
        let access: LinkAccess
    }
    private struct State {
        var pods: WorkloadState?
        var current: Entered?
        /// Those of pods that are going.
        var retired: [Entered] = []
        /// What is being entered.
        var entering: (id: ContainerInstance.ID, task: Task<any ContainerAccess, any Error>)?
        var failures: [ContainerInstance.ID: Int] = [:]
        var lastFailure: String?
        var waiting: [UInt64: Gate] = [:]
        var nextWaiter: UInt64 = 0
        var running: Task<Void, Never>?
        var hasEnded = false
    }

    let target: Target
    private let namespace: String
    private let container: String?
    private let client: KubeClient
    private let connector: any ContainerConnector
    private let patience: Duration
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let state = Mutex(State())
    private let news = Gate()

    /// A way by the pods of `target`; in those with several containers by `container`, or by any of them.
    ///
    /// `emit` is told of each pod that is entered.
    init(
        _ target: Target, container: String? = nil, client: KubeClient, namespace: String,
        connector: any ContainerConnector, patience: Duration = .seconds(10),
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void = { _ in }
    ) {
        self.target = target
        self.container = container
        self.client = client
        self.namespace = namespace
        self.connector = connector
        self.patience = patience
        self.emit = emit
    }

    func link(to target: ClusterTarget) async throws -> HelperLink { try await way().link }

    /// An open way, waiting for one if need be; throws a `LoopFailure` of one line after that.
    func way() async throws -> Way {
        try await waiting(otherwise: self.absence) { state in
            guard let current = state.current, current.access.isOpen else { return nil }
            return Way(pod: current.pod, link: current.access.link)
        }
    }

    /// What the target is now: throws a `LoopFailure` where the cluster has not told within the time.
    func firstState() async throws -> WorkloadState { try await waiting(otherwise: self.absence) { $0.pods } }

    /// That the target is not there, with what is nearly called so.
    func missing() async -> LoopFailure {
        let names = (try? await client.workloadNames(namespace: namespace)) ?? []
        let near = NearestName.of("\(target)", among: names).map { "did you mean \($0)?" }
        return LoopFailure(
            failure: LoopEvent.Failure(
                "\(target) is not in namespace \(namespace)",
                nextStep: near ?? "deploy it first: `loopd watch` and `loopd deploy` apply its manifests"))
    }

    /// Removes the helper that was brought, and stops.
    func end() async {
        let (running, waiting) = state.withLock { state in
            state.hasEnded = true
            state.entering?.task.cancel()
            return (state.running.take(), Array(state.waiting.values))
        }
        for gate in waiting { gate.signal() }
        running?.cancel()
        await running?.value
        let entered = state.withLock { state in
            defer { (state.current, state.retired) = (nil, []) }
            return state.retired + [state.current].compactMap(\.self)
        }
        await withDiscardingTaskGroup { group in
            for one in entered { group.addTask { await one.access.end() } }
        }
    }

    // MARK: - Waiting

    private func waiting<Value: Sendable>(
        otherwise failure: @escaping @Sendable () -> LoopFailure, _ value: @escaping @Sendable (State) -> Value?
    ) async throws -> Value {
        start()
        let gate = Gate()
        let number = state.withLock { state in
            state.nextWaiter += 1
            state.waiting[state.nextWaiter] = gate
            return state.nextWaiter
        }
        defer { state.withLock { _ = $0.waiting.removeValue(forKey: number) } }
        return try await atMost(patience, otherwise: failure()) {
            while true {
                let (value, hasEnded) = self.state.withLock { (value($0), $0.hasEnded) }
                if let value { return value }
                try Task.checkCancellation()
                guard !hasEnded else {
                    throw LoopFailure(failure: LoopEvent.Failure("\(self.target): loopd is ending"))
                }
                await gate.pass()
            }
        }
    }

    private func start() {
        state.withLock { state in
            guard state.running == nil, !state.hasEnded else { return }
            state.running = Task { await self.run() }
        }
    }

    private func wake() {
        news.signal()
        for gate in state.withLock({ Array($0.waiting.values) }) { gate.signal() }
    }

    /// Why there is no way.
    private func absence() -> LoopFailure {
        let (pods, last) = state.withLock { state in
            (state.pods, state.lastFailure ?? (state.entering == nil ? nil : "its helper is still on the way"))
        }
        let seconds = patience.components.seconds
        var reason = "the cluster does not answer"
        if let pods {
            reason =
                pods.isMissing
                ? "it is not in namespace \(namespace)"
                : pods.disconnection.map { "the cluster does not answer: \($0)" } ?? last
                    ?? pods.reason(container: container) ?? "no container of it runs"
        }
        return LoopFailure(
            failure: LoopEvent.Failure("\(target): no way into a pod within \(seconds) s: \(reason)"))
    }

    // MARK: - Following

    private func run() async {
        let watch = WorkloadWatch(client, target, namespace: namespace)
        await withDiscardingTaskGroup { group in
            group.addTask { await watch.run() }
            group.addTask { while let pods = await watch.next() { self.take(pods) } }
            group.addTask { await self.connect() }
        }
    }

    private func take(_ pods: WorkloadState) {
        let abandoned = state.withLock { state -> Task<any ContainerAccess, any Error>? in
            // While the cluster does not answer nothing is known to be gone.
            if pods.disconnection != nil, var known = state.pods {
                known.disconnection = pods.disconnection
                state.pods = known
                return nil
            }
            state.pods = pods
            let candidates = candidates(pods)
            let present = Set(candidates.map(\.instance.id))
            if let current = state.current, isOutdone(current, candidates, pods) {
                state.retired.removeAll { !$0.access.isOpen }
                state.retired.append(current)
                state.current = nil
            }
            state.failures = state.failures.filter { present.contains($0.key) }
            guard let entering = state.entering, !present.contains(entering.id) else { return nil }
            return entering.task
        }
        abandoned?.cancel()
        wake()
    }

    /// The containers that can be entered, the best one first: ready ones, of these the workload's present revision.
    ///
    /// In a rollout the pods before it serve until new ones are ready.
    private func candidates(_ pods: WorkloadState) -> [(pod: PodState, instance: ContainerInstance)] {
        let all = (pods.pods + pods.outdated).compactMap { pod -> (pod: PodState, instance: ContainerInstance)? in
            // Every container of a pod has the same network.
            let names = [container ?? pod.usualContainer].compactMap(\.self) + pod.lastingContainers.map(\.name)
            return names.lazy.compactMap { pod.instance(of: $0) }.first.map { (pod, $0) }
        }
        return all.filter(\.pod.isReady) + all.filter { !$0.pod.isReady }
    }

    /// Whether a pod is to be left: it is gone or going, or is of a revision whose successor is ready.
    private func isOutdone(
        _ entered: Entered, _ candidates: [(pod: PodState, instance: ContainerInstance)], _ pods: WorkloadState
    )
        -> Bool
    {
        guard candidates.contains(where: { $0.instance.id == entered.instance.id }) else { return true }
        let current = Set(pods.pods.map(\.uid))
        guard !current.contains(entered.pod.uid), let best = candidates.first else { return false }
        return best.pod.isReady && current.contains(best.pod.uid)
    }

    private func connect() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            guard let (pod, instance) = next() else {
                await news.pass()
                continue
            }
            let task = Task { try await self.connector.connect(to: instance) }
            state.withLock { $0.entering = (instance.id, task) }
            let result = await withTaskCancellationHandler {
                await task.result
            } onCancel: {
                task.cancel()
            }
            state.withLock { $0.entering = nil }
            switch result {
            case .success(let access):
                guard let access = access as? LinkAccess else {
                    await access.end()
                    fail(instance, "no helper runs in it")
                    break
                }
                await enter(access, instance, pod)
                backoff.reset()
                continue
            case .failure(let error): fail(instance, PodRoute.words(error))
            }
            wake()
            // Who waits is told the reason at the end of the patience; the next try may find another pod.
            try? await Task.sleep(for: backoff.next())
        }
    }

    private func enter(_ access: LinkAccess, _ instance: ContainerInstance, _ pod: PodState) async {
        let isWanted = state.withLock { state in
            guard !state.hasEnded else { return false }
            state.current = Entered(instance: instance, pod: pod, access: access)
            (state.lastFailure, state.failures[instance.id]) = (nil, nil)
            return true
        }
        guard isWanted else { return await access.end() }
        access.whenEnded { [weak self] in
            guard let self else { return }
            state.withLock { state in
                if state.current?.access === access { state.current = nil }
                state.retired.removeAll { $0.access === access }
            }
            wake()
        }
        emit(.connected(pods: [pod.name], container: instance.container, way: access.description))
        wake()
    }

    private func next() -> (pod: PodState, instance: ContainerInstance)? {
        state.withLock { state in
            guard !state.hasEnded, state.current == nil, let pods = state.pods else { return nil }
            // What has failed comes after what has not.
            return candidates(pods).enumerated().min { left, right in
                let (a, b) = (
                    state.failures[left.element.instance.id] ?? 0, state.failures[right.element.instance.id] ?? 0
                )
                return a == b ? left.offset < right.offset : a < b
            }?.element
        }
    }

    private func fail(_ instance: ContainerInstance, _ reason: String) {
        state.withLock { state in
            state.failures[instance.id, default: 0] += 1
            state.lastFailure = reason.contains(instance.pod) ? reason : "\(instance.pod): \(reason)"
        }
    }

    private static func words(_ error: any Error) -> String {
        guard let failure = (error as? LoopFailure)?.failure else { return "\(error)" }
        return ([failure.summary] + failure.details).joined(separator: "; ")
    }
}

extension PodState {
    /// Its own address; `nil` until it has one.
    var address: String? { object.at("status", "podIP")?.string }

    /// The TCP ports that its containers declare.
    var declaredPorts: [UInt16] {
        lastingContainers.flatMap { $0.spec["ports"]?.array ?? [] }.compactMap { port in
            guard port["protocol"]?.string ?? "TCP" == "TCP" else { return nil }
            return port["containerPort"]?.integer.flatMap { UInt16(exactly: $0) }
        }
    }
}
