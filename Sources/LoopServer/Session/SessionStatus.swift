internal import JSON

extension SessionRun {
    /// What the cluster holds now, by one look at each service.
    func status() async -> (StatusReport, Outcome) {
        await reporting { connection, report in
            await look(connection, &report)
        }
    }

    /// Opens the cluster for a report that `body` completes; one that cannot be reached is in the report.
    func reporting<Report: ClusterReport>(
        _ body: (ClusterConnection, inout Report) async -> Outcome
    ) async -> (Report, Outcome) {
        var report = Report(
            context: configuration.cluster.context ?? "", namespace: configuration.namespace, unreachable: nil)
        let connection: ClusterConnection
        do {
            connection = try await ClusterConnection.open(configuration.cluster, programs: options.programs)
        } catch let error as ClusterError {
            report.unreachable = error.description
            return (report, .cluster)
        } catch {
            return (report, .interrupted)
        }
        report.context = connection.context.name
        let outcome = await body(connection, &report)
        await connection.close()
        return (report, outcome)
    }

    private func look(_ connection: ClusterConnection, _ report: inout StatusReport) async -> Outcome {
        for service in configuration.services where isChosen(service) {
            if let target = service.target {
                report.services.append(await entry(service, target, connection))
            } else {
                report.services.append(StatusReport.Entry(service: service.name, target: ""))
            }
        }
        return report.services.allSatisfy { $0.problem == nil } ? .done : .failed
    }

    private func entry(
        _ service: Service, _ target: Target, _ connection: ClusterConnection
    ) async -> StatusReport.Entry {
        var entry = StatusReport.Entry(service: service.name, target: "\(target)")
        guard let state = await look(target, connection) else {
            entry.problem = "the cluster does not answer"
            return entry
        }
        entry.problem = state.isMissing ? "not in namespace \(configuration.namespace)" : state.disconnection
        entry.holder = state.workload.flatMap { Lease(of: $0) }.flatMap { lease in
            lease.isHeld(at: Timestamp.now().seconds) ? "\(lease.holder), process \(lease.pid)" : nil
        }
        entry.devMode = state.workload.flatMap { workload in
            DevRecord(of: workload).map { record in
                StatusReport.DevMode(
                    container: record.container, since: Timestamp(seconds: record.since), holder: record.holder,
                    lost: record.lost(in: workload).map(\.path.text))
            }
        }
        let events = await warnings(state, service, connection)
        if state.pods.isEmpty || state.lacksPods, entry.problem == nil {
            entry.problem = await shortage(state, target, events, connection)
        }
        let clues = await clues(ImageSet())()
        entry.pods = state.pods.map { pod in
            let name = service.container ?? pod.usualContainer
            let container = pod.lastingContainers.first { $0.name == name }
            return StatusReport.Pod(
                name: pod.name, phase: pod.isTerminating ? "Terminating" : pod.phase,
                isReady: container?.isReady ?? pod.isReady, restarts: container?.restarts ?? 0,
                reason: PodDiagnosis.reason(pod, container: name, events: events, clues: clues))
        }
        return entry
    }

    /// Why a workload has fewer pods than it should have.
    private func shortage(
        _ state: WorkloadState, _ target: Target, _ events: [ObjectEvent], _ connection: ClusterConnection
    ) async -> String? {
        var picture = RolloutPicture(
            target: target, namespace: configuration.namespace, state: state, events: events)
        for question in picture.examineWorkload().questions {
            guard case .templateTime = question, let workload = state.workload else { continue }
            let time = try? await KubeClient.within(.seconds(1), "ask for a revision") {
                try await connection.client.templateTime(of: workload)
            }
            picture.answers[question] = time.map { .time($0) }
        }
        picture.asks = false
        return picture.examineWorkload().diagnoses.first?.failure.summary
    }

    /// What the cluster warns of, asked for only where a pod needs an explanation, or is not there.
    private func warnings(
        _ state: WorkloadState, _ service: Service, _ connection: ClusterConnection
    ) async -> [ObjectEvent] {
        guard state.lacksPods || state.pods.contains(where: { !$0.isReady && !$0.isOver }) else { return [] }
        let scope = KubeClient.Scope(.events, namespace: configuration.namespace, fields: "type=Warning")
        let list = try? await KubeClient.within(.seconds(1), "list events") { try await connection.client.list(scope) }
        return (list?.items ?? []).map { ObjectEvent($0) }
    }

    /// What a target's pods are at this moment.
    func look(_ target: Target, _ connection: ClusterConnection) async -> WorkloadState? {
        let watch = WorkloadWatch(connection.client, target, namespace: configuration.namespace)
        return await withTaskGroup(of: WorkloadState?.self) { group in
            group.addTask {
                await watch.run()
                return nil
            }
            group.addTask { await watch.next() }
            let state = await group.next() ?? nil
            group.cancelAll()
            return state
        }
    }
}
