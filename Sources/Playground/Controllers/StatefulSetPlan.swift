internal import JSON

/// What a StatefulSet does next about its pods: a pure function of what there is.
enum StatefulSetPlan {
    enum Step: Equatable {
        /// A pod of this ordinal, of the newest revision or the one before.
        case create(Int, isNewest: Bool)
        case delete(String)
    }

    /// The number in a pod's name; `nil` where it is none of the set's names.
    static func ordinal(of pod: JSON, in set: JSON) -> Int? {
        let prefix = "\(set.at("metadata", "name")?.string ?? "")-"
        guard let name = pod.at("metadata", "name")?.string, name.hasPrefix(prefix) else { return nil }
        let suffix = name.dropFirst(prefix.count)
        return Int(suffix).flatMap { $0 >= 0 && String($0) == suffix ? $0 : nil }
    }

    /// The ordinals that should have a pod.
    static func ordinals(_ set: JSON) -> Range<Int> {
        let start = Int(Int32(clamping: set.at("spec", "ordinals", "start")?.integer ?? 0))
        return start..<start + max(0, Rollout.replicas(set))
    }

    /// The next steps, given the pods by ordinal and the name of the newest revision.
    ///
    /// `OrderedReady` takes one step at a time, and none while a pod before it is not available.
    static func steps(_ set: JSON, _ pods: [Int: JSON], newest: String, at now: Timestamp) -> [Step] {
        let isOrdered = set.at("spec", "podManagementPolicy") != "Parallel"
        let patience = set.at("spec", "minReadySeconds")?.integer ?? 0
        let wanted = ordinals(set)
        func isHealthy(_ pod: JSON) -> Bool {
            PodState.isActive(pod) && PodState.isAvailable(pod, minReadySeconds: patience, at: now)
        }
        var steps: [Step] = []
        for ordinal in wanted {
            guard let pod = pods[ordinal] else {
                steps.append(.create(ordinal, isNewest: ordinal >= firstUpdated(set)))
                if isOrdered { return steps }
                continue
            }
            if hasEnded(pod), !isLeaving(pod) { steps.append(.delete(name(pod))) }
            if isOrdered, !steps.isEmpty || !isHealthy(pod) { return steps }
        }
        let condemned = pods.keys.filter { !wanted.contains($0) }.sorted(by: >)
        for ordinal in condemned {
            guard let pod = pods[ordinal] else { continue }
            if isLeaving(pod) {
                if isOrdered { return steps }
                continue
            }
            steps.append(.delete(name(pod)))
            if isOrdered { return steps }
        }
        guard steps.isEmpty, isRolling(set) else { return steps }
        var budget = unavailable(set)
        for ordinal in wanted.reversed() where ordinal >= firstUpdated(set) && budget > 0 {
            guard let pod = pods[ordinal] else { continue }
            if revision(pod) != newest, !isLeaving(pod) {
                steps.append(.delete(name(pod)))
                budget -= 1
            } else if !isHealthy(pod) {
                budget -= 1
            }
        }
        return steps
    }

    static func isRolling(_ set: JSON) -> Bool { set.at("spec", "updateStrategy", "type") == "RollingUpdate" }

    static func revision(_ pod: JSON) -> String? { pod.at("metadata", "labels", RevisionHistory.podLabel)?.string }

    /// The ordinal from which on pods are of the newest revision.
    private static func firstUpdated(_ set: JSON) -> Int {
        let partition = set.at("spec", "updateStrategy", "rollingUpdate", "partition")?.integer ?? 0
        return ordinals(set).lowerBound + (isRolling(set) ? Int(Int32(clamping: partition)) : 0)
    }

    private static func unavailable(_ set: JSON) -> Int {
        let limit = set.at("spec", "updateStrategy", "rollingUpdate", "maxUnavailable")
        return limit == nil ? 1 : max(1, Rollout.share(limit, of: Rollout.replicas(set), roundsUp: true))
    }

    private static func hasEnded(_ pod: JSON) -> Bool {
        ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
    }

    private static func isLeaving(_ pod: JSON) -> Bool { pod.at("metadata", "deletionTimestamp") != nil }

    private static func name(_ pod: JSON) -> String { pod.at("metadata", "name")?.string ?? "" }
}
