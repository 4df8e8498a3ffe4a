internal import JSON

/// One look at one Deployment: what it has, and the next step.
struct RolloutRun {
    private let store: ObjectStore
    private let events: EventRecorder
    private var deployment: JSON
    /// The ReplicaSet of the current template, if there is one.
    private var new: JSON?
    /// The others, the oldest first.
    private var old: [JSON]

    private let namespace: String
    private let name: String

    init(store: ObjectStore, events: EventRecorder, deployment: JSON) {
        self.store = store
        self.events = events
        self.deployment = deployment
        namespace = deployment.at("metadata", "namespace")?.string ?? ""
        name = deployment.at("metadata", "name")?.string ?? ""
        let sets = Rollout.oldestFirst(
            Ownership.claim(.replicaSet, for: deployment, .deployment, in: store))
        let template = Rollout.template(deployment)
        new = sets.first { Rollout.template($0) == template }
        let uid = new?.at("metadata", "uid")
        old = sets.filter { $0.at("metadata", "uid") != uid }
    }

    private var all: [JSON] { old + (new.map { [$0] } ?? []) }
    private var total: Int { all.reduce(0) { $0 + Rollout.replicas($1) } }

    // MARK: The strategies

    mutating func roll() throws -> Duration? {
        try ensureNew()
        if try scaleNewUp() { return try report(judges: true) }
        if try scaleOldDown() { return try report(judges: true) }
        return try conclude()
    }

    mutating func recreate() throws -> Duration? {
        var hasScaled = false
        for index in old.indices where Rollout.replicas(old[index]) > 0 {
            try scale(&old[index], to: 0)
            hasScaled = true
        }
        if hasScaled { return try report(judges: true) }
        let uids = old.compactMap { $0.at("metadata", "uid") }
        let isOldRunning = store.list(.pod, namespace).items.contains { pod in
            guard let owner = Ownership.controller(of: pod)?["uid"], uids.contains(owner) else { return false }
            return !["Succeeded", "Failed"].contains(pod.at("status", "phase")?.string ?? "")
        }
        if isOldRunning { return try report(judges: true) }
        try ensureNew()
        _ = try scaleNewUp()
        return try conclude()
    }

    private mutating func conclude() throws -> Duration? {
        let deadline = try report(judges: true)
        if DeploymentStatus(deployment, new: new, all: all).isComplete { try forgetOldest() }
        return deadline
    }

    // MARK: The current ReplicaSet

    /// Creates the current template's ReplicaSet, or brings its annotations up to date; then the Deployment's revision.
    private mutating func ensureNew() throws {
        let revision = (old.map { Rollout.annotation(Rollout.revision, $0) }.max() ?? 0) + 1
        let deployment = deployment
        if let existing = new {
            let updated = try store.modify(.replicaSet, namespace, Self.name(of: existing)) { set in
                let annotations = Rollout.annotations(of: set, for: deployment, revision: revision)
                set["metadata"]?["annotations"] = annotations
                set["spec"]?["minReadySeconds"] = deployment.at("spec", "minReadySeconds")
            }
            new = updated
            try note(
                revision: Rollout.annotation(Rollout.revision, updated), "FoundNewReplicaSet",
                "Found new replica set \"\(Self.name(of: existing))\"", onlyIfMissing: true)
            return
        }
        let hash = Rollout.hash(deployment)
        let setName = "\(name)-\(hash)"
        let replicas = Rollout.newReplicas(deployment, total: total, new: 0)
        var set = replicaSet(setName, hash: hash, replicas: replicas, revision: revision)
        Defaults.begin(&set, .replicaSet)
        Defaults.apply(to: &set, .replicaSet)
        do {
            new = try store.create(.replicaSet, set)
        } catch let error as StatusError where error.reason == "AlreadyExists" {
            // Another template has this hash: the next look uses another one.
            try store.modify(.deployment, namespace, name, part: .status) { deployment in
                let count = deployment.at("status", "collisionCount")?.integer ?? 0
                deployment["status"]?["collisionCount"] = .integer(count &+ 1)
            }
            throw error
        }
        try note(
            revision: revision, "NewReplicaSetCreated", "Created new replica set \"\(setName)\"", onlyIfMissing: false)
        if replicas > 0 {
            events.record(
                deployment, .deployment, reason: "ScalingReplicaSet",
                message: "Scaled up replica set \(setName) from 0 to \(replicas)")
        }
    }

