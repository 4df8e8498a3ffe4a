internal import Reactor

extension Session {
    /// Forwards ports of this machine to the pods of the one service that was chosen, until the task is cancelled.
    public func forward(_ forwards: [Forward], report: @escaping @Sendable (LoopEvent) -> Void) async -> Outcome {
        await run(report).forward(forwards)
    }
}

extension SessionRun {
    func forward(_ forwards: [Forward]) async -> Outcome {
        await onCluster { connection in
            guard let service = services.first else { return .usage }
            do {
                try await self.forwards(of: service, connection).run(forwards)
                return .interrupted
            } catch {
                return outcome(of: error, service: service.name)
            }
        }
    }

    /// Whether a service of the session has declared forwards.
    var hasForwards: Bool { services.contains { !$0.forwards.isEmpty } }

    /// Keeps the declared forwards until the task is cancelled; one whose port is taken is told, and the others go on.
    func keepForwards(_ connection: ClusterConnection) async {
        await withDiscardingTaskGroup { group in
            for service in services where !service.forwards.isEmpty {
                do {
                    let forwards = try self.forwards(of: service, connection)
                    group.addTask { await forwards.keep(service.forwards) }
                } catch {
                    _ = outcome(of: error, service: service.name)
                }
            }
        }
    }

    /// The way for a service's forwards; throws a `LoopFailure` where it has no pods.
    func forwards(of service: Service, _ connection: ClusterConnection) throws -> ServiceForwards {
        guard let target = service.target else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "service \(service.name) has no pods to forward to",
                    nextStep: "give it a \"workload\" or a \"selector\" in loop.json"))
        }
        let tell: @Sendable (LoopEvent.Kind) -> Void = { [emit] in emit(LoopEvent($0, service: service.name)) }
        let route = podRoute(
            target, container: service.container, namespace: configuration.namespace, connection, emit: tell)
        return ServiceForwards(route: route, emit: tell)
    }

    /// A way by the pods of a target, with a ladder of its own.
    func podRoute(
        _ target: Target, container: String?, namespace: String, _ connection: ClusterConnection,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) -> PodRoute {
        let pods = KubePods(
            client: connection.client, namespace: namespace, kubectl: connection.context.kubectl,
            leash: connection.leash)
        // Only a helper opens connections: there is nothing that kubectl cp could do.
        let ladder = Ladder(
            objects: pods, exec: pods, commands: pods, programs: options.programs,
            helperImage: configuration.cluster.usedHelperImage, transport: .exec, destinations: [], scratch: "",
            emit: emit)
        return PodRoute(
            target, container: container, client: connection.client, namespace: namespace, connector: ladder,
            emit: emit)
    }

    /// The ways of a service without pods of its own.
    func endpointRoutes(
        _ connection: ClusterConnection, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) -> EndpointRoutes {
        EndpointRoutes { podRoute($0, container: nil, namespace: $1, connection, emit: emit) }
    }
}
