internal import JSON
internal import Reactor

/// One service that runs on this machine: its program, what that finds around it, and the connections both ways.
actor HostRun {
    nonisolated let plan: HostPlan
    nonisolated let service: Service
    private let host: Host
    private let process: HostProcess
    private let surroundings: HostSurroundings
    private let intercept: Intercept?
    /// The ways of a service that is in no pod.
    private let route: EndpointRoutes?
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    /// Whether the program has been up once: then its pods' connections are wanted here while it is down, too.
    private var hasBeenUp = false
    /// Whether the service is left to somebody else: no change starts the program again.
    private var isOver = false
    private var ports: [HostPort]
    private var told: Set<String> = []

    /// - Parameter intercept: what takes the pods' connections over; `nil` for a service that is in no pod.
    init(
        _ plan: HostPlan, _ service: Service, _ host: Host, process: HostProcess, surroundings: HostSurroundings,
        intercept: Intercept?, route: EndpointRoutes?, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.plan = plan
        self.service = service
        self.host = host
        self.process = process
        self.surroundings = surroundings
        self.intercept = intercept
        self.route = route
        self.emit = emit
        ports = host.ports ?? []
    }

    /// Starts the program, or starts it anew; `firstEvent` is when the change began that led to it.
    func start(firstEvent: UInt64?) {
        if !isOver { process.restart(firstEvent: firstEvent) }
    }

    /// Takes the newest state of the service's pods.
    func update(_ state: WorkloadState, _ instances: [ContainerInstance]) async {
        if let (pod, container) = HostRun.example(of: state, instances, service.container) {
            let found = PodPorts(host.ports, pod: pod, container: container)
            for notice in found.notices where told.insert(notice).inserted { emit(.notice(notice)) }
            for failure in found.failures where told.insert(failure.summary).inserted { emit(.failed(failure)) }
            ports = found.ports
            process.setPorts(ports.map(\.host))
            await surroundings.know(.init(pod: pod, container: container, isRunning: !instances.isEmpty))
        }
        await intercept?.setInstances(instances, ports: ports)
    }

    /// Whether the program's state is what decides whether the pods are ready.
    ///
    /// Before it is up for the first time their own service is about to be put down again.
    var explainsReadiness: Bool { !process.isUp }

    /// Keeps the program and its connections until the task is cancelled; then the program is ended.
    ///
    /// Returns earlier, with how it ended, when it has ended by itself and no change would start it again.
    func run() async -> ExitStatus? {
        await withTaskGroup(of: ExitStatus?.self) { group in
            group.addTask {
                await self.process.run()
                return nil
            }
            group.addTask { await self.follow() }
            let first = await group.next() ?? nil
            group.cancelAll()
            return first
        }
    }

    /// Leaves the pods to their own service.
    func leavePods() async { await intercept?.end() }

    /// Leaves the pods, and ends the program, which has no connections any more.
    func giveUp() async {
        isOver = true
        await intercept?.end()
        await process.stop()
    }

    /// Removes what the program found around it.
    func end() async {
        await intercept?.end()
        await surroundings.end()
        await route?.end()
    }

    private func follow() async -> ExitStatus? {
        for await state in process.states {
            let isUp = if case .up = state { true } else { false }
            hasBeenUp = hasBeenUp || isUp
            intercept?.setWanted(host.fallback == .wait ? hasBeenUp : isUp)
            if case .ended(let status) = state, !plan.isStartedByChanges { return status }
        }
        return nil
    }

    /// A pod to take the environment from, and its container's name: one that runs, else one that may, else the template.
    private static func example(
        of state: WorkloadState, _ instances: [ContainerInstance], _ container: String?
    ) -> (JSON, String)? {
        if let instance = instances.first, let pod = state.pods.first(where: { $0.uid == instance.id.podUID }) {
            return (pod.object, instance.container)
        }
        let pod = state.pods.first { !$0.isOver }?.object ?? state.workload?.at("spec", "template")
        guard let pod else { return nil }
        let names = (pod.at("spec", "containers")?.array ?? []).compactMap { $0["name"]?.string }
        return (container ?? (names.count == 1 ? names[0] : nil)).map { (pod, $0) }
    }
}