    private func replicaSet(_ setName: String, hash: String, replicas: Int, revision: Int) -> JSON {
        var template = deployment.at("spec", "template") ?? [:]
        template.setDefault("metadata", [:])
        template.edit("metadata") { metadata in
            metadata.setDefault("labels", [:])
            metadata["labels"]?[Rollout.templateHash] = .string(hash)
        }
        var selector = deployment.at("spec", "selector") ?? [:]
        selector.setDefault("matchLabels", [:])
        selector["matchLabels"]?[Rollout.templateHash] = .string(hash)
        var set: JSON = [
            "kind": "ReplicaSet", "apiVersion": "apps/v1",
            "metadata": [
                "name": .string(setName), "namespace": .string(namespace),
                "labels": template.at("metadata", "labels") ?? [:],
                "annotations": Rollout.annotations(of: nil, for: deployment, revision: revision),
                "ownerReferences": [Ownership.reference(to: deployment, .deployment)],
            ],
            "spec": ["replicas": .integer(Int64(replicas)), "selector": selector, "template": template],
        ]
        set["spec"]?["minReadySeconds"] = deployment.at("spec", "minReadySeconds")
        return set
    }

    /// Writes the Deployment's revision, and that its ReplicaSet is there.
    private mutating func note(
        revision: Int, _ reason: String, _ message: String, onlyIfMissing: Bool
    ) throws {
        let hasDeadline = deployment.at("spec", "progressDeadlineSeconds") != nil
        deployment = try store.modify(.deployment, namespace, name, part: .status) { deployment in
            var annotations = deployment.at("metadata", "annotations") ?? [:]
            annotations[Rollout.revision] = .string(String(revision))
            deployment["metadata"]?["annotations"] = annotations
            guard hasDeadline else { return }
            var status = deployment["status"] ?? [:]
            let isThere = (status["conditions"]?.array ?? []).contains { $0["type"] == "Progressing" }
            if !onlyIfMissing || !isThere { DeploymentStatus.set(&status, "Progressing", "True", reason, message) }
            deployment["status"] = status
        }
    }

    // MARK: Scaling

    private mutating func scaleNewUp() throws -> Bool {
        guard var set = new else { return false }
        let current = Rollout.replicas(set)
        let desired = Rollout.replicas(deployment)
        let wanted =
            current >= desired ? desired : Rollout.newReplicas(deployment, total: total, new: current)
        guard wanted != current else { return false }
        try scale(&set, to: wanted)
        new = set
        return true
    }

    private mutating func scaleOldDown() throws -> Bool {
        guard old.contains(where: { Rollout.replicas($0) > 0 }) else { return false }
        let needed = Rollout.replicas(deployment) - Rollout.limits(deployment).unavailable
        let newUnavailable = new.map { Rollout.replicas($0) - Rollout.reported("availableReplicas", $0) } ?? 0
        let most = total - needed - newUnavailable
        guard most > 0 else { return false }
        var count = 0
        // First what does not work anyhow: it costs no availability.
        for index in old.indices where count < most {
            let current = Rollout.replicas(old[index])
            let broken = current - Rollout.reported("availableReplicas", old[index])
            guard current > 0, broken > 0 else { continue }
            let down = min(most - count, broken)
            try scale(&old[index], to: current - down)
            count += down
        }
        var spare = all.reduce(0) { $0 + Rollout.reported("availableReplicas", $1) } - needed
        for index in old.indices where spare > 0 {
            let current = Rollout.replicas(old[index])
            guard current > 0 else { continue }
            let down = min(current, spare)
            try scale(&old[index], to: current - down)
            spare -= down
            count += down
        }
        return count > 0
    }

    /// Whether someone changed the number of replicas since the ReplicaSets were last scaled.
    var isScaling: Bool {
        let desired = Rollout.replicas(deployment)
        // With `Recreate` the old ones go before anything is scaled.
        if Rollout.isRecreate(deployment), all.count(where: { Rollout.replicas($0) > 0 }) > 1 { return false }
        return all.contains { set in
            guard Rollout.replicas(set) > 0,
                let noted = set.at("metadata", "annotations", Rollout.desiredReplicas)?.string
            else { return false }
            return Int(noted) != desired
        }
    }

