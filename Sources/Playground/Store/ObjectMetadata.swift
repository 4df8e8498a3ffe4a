internal import JSON

/// Which part of an object a change is about.
enum ObjectPart: Sendable {
    /// Everything but `status`, as a client's update of the object itself; status is kept where the kind has one.
    case spec
    /// Only `status` and annotations, as a controller's report.
    case status
    /// Everything.
    case all
}

/// What the system itself keeps in an object's `metadata`, whatever a client sends.
enum ObjectMetadata {
    /// The keys of `metadata` in the order that the API server writes them.
    private static let order = [
        "name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp",
        "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "ownerReferences", "finalizers",
        "managedFields",
    ]

    /// What only the system writes; `resourceVersion` comes with the commit.
    static let owned = [
        "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
    ]

    static func created(_ given: JSON, kind: ResourceKind, namespace: String?, name: String) -> JSON {
        var metadata = given
        for key in owned + ["selfLink"] { metadata[key] = nil }
        metadata["name"] = .string(name)
        metadata["namespace"] = namespace.map { .string($0) }
        // The selector of a Job is made of its uid.
        let made = kind == .job ? given["uid"] : nil
        metadata["uid"] = made ?? .string(RandomNames.uid())
        metadata["creationTimestamp"] = .string(Timestamp.now.description)
        if kind.hasGeneration { metadata["generation"] = 1 }
        return metadata
    }

    static func updated(_ given: JSON, from current: JSON, kind: ResourceKind, part: ObjectPart) -> JSON {
        var object = given
        var metadata = given["metadata"] ?? [:]
        let old = current["metadata"] ?? [:]
        for key in ["name", "namespace", "generateName", "selfLink"] { metadata[key] = old[key] }
        for key in owned where part != .all || !key.hasPrefix("deletion") { metadata[key] = old[key] }
        for key in ["labels", "annotations", "finalizers", "ownerReferences"] where metadata[key]?.isEmpty == true {
            metadata[key] = nil
        }
        switch part {
        case .all: break
        case .spec:
            if current["status"] != nil { object["status"] = current["status"] }
        case .status:
            metadata["labels"] = old["labels"]
            var kept = current
            kept["status"] = given["status"]
            object = kept
        }
        object["metadata"] = metadata
        object["kind"] = current["kind"]
        object["apiVersion"] = current["apiVersion"]
        if kind.hasGeneration, part != .status {
            // A Deployment's annotations count too: they are copied to its ReplicaSets.
            var before = current["spec"]
            // Being put onto a node is no change of what the pod should be.
            if kind == .pod, before?["nodeName"] == nil { before?["nodeName"] = object.at("spec", "nodeName") }
            let changed =
                object["spec"] != before
                || (kind == .endpointSlice && ["endpoints", "ports"].contains { object[$0] != current[$0] })
                || (kind == .deployment && part == .spec && metadata["annotations"] != old["annotations"])
            let isLeaving = metadata["deletionTimestamp"] != nil && old["deletionTimestamp"] == nil
            if kind == .daemonSet {
                TemplateGeneration.carry(from: current, to: object, &metadata)
                object["metadata"] = metadata
            }
            if changed || isLeaving, let generation = old["generation"]?.integer {
                metadata["generation"] = .integer(generation + 1)
                object["metadata"] = metadata
            }
        }
        return ordered(object, kind)
    }

    /// Whether an object that is being deleted has nothing left to wait for.
    static func isGone(_ object: JSON, _ kind: ResourceKind) -> Bool {
        guard let metadata = object["metadata"], metadata["deletionTimestamp"] != nil,
            metadata["finalizers"]?.array?.isEmpty ?? true
        else { return false }
        switch kind {
        case .namespace: return object.at("spec", "finalizers")?.array?.isEmpty ?? true
        // A pod ends when its node says so, or at once with a grace period of nothing.
        case .pod: return metadata["deletionGracePeriodSeconds"]?.integer == 0
        default: return true
        }
    }

    /// The object with its top-level and metadata keys where the API server writes them.
    static func ordered(_ object: JSON, _ kind: ResourceKind) -> JSON {
        var result: JSON = ["kind": .string(kind.kind), "apiVersion": .string(kind.apiVersion)]
        var metadata = JSON.object(JSONObject())
        let given = object["metadata"] ?? [:]
        for key in order { metadata[key] = given[key] }
        result["metadata"] = metadata
        for (key, value) in object.object ?? JSONObject() where result[key] == nil { result[key] = value }
        return result
    }
}

extension JSON {
    /// Whether this is an object or array without members.
    var isEmpty: Bool {
        switch self {
        case .object(let object): object.isEmpty
        case .array(let array): array.isEmpty
        default: false
        }
    }
}
