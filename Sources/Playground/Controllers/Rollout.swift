internal import JSON

/// The numbers of a rolling update, and what a Deployment's parts say about it.
enum Rollout {
    static let revision = "deployment.kubernetes.io/revision"
    static let revisionHistory = "deployment.kubernetes.io/revision-history"
    static let desiredReplicas = "deployment.kubernetes.io/desired-replicas"
    static let maxReplicas = "deployment.kubernetes.io/max-replicas"
    static let templateHash = "pod-template-hash"
    /// Annotations of a Deployment that its ReplicaSets do not inherit.
    private static let ownAnnotations = [
        "kubectl.kubernetes.io/last-applied-configuration", revision, revisionHistory, desiredReplicas, maxReplicas,
        "deprecated.deployment.rollback.to",
    ]

    static func replicas(_ object: JSON) -> Int { bounded(object.at("spec", "replicas")) }

    static func reported(_ field: String, _ object: JSON) -> Int { bounded(object.at("status", field)) }

    /// A count that sums of it cannot overflow with, whatever a client wrote into a status.
    private static func bounded(_ count: JSON?) -> Int { Int(Int32(clamping: count?.integer ?? 0)) }

    static func isRecreate(_ deployment: JSON) -> Bool {
        deployment.at("spec", "strategy", "type") == "Recreate"
    }

    static func annotation(_ name: String, _ object: JSON) -> Int {
        object.at("metadata", "annotations", name)?.string.flatMap { Int($0) } ?? 0
    }

    /// How many pods may be there too many, and how many too few.
    static func limits(_ deployment: JSON) -> (surge: Int, unavailable: Int) {
        guard !isRecreate(deployment) else { return (0, 0) }
        let desired = replicas(deployment)
        let rolling = deployment.at("spec", "strategy", "rollingUpdate")
        let surge = share(rolling?["maxSurge"], of: desired, roundsUp: true)
        var unavailable = share(rolling?["maxUnavailable"], of: desired, roundsUp: false)
        // Small shares of few replicas round to nothing, and nothing could ever move.
        if surge == 0, unavailable == 0 { unavailable = 1 }
        return (surge, desired == 0 ? 0 : min(unavailable, desired))
    }

    static func share(_ value: JSON?, of whole: Int, roundsUp: Bool) -> Int {
        if value?.integer != nil { return max(0, bounded(value)) }
        guard let text = value?.string, text.hasSuffix("%"), let percent = Int(text.dropLast()) else { return 0 }
        let product = min(max(0, percent), 1_000_000) * whole
        return roundsUp ? (product + 99) / 100 : product / 100
    }

    /// How many replicas the new ReplicaSet may have now.
    static func newReplicas(_ deployment: JSON, total: Int, new: Int) -> Int {
        let desired = replicas(deployment)
        if isRecreate(deployment) { return desired }
        let room = desired + limits(deployment).surge - total
        return room <= 0 ? new : new + min(room, max(0, desired - new))
    }

    /// The pod template without the label that names its hash.
    static func template(_ object: JSON) -> JSON {
        var template = object.at("spec", "template") ?? [:]
        template.edit("metadata") { metadata in
            metadata.edit("labels") { $0[templateHash] = nil }
            if metadata["labels"]?.isEmpty == true { metadata["labels"] = nil }
        }
        return template
    }

    /// The hash that names a template's ReplicaSet, in the letters of Kubernetes' names.
    static func hash(_ deployment: JSON) -> String {
        var hash: UInt32 = 2_166_136_261
        let collisions = deployment.at("status", "collisionCount")?.integer ?? 0
        for byte in Array(canonical(template(deployment)).text.utf8) + Array(String(collisions).utf8) {
            hash = (hash ^ UInt32(byte)) &* 16_777_619
        }
        return String(String(hash).utf8.map { RandomNames.alphabet[Int($0) % RandomNames.alphabet.count] })
    }

    /// The same value with all keys sorted: equal templates have equal text.
    static func canonical(_ value: JSON) -> JSON {
        switch value {
        case .object(let object):
            var sorted = JSONObject()
            for (key, member) in object.sorted(by: { $0.key < $1.key }) { sorted[key] = canonical(member) }
            return .object(sorted)
        case .array(let elements): return .array(elements.map(canonical))
        default: return value
        }
    }

    /// The annotations of a ReplicaSet that runs a Deployment's current template as `revision`.
    static func annotations(of set: JSON?, for deployment: JSON, revision: Int) -> JSON {
        var annotations = set?.at("metadata", "annotations") ?? [:]
        for (key, value) in deployment.at("metadata", "annotations")?.object ?? JSONObject()
        where !ownAnnotations.contains(key) {
            annotations[key] = value
        }
        let before = annotations[Rollout.revision]?.string
        if (before.flatMap { Int($0) } ?? 0) < revision {
            annotations[Rollout.revision] = .string(String(revision))
            if let before {
                // It ran before: a rollback. Its earlier numbers are kept.
                let history = annotations[revisionHistory]?.string ?? ""
                annotations[revisionHistory] = .string(history.isEmpty ? before : "\(history),\(before)")
            }
        }
        if set == nil { annotate(&annotations, with: deployment) }
        return annotations
    }

    static func annotate(_ annotations: inout JSON, with deployment: JSON) {
        let desired = replicas(deployment)
        annotations[desiredReplicas] = .string(String(desired))
        annotations[maxReplicas] = .string(String(desired + limits(deployment).surge))
    }

    /// ReplicaSets by age, the oldest first.
    static func oldestFirst(_ sets: [JSON]) -> [JSON] {
        func order(_ set: JSON) -> (String, String) {
            (set.at("metadata", "creationTimestamp")?.string ?? "", set.at("metadata", "name")?.string ?? "")
        }
        return sets.sorted { order($0) < order($1) }
    }
}
