internal import JSON

/// What a Deployment reports, from what its ReplicaSets report.
struct DeploymentStatus {
    private(set) var value: JSON
    private let deployment: JSON
    private let old: JSON

    init(_ deployment: JSON, new: JSON?, all: [JSON]) {
        self.deployment = deployment
        old = deployment["status"] ?? [:]
        func sum(_ field: String) -> Int { all.reduce(0) { $0 + Rollout.reported(field, $1) } }
        let available = sum("availableReplicas")
        let wanted = all.reduce(0) { $0 + Rollout.replicas($1) }
        value = ["observedGeneration": deployment.at("metadata", "generation") ?? 1]
        let counts = [
            ("replicas", sum("replicas")), ("updatedReplicas", new.map { Rollout.reported("replicas", $0) } ?? 0),
            ("readyReplicas", sum("readyReplicas")), ("availableReplicas", available),
            ("unavailableReplicas", wanted - available),
        ]
        for (field, count) in counts where count > 0 { value[field] = .integer(Int64(count)) }
        value["terminatingReplicas"] = .integer(Int64(sum("terminatingReplicas")))
        value["conditions"] = old["conditions"]
        value["collisionCount"] = old["collisionCount"]
        let needed = Rollout.replicas(deployment) - Rollout.limits(deployment).unavailable
        if available >= needed {
            set("Available", "True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
        } else {
            set(
                "Available", "False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
        }
    }

    /// Sets a condition; one of the same status and reason stays as it is, one of the same status keeps its time.
    mutating func set(_ type: String, _ status: String, _ reason: String, _ message: String, force: Bool = false) {
        DeploymentStatus.set(&value, type, status, reason, message, force: force)
    }

    static func set(
        _ value: inout JSON, _ type: String, _ status: String, _ reason: String, _ message: String, force: Bool = false
    ) {
        let conditions = value["conditions"]?.array ?? []
        let current = conditions.first { $0["type"] == .string(type) }
        if !force, current?["status"] == .string(status), current?["reason"] == .string(reason) { return }
        let now = JSON.string(Timestamp.now.description)
        let since = current?["status"] == .string(status) ? current?["lastTransitionTime"] ?? now : now
        value["conditions"] = .array(
            conditions.filter { $0["type"] != .string(type) } + [
                [
                    "type": .string(type), "status": .string(status), "lastUpdateTime": now,
                    "lastTransitionTime": since, "reason": .string(reason), "message": .string(message),
                ]
            ])
    }

    func condition(_ type: String) -> JSON? {
        (value["conditions"]?.array ?? []).first { $0["type"] == .string(type) }
    }

    private func count(_ field: String, _ status: JSON) -> Int { Int(status[field]?.integer ?? 0) }

    /// Whether every replica is of the current template, and available.
    var isComplete: Bool {
        let desired = Rollout.replicas(deployment)
        return count("updatedReplicas", value) == desired && count("replicas", value) == desired
            && count("availableReplicas", value) == desired
    }

    private var isProgressing: Bool {
        let updated = count("updatedReplicas", value)
        let before = count("updatedReplicas", old)
        return updated != before
            || count("replicas", value) - updated < count("replicas", old) - before
            || count("readyReplicas", value) > count("readyReplicas", old)
            || count("availableReplicas", value) > count("availableReplicas", old)
    }

    /// Judges the progress of the rollout; returns when its deadline passes, where it waits for one.
    mutating func judgeProgress(new: JSON?, all: [JSON]) -> Duration? {
        let subject =
            new.map { "ReplicaSet \"\($0.at("metadata", "name")?.string ?? "")\"" }
            ?? "Deployment \"\(deployment.at("metadata", "name")?.string ?? "")\""
        let wasComplete =
            count("replicas", value) == count("updatedReplicas", value)
            && condition("Progressing")?["reason"] == "NewReplicaSetAvailable"
        var deadline: Duration?
        if let seconds = deployment.at("spec", "progressDeadlineSeconds")?.integer, !wasComplete {
            if isComplete {
                set("Progressing", "True", "NewReplicaSetAvailable", "\(subject) has successfully progressed.")
            } else if isProgressing {
                set("Progressing", "True", "ReplicaSetUpdated", "\(subject) is progressing.", force: true)
            }
            deadline = judgeDeadline(seconds, subject)
        }
        let failure = all.lazy.compactMap { set in
            (set.at("status", "conditions")?.array ?? []).first { $0["type"] == "ReplicaFailure" }
        }.first
        if let failure {
            set("ReplicaFailure", "True", failure["reason"]?.string ?? "", failure["message"]?.string ?? "")
        } else if let conditions = value["conditions"]?.array {
            value["conditions"] = .array(conditions.filter { $0["type"] != "ReplicaFailure" })
        }
        return deadline
    }

    private mutating func judgeDeadline(_ seconds: Int64, _ subject: String) -> Duration? {
        guard !isComplete, let now = condition("Progressing"), now["status"] == "True",
            now["reason"] != "NewReplicaSetAvailable",
            let since = now["lastUpdateTime"]?.string.flatMap({ Timestamp($0) })
        else { return nil }
        let left = since.seconds + Int(seconds) - Timestamp.now.seconds
        if left > 0 { return .seconds(left) }
        set("Progressing", "False", "ProgressDeadlineExceeded", "\(subject) has timed out progressing.")
        return nil
    }
}
