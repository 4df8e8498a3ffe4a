internal import JSON

/// What controllers want to know of a pod.
enum PodState {
    /// Whether it counts: it has not ended and is not being deleted.
    static func isActive(_ pod: JSON) -> Bool {
        !hasEnded(pod) && pod.at("metadata", "deletionTimestamp") == nil
    }

    /// Whether its containers have come to their end for good.
    static func hasEnded(_ pod: JSON) -> Bool {
        ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
    }

    static func isReady(_ pod: JSON) -> Bool { condition("Ready", of: pod)?["status"] == "True" }

    /// Whether it has been ready for long enough.
    static func isAvailable(_ pod: JSON, minReadySeconds: Int64, at now: Timestamp) -> Bool {
        guard isReady(pod) else { return false }
        if minReadySeconds == 0 { return true }
        guard let since = readySince(pod) else { return false }
        return since.seconds + Int(minReadySeconds) <= now.seconds
    }

    static func condition(_ type: String, of pod: JSON) -> JSON? {
        (pod.at("status", "conditions")?.array ?? []).first { $0["type"] == .string(type) }
    }

    private static func readySince(_ pod: JSON) -> Timestamp? {
        condition("Ready", of: pod)?["lastTransitionTime"]?.string.flatMap { Timestamp($0) }
    }

    /// The pods in the order in which a scale-down takes them: the least useful first.
    static func leastNeeded(_ pods: [JSON]) -> [JSON] {
        pods.sorted { rank($0).lexicographicallyPrecedes(rank($1)) }
    }

    /// Unassigned, then pending, then not ready, then cheap to delete, then ready for a short time, then often restarted,
    /// then young.
    private static func rank(_ pod: JSON) -> [Int] {
        let phase = pod.at("status", "phase")?.string ?? ""
        let annotations = pod.at("metadata", "annotations")
        let cost = annotations?["controller.kubernetes.io/pod-deletion-cost"]?.string.flatMap { Int($0) } ?? 0
        let restarts = (pod.at("status", "containerStatuses")?.array ?? []).reduce(0) {
            $0 + Int(Int32(clamping: $1["restartCount"]?.integer ?? 0))
        }
        let born = pod.at("metadata", "creationTimestamp")?.string.flatMap { Timestamp($0) }?.seconds ?? 0
        return [
            pod.at("spec", "nodeName") == nil ? 0 : 1, phase == "Pending" ? 0 : phase == "Running" ? 2 : 1,
            isReady(pod) ? 1 : 0, cost, -(isReady(pod) ? readySince(pod)?.seconds ?? 0 : 0), -restarts, -born,
        ]
    }
}
