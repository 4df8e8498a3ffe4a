internal import JSON

extension SessionRun {
    /// The variables of the one chosen service's container, as a process on this machine would get them.
    func environment() async -> (EnvironmentReport, Outcome) {
        var (report, outcome): (EnvironmentReport, Outcome) = await reporting { connection, report in
            await read(connection, &report)
        }
        report.notices = report.notices.map(Printable.text)
        let failure = report.failure ?? report.unreachable.map { LoopEvent.Failure($0) }
        report.failure = failure.map { LoopEvent.Failure(Printable.text($0.summary), nextStep: $0.nextStep) }
        return (report, outcome)
    }

    private func read(_ connection: ClusterConnection, _ report: inout EnvironmentReport) async -> Outcome {
        do {
            guard let service = configuration.services.first(where: isChosen), let target = service.target else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "the service has no pods: its rules concern none", nextStep: "set its \"workload\" in loop.json"
                    ))
            }
            let references = try await references(service, target, connection, &report)
            var environment = try PodEnvironment(references)
            // What names a folder or an image has a value only while it runs.
            let own = service.host?.environment ?? [:]
            let later = own.filter { $0.value.contains("$(LOOPD_") || $0.value.contains("${image:") }
            environment.merge(own.filter { later[$0.key] == nil })
            if !later.isEmpty {
                report.notices.append("only while it runs here: \(later.keys.sorted().joined(separator: ", "))")
            }
            report.variables = environment.variables.map { ($0.name, $0.value) }
            report.notices += environment.notices
            return .done
        } catch let error as LoopFailure {
            report.failure = error.failure
        } catch {
            report.failure = LoopEvent.Failure("the environment of the pod could not be read: \(error)")
        }
        return Task.isCancelled ? .interrupted : .failed
    }

    /// What a running pod of the service refers to, else what its template does.
    private func references(
        _ service: Service, _ target: Target, _ connection: ClusterConnection, _ report: inout EnvironmentReport
    ) async throws -> PodReferences {
        let namespace = configuration.namespace
        guard let state = await look(target, connection) else { throw CancellationError() }
        if let problem = state.disconnection { throw LoopFailure(failure: LoopEvent.Failure(problem)) }
        for pod in state.pods {
            guard let name = service.container ?? pod.usualContainer, pod.instance(of: name) != nil else { continue }
            return try await PodReferences.read(
                pod: pod.object, container: name, namespace: namespace, files: false, client: connection.client)
        }
        guard case .workload(let kind, let name) = target, let workload = state.workload else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(target): none runs in namespace \(namespace)", nextStep: "bring it there: loopd deploy"))
        }
        report.notices.append("no pod of \(target) runs: these are the variables of its template")
        let template = kind == .pod ? workload : workload.at("spec", "template") ?? .null
        guard let container = DevTemplate.target(of: template, service.container)?["name"]?.string else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(kind.rawValue)/\(name): its pods have several containers, or not this one",
                    nextStep: "set the service's \"container\" in loop.json"))
        }
        return try await PodReferences.read(
            pod: template, container: container, namespace: namespace, isTemplate: true, files: false,
            client: connection.client)
    }
}
