internal import Glibc
internal import Reactor

/// The services of a session that run on this machine.
extension SessionRun {
    /// The run of a service on this machine; `nil` for one that does not run here.
    func hostRun(
        _ service: Service, images: ImageSet, claims: HostPortClaims, _ connection: ClusterConnection, scratch: String
    ) throws -> HostRun? {
        guard let plan = HostPlan(service, project: configuration.directory), let host = service.host else {
            return nil
        }
        let (emit, name) = (emit, service.name)
        let tell: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: name)) }
        let links = PodLinks()
        // What is in no pod goes by the pods of what it reaches.
        let endpoints = service.target == nil ? endpointRoutes(connection, emit: tell) : nil
        let known = configuration.imageNames
        let surroundings = HostSurroundings(
            service, host, connection.client, connection.context, namespace: configuration.namespace,
            route: endpoints ?? links,
            images: { ManifestImages(await images.references, known: known) }, emit: tell)
        let process = HostProcess(
            host, leash: connection.leash, ports: host.ports?.map(\.host) ?? [], input: options.host.takesInput,
            debug: options.host.debug, isStartedByChanges: plan.isStartedByChanges,
            environment: { try await surroundings.environment() }, emit: tell)
        var intercept: Intercept?
        if service.target != nil {
            let ladder = try self.ladder(
                ServicePlan(service, project: configuration.directory), pods(connection), scratch: scratch)
            intercept = Intercept(host, by: ladder, to: process, links: links, emit: tell)
        }
        return HostRun(
            plan, service, host, process: process, surroundings: surroundings, intercept: intercept,
            route: endpoints, claims: claims, emit: tell)
    }

    /// Keeps the programs of services on this machine until the task is cancelled.
    ///
    /// `over` gets the outcome of a run that is over with its program.
    func keep(_ hosts: [HostRun], over: Wish<Outcome?>) async {
        await withDiscardingTaskGroup { group in
            for host in hosts {
                group.addTask {
                    let status = await host.run()
                    guard let status else { return }
                    guard options.host.endsWithProgram else { return await host.tellOver() }
                    over.value = status.isSuccess ? .done : .failed
                }
            }
        }
    }
}
