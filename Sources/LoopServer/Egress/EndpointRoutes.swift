internal import Synchronization

/// The ways of a service that has no pods of its own: each target is reached by one of the target's pods.
final class EndpointRoutes: ClusterRoute {
    private struct Key: Hashable {
        let namespace: String
        let selector: String
    }

    private let make: @Sendable (Target, _ namespace: String) -> PodRoute
    private let routes = Mutex<[Key: PodRoute]>([:])

    /// Routes that `make` makes as they are needed.
    init(_ make: @escaping @Sendable (Target, _ namespace: String) -> PodRoute) { self.make = make }

    func link(to target: ClusterTarget) async throws -> HelperLink {
        guard let selector = target.selector else {
            // Any pod's network will do for what has none of its own.
            guard let other = routes.withLock({ $0.values.first }) else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "\(target.service ?? target.addresses.first ?? "it") has no pods that it could be reached from",
                        nextStep: "give the service a \"workload\" in loop.json: its pods are the way then"))
            }
            return try await other.link(to: target)
        }
        let key = Key(namespace: target.namespace, selector: selector)
        let route = routes.withLock { routes in
            if let route = routes[key] { return route }
            let route = make(.selector(selector), target.namespace)
            routes[key] = route
            return route
        }
        return try await route.link(to: target)
    }

    /// Removes every helper that was brought.
    func end() async {
        let all = routes.withLock { routes in
            defer { routes = [:] }
            return Array(routes.values)
        }
        await withDiscardingTaskGroup { group in
            for route in all { group.addTask { await route.end() } }
        }
    }
}