    /// Spreads a changed number of replicas over the ReplicaSets that run, as they share it now.
    mutating func scaleInProportion() throws {
        let desired = Rollout.replicas(deployment)
        let active = all.filter { Rollout.replicas($0) > 0 }
        if active.count <= 1 {
            guard var only = active.first ?? new ?? old.last else { return }
            try scale(&only, to: desired)
            replace(only)
            return
        }
        guard !Rollout.isRecreate(deployment) else { return }
        let allowed = desired > 0 ? desired + Rollout.limits(deployment).surge : 0
        let difference = allowed - total
        // The largest first, of equals the newest when growing and the oldest when shrinking.
        let ordered = (difference > 0 ? active.reversed() : active).sorted {
            Rollout.replicas($0) > Rollout.replicas($1)
        }
        var left = difference
        var sizes: [Int] = []
        for set in ordered {
            let current = Rollout.replicas(set)
            let noted = Rollout.annotation(Rollout.maxReplicas, set)
            let share = noted > 0 ? Int((Double(current * allowed) / Double(noted)).rounded()) - current : 0
            let step = difference > 0 ? max(0, min(share, left)) : min(0, max(share, left))
            sizes.append(current + step)
            left -= step
        }
        if !sizes.isEmpty { sizes[0] = max(0, sizes[0] + left) }
        for (set, size) in zip(ordered, sizes) {
            var set = set
            try scale(&set, to: size)
            replace(set)
        }
    }

    private mutating func replace(_ set: JSON) {
        let uid = set.at("metadata", "uid")
        if new?.at("metadata", "uid") == uid { new = set }
        for index in old.indices where old[index].at("metadata", "uid") == uid { old[index] = set }
    }

    private func scale(_ set: inout JSON, to replicas: Int) throws {
        let before = Rollout.replicas(set)
        let setName = Self.name(of: set)
        set = try store.modify(.replicaSet, namespace, setName) { set in
            set["spec"]?["replicas"] = .integer(Int64(replicas))
            var annotations = set.at("metadata", "annotations") ?? [:]
            Rollout.annotate(&annotations, with: deployment)
            set["metadata"]?["annotations"] = annotations
        }
        guard before != replicas else { return }
        events.record(
            deployment, .deployment, reason: "ScalingReplicaSet",
            message: "Scaled \(before < replicas ? "up" : "down") replica set \(setName) from \(before) to \(replicas)")
    }

    // MARK: Pausing, history, status

    func pause() throws { try setPaused("DeploymentPaused", "Deployment is paused") }

    func resume() throws {
        guard progressing?["reason"] == "DeploymentPaused" else { return }
        try setPaused("DeploymentResumed", "Deployment is resumed")
    }

    private var progressing: JSON? {
        (deployment.at("status", "conditions")?.array ?? []).first { $0["type"] == "Progressing" }
    }

    private func setPaused(_ reason: String, _ message: String) throws {
        guard deployment.at("spec", "progressDeadlineSeconds") != nil, progressing?["reason"] != .string(reason)
        else { return }
        try store.modify(.deployment, namespace, name, part: .status) { deployment in
            var status = deployment["status"] ?? [:]
            DeploymentStatus.set(&status, "Progressing", "Unknown", reason, message)
            deployment["status"] = status
        }
    }

    private func forgetOldest() throws {
        guard let limit = deployment.at("spec", "revisionHistoryLimit")?.integer else { return }
        let idle = old.filter {
            Rollout.replicas($0) == 0 && Rollout.reported("replicas", $0) == 0
                && $0.at("metadata", "deletionTimestamp") == nil
        }.sorted { Rollout.annotation(Rollout.revision, $0) < Rollout.annotation(Rollout.revision, $1) }
        for set in idle.prefix(max(0, idle.count - Int(limit))) {
            try store.delete(.replicaSet, namespace, Self.name(of: set))
        }
    }

    /// Writes the status; returns when to look again for a deadline.
    mutating func report(judges: Bool) throws -> Duration? {
        var deadline: Duration?
        let (new, all) = (new, all)
        deployment = try store.modify(.deployment, namespace, name, part: .status) { deployment in
            var status = DeploymentStatus(deployment, new: new, all: all)
            if judges { deadline = status.judgeProgress(new: new, all: all) }
            deployment["status"] = status.value
        }
        return deadline
    }

    private static func name(of object: JSON) -> String { object.at("metadata", "name")?.string ?? "" }
}
