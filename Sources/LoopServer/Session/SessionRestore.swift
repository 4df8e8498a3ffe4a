internal import JSON

extension SessionRun {
    /// Takes the chosen services' workloads out of dev mode, or with `all` every one of the namespace that is in it.
    func restore(all: Bool) async -> (RestoreReport, Outcome) {
        await reporting { connection, report in
            await restore(all: all, connection, &report)
        }
    }

    private func restore(
        all: Bool, _ connection: ClusterConnection, _ report: inout RestoreReport
    ) async -> Outcome {
        let client = connection.client
        var programs: Set<String> = []
        do {
            for (service, kind, name) in all ? try await everyWorkload(client) : chosenWorkloads {
                let (entry, program) = await restore(service, kind, name, client)
                if let entry { report.workloads.append(entry) }
                if let program { programs.insert(program) }
            }
            try await recreate(all: all, client, &report)
            if !programs.isEmpty {
                try? await ProgramConfigMap(client: client, namespace: configuration.namespace).removeUnused(programs)
            }
        } catch {
            report.workloads.append(.init(target: "namespace \(configuration.namespace)", problem: "\(error)"))
        }
        return report.workloads.allSatisfy { $0.problem == nil } ? .done : .failed
    }

    /// Takes the chosen services' workloads out of dev mode; returns what has prevented it.
    func leaveDevMode(_ connection: ClusterConnection) async -> [String] {
        var report = RestoreReport(context: connection.context.name, namespace: configuration.namespace)
        _ = await restore(all: false, connection, &report)
        return report.workloads.compactMap { entry in entry.problem.map { "\(entry.target): \($0)" } }
    }

    /// Makes anew what was deleted for that, by a loopd that was killed before it did.
    private func recreate(all: Bool, _ client: KubeClient, _ report: inout RestoreReport) async throws {
        let kept = KeptObjects(client: client, namespace: configuration.namespace)
        // Jobs and pods of deployed sets, too, which are no service's own.
        let inventories = (try? await InventoryStore.all(client, namespace: configuration.namespace)) ?? []
        let deployed = inventories.filter { entry in
            entry.project == configuration.project && services.contains { $0.name == entry.service }
        }.flatMap(\.inventory.objects)
        func isListed(_ object: KeptObjects.Kept) -> Bool {
            deployed.contains { $0.workloadKind == object.kind && $0.name == object.name }
        }
        do {
            let isMeant: (KeptObjects.Kept) -> Bool = { all || service(of: $0) != nil || isListed($0) }
            for ended in try await kept.finish(where: isMeant, emit: { _ in }) {
                var entry = RestoreReport.Entry(target: ended.kept.workload, service: service(of: ended.kept))
                entry.isRecreated = ended.problem == nil
                entry.problem = ended.problem.map { "\($0); secret/\(ended.kept.secret) keeps it" }
                report.workloads.append(entry)
            }
        } catch let error as KubeError where error.isForbidden {
            // Who may not keep anything there has kept nothing.
        }
    }

    /// The same at a session's start, for its own services; without a limit until the task is cancelled.
    func finishRecreations(_ client: KubeClient, limit: Duration?) async {
        guard services.contains(where: { if case .workload(let kind, _) = $0.target { !kind.rollsOut } else { false } })
        else { return }
        let kept = KeptObjects(client: client, namespace: configuration.namespace)
        let emit = emit
        do {
            try await kept.finish(where: { service(of: $0) != nil }, limit: limit) {
                emit(LoopEvent($0))
            } onEnd: { ended in
                let workload = ended.kept.workload
                if Task.isCancelled { return }
                let end = ended.problem.map { "is not there again: \($0)" } ?? "is there again"
                emit(LoopEvent(.notice("\(workload) was deleted to be made anew, and \(end)")))
            }
        } catch let error as KubeError where error.isForbidden || error.isNotFound {
            // Who may not keep anything there has kept nothing.
        } catch {
            if !Task.isCancelled {
                report(.notice("what was deleted to be made anew cannot be looked for: \(error)"))
            }
        }
    }

    private func service(of object: KeptObjects.Kept) -> String? {
        configuration.services.first { isChosen($0) && $0.target == .workload(object.kind, name: object.name) }?.name
    }

    private typealias Named = (service: String?, kind: WorkloadKind, name: String)

    private var chosenWorkloads: [Named] {
        configuration.services.filter(isChosen).compactMap { service in
            guard case .workload(let kind, let name) = service.target else { return nil }
            return (service.name, kind, name)
        }
    }

    private func everyWorkload(_ client: KubeClient) async throws -> [Named] {
        var found: [Named] = []
        for kind in WorkloadKind.rolling {
            let list = try await client.list(.init(kind.resource, namespace: configuration.namespace))
            for object in list.items
            where DevRecord.text(in: object) != nil || FieldManagers.ownsImage(in: object, kind) {
                let name = object.at("metadata", "name")?.string ?? ""
                let service = configuration.services.first { $0.target == .workload(kind, name: name) }
                found.append((service?.name, kind, name))
            }
        }
        return found
    }

    /// Restores one workload; nothing is reported of one that is not in dev mode.
    private func restore(
        _ service: String?, _ kind: WorkloadKind, _ name: String, _ client: KubeClient
    ) async -> (RestoreReport.Entry?, program: String?) {
        let namespace = configuration.namespace
        var entry = RestoreReport.Entry(target: "\(kind.rawValue)/\(name)", service: service)
        let keeper = LeaseKeeper(client, kind, name: name, namespace: namespace, session: SessionRun.randomName())
        do {
            let object = try await client.get(kind.resource, name, namespace: namespace)
            let isHeld = Lease(of: object)?.isHeld(at: Timestamp.now().seconds) == true
            guard DevRecord.text(in: object) != nil else {
                // What a loopd has set that is still there is its own.
                guard FieldManagers.ownsImage(in: object, kind), !isHeld || options.takeOver else { return (nil, nil) }
                try await keeper.take(takeOver: options.takeOver)
                try await DevRestore(client: client, namespace: namespace).giveBack(kind, name)
                if !isHeld { await keeper.release() }
                entry.isGivenBack = true
                return (entry, nil)
            }
            try await keeper.take(takeOver: options.takeOver)
            let restore = DevRestore(client: client, namespace: namespace)
            let restored = try await restore.restore(kind, name)
            if let restored { entry.left = await restore.settle(kind, name, restored) }
            // A lease that was taken over stays: from it the other loopd learns that it is not to put anything back.
            if !isHeld { await keeper.release() }
            guard let restored else { return (nil, nil) }
            entry.container = restored.container
            entry.kept = restored.kept
            return (entry, restored.program)
        } catch let error as KubeError where error.isNotFound {
            return (nil, nil)
        } catch let held as LeaseHeld {
            entry.problem = "\(held.description): end that loopd, or undo it in spite of it with --take-over"
        } catch let failure as LoopFailure {
            await keeper.release()
            entry.problem = [failure.failure.summary, failure.failure.nextStep].compactMap { $0 }.joined(
                separator: "; ")
        } catch {
            await keeper.release()
            entry.problem = "\(error)"
        }
        return (entry, nil)
    }
}
