internal import JSON

/// Keeps as many pods of a ReplicaSet as it asks for.
struct ReplicaSetController: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "replicaset-controller")
    }

    /// As many pods are created at one go: a slip in `replicas` can be mended before all of them are there.
    private static let burst = 500

    var watched: [ResourceKind] { [.replicaSet, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        kind == .replicaSet ? [itself(event.object)] : owners(.replicaSet, concernedBy: event)
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        guard let set = store.get(.replicaSet, key.namespace, key.name) else { return nil }
        let owned = Ownership.claim(.pod, for: set, .replicaSet, in: store)
        let active = owned.filter(PodState.isActive)
        let wanted = Rollout.replicas(set)
        var failure: JSON?
        if set.at("metadata", "deletionTimestamp") == nil {
            if active.count < wanted {
                failure = create(min(wanted - active.count, Self.burst), for: set)
            } else if active.count > wanted {
                for pod in PodState.leastNeeded(active).prefix(active.count - wanted) {
                    let name = pod.at("metadata", "name")?.string ?? ""
                    try store.delete(.pod, key.namespace, name)
                    events.record(set, .replicaSet, reason: "SuccessfulDelete", message: "Deleted pod: \(name)")
                }
            }
        }
        return try report(key, failure: failure)
    }

    /// Creates pods; returns a `ReplicaFailure` condition where one was refused.
    private func create(_ count: Int, for set: JSON) -> JSON? {
        for _ in 0..<count {
            do {
                let pod = OwnedPod.from(set.at("spec", "template"), of: set, .replicaSet)
                let created = try OwnedPod.create(pod, in: store)
                events.record(
                    set, .replicaSet, reason: "SuccessfulCreate",
                    message: "Created pod: \(created.at("metadata", "name")?.string ?? "")")
            } catch {
                events.record(
                    set, .replicaSet, type: "Warning", reason: "FailedCreate", message: "Error creating: \(error)")
                return [
                    "type": "ReplicaFailure", "status": "True",
                    "lastTransitionTime": .string(Timestamp.now.description), "reason": "FailedCreate",
                    "message": .string("\(error)"),
                ]
            }
        }
        return nil
    }

    private func report(_ key: ObjectKey, failure: JSON?) throws -> Duration? {
        guard let set = store.get(.replicaSet, key.namespace, key.name) else { return nil }
        let owned = Ownership.claim(.pod, for: set, .replicaSet, in: store)
        let active = owned.filter(PodState.isActive)
        let ready = active.filter(PodState.isReady)
        let patience = set.at("spec", "minReadySeconds")?.integer ?? 0
        let now = Timestamp.now
        let available = ready.filter { PodState.isAvailable($0, minReadySeconds: patience, at: now) }
        let labels = LabelSelector(selector: ["matchLabels": set.at("spec", "template", "metadata", "labels") ?? [:]])
        let labelled = active.count { labels.matches($0.at("metadata", "labels")) }
        let leaving = owned.count { $0.at("metadata", "deletionTimestamp") != nil }
        var status: JSON = ["replicas": .integer(Int64(active.count))]
        for (field, count) in [
            ("fullyLabeledReplicas", labelled), ("readyReplicas", ready.count), ("availableReplicas", available.count),
        ] where count > 0 { status[field] = .integer(Int64(count)) }
        status["terminatingReplicas"] = .integer(Int64(leaving))
        status["observedGeneration"] = set.at("metadata", "generation")
        if let failure {
            // The next pod has another name, and is refused for the same reason: the first message stays, as in Kubernetes.
            let old = set.at("status", "conditions")?[0]
            status["conditions"] = [old?["reason"] == failure["reason"] ? old ?? failure : failure]
        }
        try store.modify(.replicaSet, key.namespace, key.name, part: .status) { $0["status"] = status }
        if failure != nil { return .seconds(1) }
        // A pod becomes available by time alone.
        return ready.count > available.count ? .seconds(1) : nil
    }
}
