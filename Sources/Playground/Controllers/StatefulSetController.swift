internal import JSON

/// Keeps a StatefulSet's pods: each has a name of its own that stays, and an order.
struct StatefulSetController: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "statefulset-controller")
    }

    var watched: [ResourceKind] { [.statefulSet, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        kind == .statefulSet ? [itself(event.object)] : owners(.statefulSet, concernedBy: event)
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        // One that is being deleted makes nothing any more, not even a revision: that would hold it up.
        guard let set = store.get(.statefulSet, key.namespace, key.name),
            set.at("metadata", "deletionTimestamp") == nil
        else { return nil }
        var history = RevisionHistory(store: store, set: set, kind: .statefulSet)
        let newest = try history.ensureNewest()
        let current = history.named(set.at("status", "currentRevision")?.string) ?? newest
        var hasFailed = false
        let steps = StatefulSetPlan.steps(set, pods(of: set), newest: RevisionHistory.name(newest), at: .now)
        for step in steps where !hasFailed {
            switch step {
            case .create(let ordinal, let isNewest):
                hasFailed = !create(ordinal, isNewest ? newest : current, for: set)
            case .delete(let name):
                try store.delete(.pod, key.namespace, name)
                events.record(
                    set, .statefulSet, reason: "SuccessfulDelete",
                    message: "delete Pod \(name) in StatefulSet \(key.name) successful")
            }
        }
        let isWaiting = try report(set, current: current, newest: newest)
        let used = pods(of: set).values.compactMap(StatefulSetPlan.revision)
        try history.forgetOldest { revision in
            let name = RevisionHistory.name(revision)
            return used.contains(name) || name == RevisionHistory.name(current)
        }
        return hasFailed || isWaiting ? .seconds(1) : nil
    }

    private func pods(of set: JSON) -> [Int: JSON] {
        let owned = Ownership.claim(.pod, for: set, .statefulSet, in: store) {
            StatefulSetPlan.ordinal(of: $0, in: set) != nil
        }
        return Dictionary(
            owned.compactMap { pod in StatefulSetPlan.ordinal(of: pod, in: set).map { ($0, pod) } }
        ) { first, _ in first }
    }

    /// Creates the pod of an ordinal; `false` where that was refused.
    private func create(_ ordinal: Int, _ revision: JSON, for set: JSON) -> Bool {
        let setName = set.at("metadata", "name")?.string ?? ""
        let name = "\(setName)-\(ordinal)"
        var pod = OwnedPod.from(RevisionHistory.template(revision), of: set, .statefulSet)
        pod.edit("metadata") { metadata in
            metadata["name"] = .string(name)
            metadata.setDefault("labels", [:])
            metadata.edit("labels") { labels in
                labels["apps.kubernetes.io/pod-index"] = .string(String(ordinal))
                labels[RevisionHistory.podLabel] = .string(RevisionHistory.name(revision))
                labels["statefulset.kubernetes.io/pod-name"] = .string(name)
            }
        }
        pod.edit("spec") { spec in
            spec["hostname"] = .string(name)
            if let service = set.at("spec", "serviceName"), service != "" { spec["subdomain"] = service }
        }
        do {
            _ = try OwnedPod.create(pod, in: store)
            events.record(
                set, .statefulSet, reason: "SuccessfulCreate",
                message: "create Pod \(name) in StatefulSet \(setName) successful")
            return true
        } catch {
            events.record(
                set, .statefulSet, type: "Warning", reason: "FailedCreate",
                message: "create Pod \(name) in StatefulSet \(setName) failed error: \(error)")
            return false
        }
    }

    /// Writes the status; returns whether a pod becomes available by time alone.
    private func report(_ set: JSON, current: JSON, newest: JSON) throws -> Bool {
        let pods = Array(pods(of: set).values)
        let ready = pods.filter { PodState.isActive($0) && PodState.isReady($0) }
        let patience = set.at("spec", "minReadySeconds")?.integer ?? 0
        let now = Timestamp.now
        let available = ready.count { PodState.isAvailable($0, minReadySeconds: patience, at: now) }
        func count(of revision: JSON) -> Int {
            pods.count { PodState.isActive($0) && StatefulSetPlan.revision($0) == RevisionHistory.name(revision) }
        }
        let updated = count(of: newest)
        let wanted = Rollout.replicas(set)
        let isComplete =
            StatefulSetPlan.isRolling(set) && [updated, ready.count, pods.count].allSatisfy { $0 == wanted }
        let shown = isComplete ? newest : current
        var status: JSON = ["replicas": .integer(Int64(pods.count)), "availableReplicas": .integer(Int64(available))]
        status["observedGeneration"] = set.at("metadata", "generation")
        for (field, count) in [
            ("readyReplicas", ready.count), ("currentReplicas", count(of: shown)), ("updatedReplicas", updated),
        ] where count > 0 { status[field] = .integer(Int64(count)) }
        status["currentRevision"] = .string(RevisionHistory.name(shown))
        status["updateRevision"] = .string(RevisionHistory.name(newest))
        let name = set.at("metadata", "name")?.string ?? ""
        try store.modify(.statefulSet, set.at("metadata", "namespace")?.string, name, part: .status) { set in
            status["collisionCount"] = set.at("status", "collisionCount") ?? 0
            status["conditions"] = set.at("status", "conditions")
            set["status"] =
                (try? ObjectDecoder.decode(status, as: Schema.structure("StatefulSetStatus")))?.value ?? status
        }
        return ready.count > available
    }
}
