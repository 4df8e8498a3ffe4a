internal import JSON
internal import Reactor

/// Whether what was applied runs.
enum Rollout {
    /// Whether a workload's controller has brought every pod up to date, as `kubectl rollout status` sees it.
    static func isDone(_ kind: WorkloadKind, _ workload: JSON) -> Bool {
        let spec = workload["spec"] ?? [:]
        let status = workload["status"] ?? [:]
        func count(_ key: String) -> Int64 { status[key]?.integer ?? 0 }
        guard count("observedGeneration") >= workload.at("metadata", "generation")?.integer ?? 0 else { return false }
        let replicas = spec["replicas"]?.integer ?? 1
        switch kind {
        case .deployment:
            return count("updatedReplicas") >= replicas && count("replicas") <= count("updatedReplicas")
                && count("availableReplicas") >= count("updatedReplicas")
        case .statefulset:
            if spec.at("updateStrategy", "type")?.string == "OnDelete" { return true }
            let partition = spec.at("updateStrategy", "rollingUpdate", "partition")?.integer ?? 0
            return count("updatedReplicas") >= replicas - partition && count("readyReplicas") >= replicas
        case .daemonset:
            if spec.at("updateStrategy", "type")?.string == "OnDelete" { return true }
            let wanted = count("desiredNumberScheduled")
            return count("updatedNumberScheduled") >= wanted && count("numberAvailable") >= wanted
        case .job, .pod: return false
        }
    }

    /// Waits until workloads are rolled out.
    ///
    /// Returns what keeps those back that are not after `limit`: each with the reason of one of its pods.
    static func wait(
        for workloads: [ObjectReference], _ client: KubeClient, limit: Duration = .seconds(120)
    ) async -> [LoopEvent.Failure] {
        await withTaskGroup(of: LoopEvent.Failure?.self) { group in
            for workload in workloads { group.addTask { await wait(for: workload, client, limit: limit) } }
            var failures: [LoopEvent.Failure] = []
            for await failure in group { if let failure { failures.append(failure) } }
            return failures
        }
    }

    private static func wait(
        for reference: ObjectReference, _ client: KubeClient, limit: Duration
    ) async -> LoopEvent.Failure? {
        guard let kind = reference.workload, let namespace = reference.namespace else { return nil }
        let watch = WorkloadWatch(client, .workload(kind, name: reference.name), namespace: namespace)
        let last = LastState()
        let isDone = await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await watch.run()
                return false
            }
            group.addTask {
                while let state = await watch.next() {
                    await last.set(state)
                    if state.disconnection == nil, let workload = state.workload, Rollout.isDone(kind, workload) {
                        return true
                    }
                }
                return false
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return false
            }
            defer { group.cancelAll() }
            return await group.next() ?? false
        }
        guard !isDone, !Task.isCancelled else { return nil }
        let state = await last.state
        let reason = state?.pods.lazy.compactMap { PodDiagnosis.reason($0) }.first ?? state?.reason(container: nil)
        return LoopEvent.Failure(
            "\(reference) is not rolled out after \(limit.components.seconds) s"
                + (reason.map { ": \($0)" } ?? ""),
            nextStep: "`kubectl describe \(reference) -n \(namespace)` tells more")
    }

    private actor LastState {
        var state: WorkloadState?

        func set(_ state: WorkloadState) { self.state = state }
    }
}
