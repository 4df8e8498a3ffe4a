internal import Reactor
internal import Synchronization

/// How a process on this machine reaches the cluster: a proxy for those programs that use one, and ports of loopback for
/// the others.
final class Egress: Sendable {
    private struct State {
        var tasks: [Task<Void, Never>] = []
        var proxy: Proxy?
        var needs: [LocalDependency] = []
        var hasEnded = false
    }

    private let names: ClusterNames
    private let dialer: Dialer
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let notices: Notices
    private let slots = ConnectionSlots()
    private let state = Mutex(State())

    /// The network of a service whose pods know `names` and are reached by `route`.
    ///
    /// Nothing listens before it is asked to. The environment says by which proxies this machine reaches what is outside.
    init(
        names: ClusterNames, route: any ClusterRoute, environment: [String: String] = ProcessEnvironment.inherited,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.names = names
        dialer = Dialer(names: names, route: route, proxies: OutsideProxies(environment))
        self.emit = emit
        notices = Notices(emit)
    }

    /// Starts the proxy where it does not run yet, and returns the variables that lead programs to it.
    ///
    /// Throws `CancellationError` after the end.
    func start() async throws -> [String: String] {
        if let problem = dialer.proxies.problem { notices.tell(problem) }
        return try state.withLock { state in
            guard !state.hasEnded else { throw CancellationError() }
            if let proxy = state.proxy { return proxy.variables }
            let proxy = try Proxy(dialer, notices: notices, slots: slots)
            state.proxy = proxy
            state.tasks.append(Task { await proxy.run() })
            return proxy.variables
        }
    }

    /// Listens for each dependency that has no port yet, and returns the variables that Kubernetes gives pods for
    /// Services, leading there.
    ///
    /// A dependency that is not there yet is reported as failed; its port works as soon as it is there. When this throws,
    /// nothing listens that did not before.
    func needs(_ dependencies: [Dependency]) async throws -> [String: String] {
        let known = Set(state.withLock { $0.needs.map(\.dependency) })
        var listeners: [LoopbackListener] = []
        var added: [(need: LocalDependency, listener: LoopbackListener)] = []
        do {
            for dependency in dependencies where !known.contains(dependency) {
                let listener = try LoopbackListener.near(dependency.port)
                listeners.append(listener)
                let target = try await check(dependency)
                let need = LocalDependency(
                    dependency, at: listener.local, namespace: names.namespace, target: target)
                added.append((need, listener))
            }
            try state.withLock { state in
                guard !state.hasEnded else { throw CancellationError() }
                state.needs += added.map(\.need)
                state.tasks += added.map { need, listener in
                    Task { await self.carry(listener, to: need.dependency) }
                }
            }
        } catch {
            for listener in listeners { listener.close() }
            throw error
        }
        for (need, _) in added { emit(.forwarding(local: "\(need.local)", target: "\(need.dependency)")) }
        var variables: [String: String] = [:]
        for need in state.withLock({ $0.needs }) where dependencies.contains(need.dependency) {
            // Where a Service has several ports, the variables without a port's number are of the first one.
            variables.merge(need.variables) { first, _ in first }
        }
        return variables
    }

    /// Variables with every dependency's name and port led here.
    func rewritten(_ variables: [String: String]) -> [String: String] {
        Rewriting(needs: state.withLock { $0.needs }).applied(to: variables)
    }

    /// Stops listening and breaks what is connected.
    ///
    /// The route stays: whoever has made it ends it.
    func end() async {
        let tasks = state.withLock { state in
            defer { state = State(hasEnded: true) }
            return state.tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    /// What a dependency is now; a failure is told, and only `CancellationError` is thrown.
    private func check(_ dependency: Dependency) async throws -> ClusterTarget? {
        do {
            switch try await names.resolve(dependency.name) {
            case .cluster(let target):
                if let absence = target.absence(of: dependency.port) { fail(dependency, absence, nil) }
                return target
            case .outside(let name, let hint):
                // What a proxy knows is told by connecting only; a name without a dot is hardly one of its.
                let isProxys = dialer.proxies.ways(to: name, port: dependency.port).contains { $0 != nil }
                guard !(isProxys && name.contains(".")), try await Dialer.addresses(of: name).isEmpty else {
                    return nil
                }
                let near = await names.nearest(to: dependency.name)
                try Task.checkCancellation()
                fail(
                    dependency, hint ?? "this machine does not know the name",
                    near.map { "did you mean \"\($0)\"?" } ?? "its port works as soon as it is there")
            }
        } catch let error as LoopFailure {
            fail(dependency, error.failure.summary, error.failure.nextStep)
        } catch {
            try Task.checkCancellation()
            fail(dependency, "\(error)", nil)
        }
        return nil
    }

    private func fail(_ dependency: Dependency, _ reason: String, _ nextStep: String?) {
        emit(.failed(LoopEvent.Failure("needs \(dependency): \(reason)", nextStep: nextStep)))
    }

    private func carry(_ listener: LoopbackListener, to dependency: Dependency) async {
        await listener.run(notices: notices, slots: slots) { [dialer, notices] stream in
            do {
                await Relay.join(try await dialer.connect(to: dependency.name, port: dependency.port), stream)
            } catch {
                if let failure = error as? DialFailure { notices.tell(failure.text) }
                stream.reset()
            }
        }
    }
}
