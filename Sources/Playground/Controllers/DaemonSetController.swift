internal import JSON

/// Keeps one pod of a DaemonSet on each node.
struct DaemonSetController: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "daemonset-controller")
    }

    var watched: [ResourceKind] { [.daemonSet, .pod, .node] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        switch kind {
        case .daemonSet: return [itself(event.object)]
        case .node:
            // What a node reports of itself changes nothing.
            let isSame =
                event.type != .deleted
                && event.previous?.at("metadata", "labels") == event.object.at("metadata", "labels")
            return event.previous != nil && isSame ? [] : store.list(.daemonSet).items.map(itself)
        default: return owners(.daemonSet, concernedBy: event)
        }
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        // One that is being deleted makes nothing any more, not even a revision: that would hold it up.
        guard let set = store.get(.daemonSet, key.namespace, key.name), set.at("metadata", "deletionTimestamp") == nil
        else { return nil }
        var history = RevisionHistory(store: store, set: set, kind: .daemonSet)
        let newest = try history.ensureNewest()
        let nodes = store.list(.node).items
        let plan = DaemonPods(set: set, newest: Self.hash(newest), now: .now)
        var hasFailed = false
        for step in plan.steps(nodes: nodes, pods: pods(of: set)) where !hasFailed {
            switch step {
            case .create(let node): hasFailed = !create(on: node, Self.hash(newest), for: set)
            case .delete(let name):
                try store.delete(.pod, key.namespace, name)
                events.record(set, .daemonSet, reason: "SuccessfulDelete", message: "Deleted pod: \(name)")
            }
        }
        let isWaiting = try report(set, plan, nodes)
        let used = pods(of: set).compactMap { $0.at("metadata", "labels", RevisionHistory.podLabel)?.string }
        try history.forgetOldest { used.contains(Self.hash($0)) }
        return hasFailed || isWaiting ? .seconds(1) : nil
    }

    private static func hash(_ revision: JSON) -> String {
        revision.at("metadata", "labels", RevisionHistory.podLabel)?.string ?? ""
    }

    private func pods(of set: JSON) -> [JSON] { Ownership.claim(.pod, for: set, .daemonSet, in: store) }

    /// Creates a pod for a node; `false` where that was refused.
    private func create(on node: String, _ hash: String, for set: JSON) -> Bool {
        var pod = OwnedPod.from(set.at("spec", "template"), of: set, .daemonSet)
        pod.edit("metadata") { metadata in
            metadata.setDefault("labels", [:])
            metadata.edit("labels") { labels in
                labels[RevisionHistory.podLabel] = .string(hash)
                labels["pod-template-generation"] = TemplateGeneration.of(set)
            }
        }
        pod.edit("spec") { DaemonPods.bind(&$0, to: node) }
        do {
            let created = try OwnedPod.create(pod, in: store)
            events.record(
                set, .daemonSet, reason: "SuccessfulCreate",
                message: "Created pod: \(created.at("metadata", "name")?.string ?? "")")
            return true
        } catch {
            events.record(
                set, .daemonSet, type: "Warning", reason: "FailedCreate", message: "Error creating: \(error)")
            return false
        }
    }

    /// Writes the status; returns whether a pod becomes available by time alone.
    private func report(_ set: JSON, _ plan: DaemonPods, _ nodes: [JSON]) throws -> Bool {
        let pods = pods(of: set).filter(PodState.isActive)
        var counts: [String: Int64] = [:]
        func count(_ field: String) { counts[field, default: 0] += 1 }
        var isWaiting = false
        for node in nodes {
            let there = pods.filter { DaemonPods.node(of: $0) == node.at("metadata", "name")?.string }
            guard plan.wants(node) else {
                if !there.isEmpty { count("numberMisscheduled") }
                continue
            }
            count("desiredNumberScheduled")
            if !there.isEmpty { count("currentNumberScheduled") }
            if there.contains(where: PodState.isReady) { count("numberReady") }
            if there.contains(where: plan.isNewest) { count("updatedNumberScheduled") }
            count(there.contains(where: plan.isAvailable) ? "numberAvailable" : "numberUnavailable")
            if there.contains(where: { PodState.isReady($0) && !plan.isAvailable($0) }) { isWaiting = true }
        }
        var status: JSON = [:]
        for field in ["currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady"] {
            status[field] = .integer(counts[field] ?? 0)
        }
        status["observedGeneration"] = set.at("metadata", "generation")
        for field in ["updatedNumberScheduled", "numberAvailable", "numberUnavailable"] {
            status[field] = counts[field].map { .integer($0) }
        }
        let name = set.at("metadata", "name")?.string ?? ""
        try store.modify(.daemonSet, set.at("metadata", "namespace")?.string, name, part: .status) { set in
            for field in ["collisionCount", "conditions"] { status[field] = set.at("status", field) }
            set["status"] = status
        }
        return isWaiting
    }
}
