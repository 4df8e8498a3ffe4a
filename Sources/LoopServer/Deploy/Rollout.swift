internal import JSON

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
}
