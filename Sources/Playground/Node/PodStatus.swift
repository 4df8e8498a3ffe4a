internal import JSON

/// A pod's status, composed from its containers as the kubelet does it: a pure function.
struct PodStatus {
    /// The address of pods that share the machine's network.
    static let sharedAddress = "127.0.0.1"

    let pod: JSON
    let records: [ContainerRecord]
    let now: Timestamp
    /// Whether the pod's folders and volumes are ready for containers.
    var isSandboxReady = true
    /// The pod's address; `nil` while it has none.
    var address: String? = PodStatus.sharedAddress
    /// The node's, as the pod sees it.
    var hostAddress = PodStatus.sharedAddress

    private func of(_ kind: ContainerRecord.Kind) -> [ContainerRecord] { records.filter { $0.kind == kind } }

    /// The whole status; conditions that did not change keep their transition times.
    var json: JSON {
        let old = pod["status"] ?? [:]
        let phase = phase
        var status: JSON = [:]
        status["observedGeneration"] = pod.at("metadata", "generation")
        status["phase"] = .string(phase)
        status["conditions"] = .array(conditions(phase, old: old["conditions"]?.array ?? []))
        for key in ["message", "reason"] { status[key] = old[key] }
        status["hostIP"] = .string(hostAddress)
        status["hostIPs"] = [["ip": .string(hostAddress)]]
        if let address {
            status["podIP"] = .string(address)
            status["podIPs"] = [["ip": .string(address)]]
        }
        status["startTime"] = old["startTime"] ?? .string(now.description)
        for (key, kind) in [
            ("initContainerStatuses", ContainerRecord.Kind.initial), ("containerStatuses", .main),
            ("ephemeralContainerStatuses", .ephemeral),
        ] where !of(kind).isEmpty {
            status[key] = .array(of(kind).map(\.json))
        }
        status["qosClass"] = old["qosClass"] ?? .string(qualityOfService)
        status["resources"] = [:]
        return status
    }

    private var restartPolicy: String { pod.at("spec", "restartPolicy")?.string ?? "Always" }

    /// The phase by the kubelet's own rules; a terminal phase is never left.
    var phase: String {
        if let old = pod.at("status", "phase")?.string, old == "Succeeded" || old == "Failed" { return old }
        let initial = of(.initial)
        if let failed = initial.first(where: { !$0.isSidecar && !$0.hasInitialized }) {
            let hasFailed = (failed.termination?.exitCode ?? 0) != 0 && restartPolicy == "Never"
            if hasFailed { return "Failed" }
            return "Pending"
        }
        let main = of(.main)
        var (running, stopped, succeeded, waiting) = (0, 0, 0, 0)
        for record in main {
            switch record.state {
            case .running: running += 1
            case .terminated(let termination):
                stopped += 1
                if termination.exitCode == 0 { succeeded += 1 }
            case .waiting:
                if record.last != nil { stopped += 1 } else { waiting += 1 }
            }
        }
        if waiting > 0 { return "Pending" }
        if running > 0 { return "Running" }
        if pod.at("metadata", "deletionTimestamp") == nil {
            if restartPolicy == "Always" || main.isEmpty { return "Running" }
            if restartPolicy == "OnFailure", stopped != succeeded { return "Running" }
        }
        return stopped == succeeded ? "Succeeded" : "Failed"
    }

    private func conditions(_ phase: String, old: [JSON]) -> [JSON] {
        let unfinished = of(.initial).filter { !$0.hasInitialized }.map(\.name)
        let unready = of(.main).filter { !$0.isReady }.map(\.name)
        let isOver = phase == "Succeeded" || phase == "Failed"
        let over = isOver ? (phase == "Succeeded" ? "PodCompleted" : "PodFailed") : nil
        let readiness: (Bool, String?, String?) =
            isOver
            ? (false, over, nil)
            : (
                unready.isEmpty, unready.isEmpty ? nil : "ContainersNotReady",
                unready.isEmpty ? nil : "containers with unready status: [\(unready.joined(separator: " "))]"
            )
        let hasInitialized = unfinished.isEmpty
        var all = [
            condition("PodReadyToStartContainers", isSandboxReady && !isOver, nil, nil, old),
            condition(
                "Initialized", hasInitialized || phase == "Succeeded",
                hasInitialized ? (phase == "Succeeded" ? over : nil) : "ContainersNotInitialized",
                hasInitialized ? nil : "containers with incomplete status: [\(unfinished.joined(separator: " "))]", old),
            condition("Ready", readiness.0, readiness.1, readiness.2, old),
            condition("ContainersReady", readiness.0, readiness.1, readiness.2, old),
        ]
        // The others (`PodScheduled`, a disruption) are somebody else's and stay as they are.
        let own = Set(all.compactMap { $0["type"]?.string })
        all += old.filter { !own.contains($0["type"]?.string ?? "") }
        return all
    }

    private func condition(
        _ type: String, _ isTrue: Bool, _ reason: String?, _ message: String?, _ old: [JSON]
    ) -> JSON {
        let status: JSON = isTrue ? "True" : "False"
        let previous = old.first { $0["type"]?.string == type }
        let since = previous?["status"] == status ? previous?["lastTransitionTime"] : nil
        var condition: JSON = ["type": .string(type)]
        condition["observedGeneration"] = pod.at("metadata", "generation")
        condition["status"] = status
        condition["lastProbeTime"] = .null
        condition["lastTransitionTime"] = since ?? .string(now.description)
        condition["reason"] = reason.map { .string($0) }
        condition["message"] = message.map { .string($0) }
        return condition
    }

    private var qualityOfService: String {
        let containers = (pod.at("spec", "containers")?.array ?? []) + (pod.at("spec", "initContainers")?.array ?? [])
        let resources = containers.map { $0["resources"] ?? [:] }
        let names = ["cpu", "memory"]
        if resources.allSatisfy({ ($0["limits"] ?? $0["requests"]) == nil }) { return "BestEffort" }
        let isGuaranteed = resources.allSatisfy { resource in
            names.allSatisfy { name in
                let limit = resource.at("limits", name)
                return limit != nil && (resource.at("requests", name) ?? limit) == limit
            }
        }
        return isGuaranteed ? "Guaranteed" : "Burstable"
    }
}
