internal import Glibc
internal import Reactor

/// The services of a session that run on this machine.
extension SessionRun {
    /// The run of a service on this machine; `nil` for one that does not run here.
    func hostRun(_ service: Service, _ connection: ClusterConnection, scratch: String) throws -> HostRun? {
        guard let plan = HostPlan(service, project: configuration.directory), let host = service.host else {
            return nil
        }
        let (emit, name) = (emit, service.name)
        let tell: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: name)) }
        let surroundings = HostSurroundings(
            service, host, connection, namespace: configuration.namespace, emit: tell)
        let process = HostProcess(
            host, leash: connection.leash, takesInput: options.host.takesInput, debug: options.host.debug,
            environment: { try await surroundings.environment() }, emit: tell)
        var intercept: Intercept?
        if service.target != nil {
            let service = ServicePlan(service, project: configuration.directory)
            let ladder = try self.ladder(service, pods(connection), scratch: scratch)
            intercept = Intercept(host, by: ladder, to: process, emit: tell)
            surroundings.route(by: intercept)
        }
        return HostRun(
            plan, service, host, process: process, surroundings: surroundings, intercept: intercept, emit: tell)
    }
}
