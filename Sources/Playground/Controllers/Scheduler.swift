internal import JSON

/// Puts pods onto the one node, where they fit.
struct Scheduler: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "default-scheduler")
    }

    var watched: [ResourceKind] { [.pod, .node] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        if kind == .pod, event.type != .deleted, PodState.isActive(event.object) {
            return Self.isWaiting(event.object) ? [itself(event.object)] : []
        }
        // A node, or a pod that makes room: whoever waits may fit now.
        if kind == .node, event.previous?["spec"] == event.object["spec"],
            event.previous?.at("status", "allocatable") == event.object.at("status", "allocatable")
        {
            return []
        }
        return store.list(.pod).items.filter(Self.isWaiting).map(itself)
    }

    private static func isWaiting(_ pod: JSON) -> Bool {
        pod.at("spec", "nodeName") == nil && PodState.isActive(pod)
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        guard let pod = store.get(.pod, key.namespace, key.name), Self.isWaiting(pod) else { return nil }
        let nodes = store.list(.node).items
        if let refusal = Self.refusal(of: pod, nodes: nodes, others: store.list(.pod).items) {
            let message = JSON.string(refusal)
            let changed = try store.modify(.pod, key.namespace, key.name, part: .status, by: .scheduler) { pod in
                guard PodState.condition("PodScheduled", of: pod)?["message"] != message else { return }
                Self.setScheduled(
                    &pod,
                    [
                        "type": "PodScheduled", "observedGeneration": pod.at("metadata", "generation") ?? 1,
                        "status": "False", "lastProbeTime": nil,
                        "lastTransitionTime": .string(Timestamp.now.description), "reason": "Unschedulable",
                        "message": message,
                    ])
            }
            if changed != pod {
                events.recordNew(
                    pod, .pod, type: "Warning", reason: "FailedScheduling", action: "Scheduling", message: refusal)
            }
            return nil
        }
        let node = nodes.first?.at("metadata", "name")?.string ?? ""
        // A binding: what it writes is nobody's.
        try store.modify(.pod, key.namespace, key.name, by: nil) { pod in
            guard Self.isWaiting(pod) else { return }
            pod["spec"]?["nodeName"] = .string(node)
            Self.setScheduled(
                &pod,
                [
                    "type": "PodScheduled", "status": "True", "lastProbeTime": nil,
                    "lastTransitionTime": .string(Timestamp.now.description),
                ])
            if let ordered = try? ObjectDecoder.decode(pod["spec"] ?? [:], as: Schema.structure("PodSpec")) {
                pod["spec"] = ordered.value
            }
        }
        events.recordNew(
            pod, .pod, type: "Normal", reason: "Scheduled", action: "Binding",
            message: "Successfully assigned \(key.namespace)/\(key.name) to \(node)")
        return nil
    }

    private static func setScheduled(_ pod: inout JSON, _ condition: JSON) {
        let others = (pod.at("status", "conditions")?.array ?? []).filter { $0["type"] != "PodScheduled" }
        var status = pod["status"] ?? [:]
        let quality = status["qosClass"]
        status["qosClass"] = nil
        status["conditions"] = .array(others + [condition])
        status["qosClass"] = quality
        pod["status"] = status
    }

    /// Why a pod fits on no node, as the scheduler words it; `nil` where it fits.
    static func refusal(of pod: JSON, nodes: [JSON], others: [JSON]) -> String? {
        for volume in pod.at("spec", "volumes")?.array ?? [] {
            // No claim exists here, so each one is missing.
            guard let claim = volume.at("persistentVolumeClaim", "claimName")?.string else { continue }
            return "0/\(nodes.count) nodes are available: persistentvolumeclaim \"\(claim)\" not found. not found"
        }
        guard let node = nodes.first else { return "no nodes available to schedule pods" }
        var reasons: [String] = []
        var isForever = true
        if node.at("spec", "unschedulable") == true, !DaemonPods.ignoresCordon(pod) {
            reasons.append("1 node(s) were unschedulable")
        }
        let labels = node.at("metadata", "labels")
        for (key, value) in pod.at("spec", "nodeSelector")?.object ?? JSONObject() where labels?[key] != value {
            reasons.append("1 node(s) didn't match Pod's node affinity/selector")
            break
        }
        let allocatable = node.at("status", "allocatable")
        let there = others.filter { $0.at("spec", "nodeName") != nil && PodState.isActive($0) }
        if let most = allocatable?["pods"]?.string.flatMap({ Int($0) }), there.count >= most {
            reasons.append("1 Too many pods")
            isForever = false
        }
        for resource in ["cpu", "memory"] {
            guard let most = allocatable?[resource]?.string.flatMap({ Quantity($0) }) else { continue }
            guard let asked = PodResources.total("requests", of: resource, for: pod), asked > .zero else { continue }
            if there.reduce(asked, { $0 + (PodResources.total("requests", of: resource, for: $1) ?? .zero) }) > most {
                reasons.append("1 Insufficient \(resource)")
                if asked <= most { isForever = false }
            }
        }
        guard !reasons.isEmpty else { return nil }
        return "0/1 nodes are available: \(reasons.joined(separator: ", ")). no new claims to deallocate, preemption: "
            + "0/1 nodes are available: 1 "
            + (isForever
                ? "Preemption is not helpful for scheduling." : "No preemption victims found for incoming pod.")
    }
}
