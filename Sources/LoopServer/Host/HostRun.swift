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
    /// Whether nobody has named a port: then the pods' own service goes on.
    private var areUndeclared = false
    private var told: Set<String> = []
    private let claims: HostPortClaims

    /// - Parameter intercept: what takes the pods' connections over; `nil` for a service that is in no pod.
    init(
        _ plan: HostPlan, _ service: Service, _ host: Host, process: HostProcess, surroundings: HostSurroundings,
        intercept: Intercept?, route: EndpointRoutes?, claims: HostPortClaims,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.plan = plan
        self.service = service
        self.host = host
        self.process = process
        self.surroundings = surroundings
        self.intercept = intercept
        self.route = route
        self.claims = claims
        self.emit = emit
        ports = host.ports ?? []
    }

    /// Starts the program, or starts it anew; `firstEvent` is when the change began that led to it.
    func start(firstEvent: UInt64?) {
        if !isOver { process.restart(firstEvent: firstEvent) }
    }

    /// Starts the program anew where its variables name one of these images, and it has not got what they are now.
    func settle(images: Set<String>) async {
        switch process.state {
        // It is not asked for yet: then it gets them.
        case .down: return
        case .ended, .failed: guard plan.isStartedByChanges else { return }
        case .starting, .up: break
        }
        if await surroundings.lacks(images) { start(firstEvent: nil) }
    }

    /// Takes the newest state of the service's pods.
    func update(_ state: WorkloadState, _ instances: [ContainerInstance]) async {
        if let (pod, container) = HostRun.example(of: state, instances, service.container) {
            let found = PodPorts(host.ports, pod: pod, container: container)
            for notice in found.notices where told.insert(notice).inserted { emit(.notice(notice)) }
            for failure in found.failures where told.insert(failure.summary).inserted { emit(.failed(failure)) }
            ports = found.ports.filter { port in
                guard let other = claims.claim(port.host, for: service.name) else { return true }
                if told.insert("\(port.host) \(other)").inserted { emit(.failed(HostRun.shared(port, with: other))) }
                return false
            }
            areUndeclared = found.areUndeclared
            process.setPorts(ports.map(\.host), areUndeclared: found.areUndeclared)
            await surroundings.know(.init(pod: pod, container: container, isRunning: !instances.isEmpty))
        }
        if areUndeclared { intercept?.setWanted(false) } else if process.isUp { intercept?.setWanted(true) }
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

    /// Removes what the program found around it; the pods were left before.
    func end() async {
        await surroundings.end()
        await route?.end()
    }

    /// How long a program that starts anew may be down before the pod's own service is to answer: as long as a save takes.
    private static let restartPatience = Duration.seconds(3)

    private func follow() async -> ExitStatus? {
        var handingBack: Task<Void, Never>?
        defer { handingBack?.cancel() }
        for await state in process.states {
            handingBack?.cancel()
            switch state {
            case .up:
                hasBeenUp = true
                intercept?.setWanted(!areUndeclared)
            case .starting:
                guard host.fallback == .pod else { break }
                handingBack = Task {
                    // How long a start takes, only its end tells.
                    guard (try? await Task.sleep(for: HostRun.restartPatience)) != nil else { return }
                    self.handBack()
                }
            case .down, .ended, .failed:
                if host.fallback == .pod { intercept?.setWanted(false) }
            }
            guard !plan.isStartedByChanges else { continue }
            switch state {
            case .ended(let status): return status
            // As a shell says that a program cannot be started.
            case .failed: return .exited(127)
            case .down, .starting, .up: break
            }
        }
        return nil
    }

    private func handBack() {
        if case .starting = process.state { intercept?.setWanted(false) }
    }

    /// Leaves the pods to their own service for as long as the session goes on, because nothing starts the program again.
    func tellOver() {
        intercept?.setWanted(false)
        hasBeenUp = false
        emit(.notice("nothing starts the program again before loopd is started anew"))
    }

    private static func shared(_ port: HostPort, with other: String) -> LoopEvent.Failure {
        LoopEvent.Failure(
            "port \(port.host) is the one of \(other) here: connections to its pods' port \(port.container) do not come here",
            nextStep: "let one of them listen elsewhere, and set \"ports\" in its \"host\" section: "
                + "{\"container\": \(port.container), \"host\": \(port.host == .max ? port.host - 1 : port.host + 1)}")
    }

    /// A pod to take the environment from, and its container's name: one that runs, else one that may, else the template.
    private static func example(
        of state: WorkloadState, _ instances: [ContainerInstance], _ container: String?
    ) -> (JSON, String)? {
        if let instance = instances.first, let pod = state.pods.first(where: { $0.uid == instance.id.podUID }) {
            return (pod.object, instance.container)
        }
        if let pod = state.pods.first(where: { !$0.isOver }), let name = container ?? pod.usualContainer {
            return (pod.object, name)
        }
        guard let template = state.workload?.at("spec", "template"),
            let name = DevTemplate.target(of: template, container)?["name"]?.string
        else { return nil }
        return (template, name)
    }
}
