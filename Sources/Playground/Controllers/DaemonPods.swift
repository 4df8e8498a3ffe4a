internal import JSON

/// What a DaemonSet does next about its pods on each node: a pure function of what there is.
struct DaemonPods {
    enum Step: Equatable {
        /// One more pod on this node.
        case create(String)
        case delete(String)
    }

    private static let conditions = [
        "not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable",
    ]

    let set: JSON
    /// The value of the pods' label that the newest revision has.
    let newest: String
    let now: Timestamp

    /// Whether the set wants a pod on a node.
    func wants(_ node: JSON) -> Bool {
        let spec = set.at("spec", "template", "spec")
        if let name = spec?["nodeName"], name != node.at("metadata", "name") { return false }
        let labels = node.at("metadata", "labels")
        return (spec?["nodeSelector"]?.object ?? JSONObject()).allSatisfy { labels?[$0.key] == $0.value }
    }

    func isNewest(_ pod: JSON) -> Bool {
        pod.at("metadata", "labels", RevisionHistory.podLabel)?.string == newest
    }

    func isAvailable(_ pod: JSON) -> Bool {
        let patience = set.at("spec", "minReadySeconds")?.integer ?? 0
        return PodState.isActive(pod) && PodState.isAvailable(pod, minReadySeconds: patience, at: now)
    }

    /// The next steps for the nodes that there are, and for pods on nodes that there are not.
    func steps(nodes: [JSON], pods: [JSON]) -> [Step] {
        let wanted = nodes.filter(wants).map(Self.name)
        var steps: [Step] = []
        for pod in pods where !Self.isLeaving(pod) {
            let node = Self.node(of: pod)
            // One that was taken over may not be on any node yet.
            guard !node.isEmpty, !wanted.contains(node) else { continue }
            steps.append(.delete(Self.name(pod)))
        }
        let rolling = set.at("spec", "updateStrategy", "rollingUpdate")
        let isRolling = set.at("spec", "updateStrategy", "type") == "RollingUpdate"
        let byNode = wanted.map { node in (node, pods.filter { Self.node(of: $0) == node }) }
        var surge = Rollout.share(rolling?["maxSurge"], of: wanted.count, roundsUp: true)
        let canSurge = isRolling && surge > 0
        surge -= byNode.count { $0.1.count > 1 }
        var budget = Rollout.share(rolling?["maxUnavailable"], of: wanted.count, roundsUp: true)
        budget -= byNode.count { !$0.1.contains(where: isAvailable) }
        for (node, there) in byNode {
            // A new pod waits until the last one is gone.
            if there.isEmpty { steps.append(.create(node)) }
            for pod in there where Self.hasEnded(pod) && !Self.isLeaving(pod) {
                steps.append(.delete(Self.name(pod)))
            }
            let active = there.filter(PodState.isActive)
            let new = active.filter(isNewest)
            let old = active.filter { !isNewest($0) }
            let order = canSurge && !new.isEmpty ? new : new + old
            for pod in order.dropFirst() { steps.append(.delete(Self.name(pod))) }
            guard isRolling, let last = old.first else { continue }
            if canSurge {
                if new.contains(where: isAvailable) {
                    steps += old.map { .delete(Self.name($0)) }
                } else if new.isEmpty, !isAvailable(last) {
                    steps.append(.delete(Self.name(last)))
                } else if new.isEmpty, surge > 0 {
                    steps.append(.create(node))
                    surge -= 1
                }
            } else if new.isEmpty, !isAvailable(last) {
                steps.append(.delete(Self.name(last)))
            } else if new.isEmpty, budget > 0 {
                steps.append(.delete(Self.name(last)))
                budget -= 1
            }
        }
        return steps
    }

    /// A pod for a node: bound to it by its name, and not put off by what the node suffers from.
    static func bind(_ spec: inout JSON, to node: String) {
        var affinity = spec["affinity"] ?? [:]
        affinity.setDefault("nodeAffinity", [:])
        affinity["nodeAffinity"]?["requiredDuringSchedulingIgnoredDuringExecution"] = [
            "nodeSelectorTerms": [
                ["matchFields": [["key": "metadata.name", "operator": "In", "values": [.string(node)]]]]
            ]
        ]
        spec["affinity"] = affinity
        var tolerations = spec["tolerations"]?.array ?? []
        for condition in conditions + (spec["hostNetwork"] == true ? ["network-unavailable"] : []) {
            let effect: JSON = ["not-ready", "unreachable"].contains(condition) ? "NoExecute" : "NoSchedule"
            let toleration: JSON = [
                "key": .string("node.kubernetes.io/\(condition)"), "operator": "Exists", "effect": effect,
            ]
            if !tolerations.contains(toleration) { tolerations.append(toleration) }
        }
        spec["tolerations"] = .array(tolerations)
    }

    /// Whether a pod may go onto a node that takes no new ones.
    static func ignoresCordon(_ pod: JSON) -> Bool {
        (pod.at("spec", "tolerations")?.array ?? []).contains { toleration in
            guard toleration["effect"] == nil || toleration["effect"] == "NoSchedule" else { return false }
            if toleration["key"] == nil { return toleration["operator"] == "Exists" }
            return toleration["key"] == "node.kubernetes.io/unschedulable"
        }
    }

    /// The node that a pod is on, or for.
    static func node(of pod: JSON) -> String {
        if let name = pod.at("spec", "nodeName")?.string { return name }
        let required = pod.at(
            "spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
        return required?["nodeSelectorTerms"]?[0]?["matchFields"]?[0]?["values"]?[0]?.string ?? ""
    }

    private static func name(_ object: JSON) -> String { object.at("metadata", "name")?.string ?? "" }

    private static func isLeaving(_ pod: JSON) -> Bool { pod.at("metadata", "deletionTimestamp") != nil }

    private static func hasEnded(_ pod: JSON) -> Bool {
        ["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
    }
}
