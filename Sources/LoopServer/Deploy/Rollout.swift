internal import JSON

/// Whether what was applied runs.
enum Rollout {
    /// Whether every pod of a workload is up to date, as `kubectl rollout status` sees it; of a Job and a pod, whether they
    /// are ready, or have succeeded.
    ///
    /// - Parameter byHand: somebody deletes the pods of a workload whose controller leaves that to others (`OnDelete`).
    static func isDone(_ kind: WorkloadKind, _ workload: JSON, byHand: Bool = false) -> Bool {
        let spec = workload["spec"] ?? [:]
        let status = workload["status"] ?? [:]
        func count(_ key: String) -> Int64 { status[key]?.integer ?? 0 }
        // A Job's controller does not say which generation it has seen, and a pod has none.
        if kind.rollsOut, count("observedGeneration") < workload.at("metadata", "generation")?.integer ?? 0 {
            return false
        }
        let replicas = spec["replicas"]?.integer ?? 1
        switch kind {
        case .deployment:
            return count("updatedReplicas") >= replicas && count("replicas") <= count("updatedReplicas")
                && count("availableReplicas") >= count("updatedReplicas")
        case .statefulset:
            if spec.at("updateStrategy", "type")?.string == "OnDelete", !byHand { return true }
            let partition = spec.at("updateStrategy", "rollingUpdate", "partition")?.integer ?? 0
            return count("updatedReplicas") >= replicas - partition && count("readyReplicas") >= replicas
        case .daemonset:
            if spec.at("updateStrategy", "type")?.string == "OnDelete", !byHand { return true }
            let wanted = count("desiredNumberScheduled")
            return count("updatedNumberScheduled") >= wanted && count("numberAvailable") >= wanted
        case .job:
            if status.condition("Complete")?["status"]?.string == "True" { return true }
            if spec["suspend"]?.bool == true { return count("active") == 0 }
            let wanted = min(spec["parallelism"]?.integer ?? 1, spec["completions"]?.integer ?? .max)
            return count("active") > 0 && count("ready") >= min(wanted, count("active"))
        case .pod:
            return status["phase"]?.string == "Succeeded" || status.condition("Ready")?["status"]?.string == "True"
        }
    }
}
