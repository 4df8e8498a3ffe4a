internal import Reactor
internal import Synchronization

/// How a process on this machine reaches the cluster: a proxy for those programs that use one, and ports of loopback for
/// the others.
final class Egress: Sendable {
    private struct State {
        var tasks: [Task<Void, Never>] = []
        var needs: [LocalDependency] = []
    }

    private let names: ClusterNames
    private let dialer: Dialer
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let notices: Notices
    private let state = Mutex(State())

    /// The network of a service whose pods know `names` and are reached by `route`.
    ///
    /// Nothing listens before it is asked to.
    init(
        names: ClusterNames, route: any ClusterRoute, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.names = names
        dialer = Dialer(names: names, route: route)
        self.emit = emit
        notices = Notices(emit)
    }

    /// Starts the proxy, and returns the variables that lead programs to it.
    func start() async throws -> [String: String] {
        let proxy = try Proxy(dialer, notices: notices)
        state.withLock { $0.tasks.append(Task { await proxy.run() }) }
        return proxy.variables
    }

    /// Listens for each dependency, and returns the variables that Kubernetes gives pods for Services, leading there.
    ///
    /// A dependency that is not there yet is reported as failed; its port works as soon as it is there.
    func needs(_ dependencies: [Dependency]) async throws -> [String: String] {
        var variables: [String: String] = [:]
        for dependency in dependencies {
            let listener = try LoopbackListener.near(dependency.port)
            let target = await check(dependency)
            let need = LocalDependency(dependency, at: listener.local, namespace: names.namespace, target: target)
            state.withLock { state in
                state.needs.append(need)
                state.tasks.append(Task { await self.carry(listener, to: dependency) })
            }
            emit(.forwarding(local: "\(listener.local)", target: "\(dependency)"))
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
            defer { state = State() }
            return state.tasks
        }
        for task in tasks { task.cancel() }
        for task in tasks { await task.value }
    }

    /// What a dependency is now; a failure is told.
    private func check(_ dependency: Dependency) async -> ClusterTarget? {
        do {
            switch try await names.resolve(dependency.name) {
            case .cluster(let target):
                if let ports = target.ports, !ports.contains(where: { $0.number == dependency.port }) {
                    let list = ports.map { "\($0.number)" }.joined(separator: ", ")
                    fail(
                        dependency, "\(target.service ?? dependency.name) has no port \(dependency.port), but \(list)",
                        nil)
                }
                return target
            case .outside(let name, let hint):
                guard await Dialer.addresses(of: name).isEmpty else { return nil }
                let near = await names.nearest(to: dependency.name)
                fail(
                    dependency, hint ?? "this machine does not know the name",
                    near.map { "did you mean \"\($0)\"?" } ?? "its port works as soon as it is there")
            }
        } catch let error as LoopFailure {
            fail(dependency, error.failure.summary, error.failure.nextStep)
        } catch {
            fail(dependency, "\(error)", nil)
        }
        return nil
    }

    private func fail(_ dependency: Dependency, _ reason: String, _ nextStep: String?) {
        emit(.failed(LoopEvent.Failure("needs \(dependency): \(reason)", nextStep: nextStep)))
    }

    private func carry(_ listener: LoopbackListener, to dependency: Dependency) async {
        await listener.run(notices: notices) { [dialer, notices] stream in
            do {
                await Relay.join(try await dialer.connect(to: dependency.name, port: dependency.port), stream)
            } catch {
                if let failure = error as? DialFailure { notices.tell(failure.text) }
                stream.reset()
            }
        }
    }
}
