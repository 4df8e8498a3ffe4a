internal import JSON

/// The pod templates that a StatefulSet or DaemonSet has had, each a ControllerRevision.
struct RevisionHistory {
    /// The label of pods that names their revision.
    static let podLabel = "controller-revision-hash"

    private let store: ObjectStore
    private let set: JSON
    private let kind: ResourceKind
    /// The oldest first.
    private var revisions: [JSON]

    init(store: ObjectStore, set: JSON, kind: ResourceKind) {
        self.store = store
        self.set = set
        self.kind = kind
        revisions = Ownership.claim(.controllerRevision, for: set, kind, in: store).sorted {
            Self.number($0) < Self.number($1)
        }
    }

    static func name(_ revision: JSON) -> String { revision.at("metadata", "name")?.string ?? "" }

    static func number(_ revision: JSON) -> Int64 { revision["revision"]?.integer ?? 0 }

    /// The pod template that a revision keeps.
    static func template(_ revision: JSON) -> JSON {
        var template = revision.at("data", "spec", "template") ?? [:]
        template["$patch"] = nil
        return template
    }

    func named(_ name: String?) -> JSON? { revisions.first { Self.name($0) == name } }

    /// What `kubectl rollout undo` sends back as a patch.
    private var data: JSON {
        var template = set.at("spec", "template") ?? [:]
        template["$patch"] = "replace"
        return Rollout.canonical(["spec": ["template": template]])
    }

    /// The newest revision, which has the present template.
    ///
    /// A template that was there before gets its revision back, with a new number.
    mutating func ensureNewest() throws -> JSON {
        let data = data
        let next = (revisions.last.map(Self.number) ?? 0) &+ 1
        let namespace = set.at("metadata", "namespace")?.string
        guard let index = revisions.lastIndex(where: { Rollout.canonical($0["data"] ?? [:]) == data }) else {
            let revision = try create(data, number: next)
            revisions.append(revision)
            return revision
        }
        guard index != revisions.endIndex - 1 else { return revisions[index] }
        let renewed = try store.modify(.controllerRevision, namespace, Self.name(revisions[index])) {
            $0["revision"] = .integer(next)
        }
        revisions.remove(at: index)
        revisions.append(renewed)
        return renewed
    }

    private func create(_ data: JSON, number: Int64) throws -> JSON {
        let hash = Rollout.hash(set)
        let name = set.at("metadata", "name")?.string ?? ""
        var labels = set.at("spec", "template", "metadata", "labels") ?? [:]
        labels[kind == .daemonSet ? Self.podLabel : "controller.kubernetes.io/hash"] = .string(hash)
        var metadata: JSON = ["name": .string("\(name)-\(hash)")]
        metadata["namespace"] = set.at("metadata", "namespace")
        metadata["labels"] = labels
        metadata["annotations"] = set.at("metadata", "annotations")
        metadata["ownerReferences"] = [Ownership.reference(to: set, kind)]
        do {
            return try store.create(
                .controllerRevision, ["metadata": metadata, "data": data, "revision": .integer(number)])
        } catch let error as StatusError where error.reason == "AlreadyExists" {
            // Another template has this hash: the next look uses another one.
            try store.modify(kind, set.at("metadata", "namespace")?.string, name, part: .status) { set in
                let count = set.at("status", "collisionCount")?.integer ?? 0
                set.setDefault("status", [:])
                set["status"]?["collisionCount"] = .integer(count &+ 1)
            }
            throw error
        }
    }

    /// Deletes the oldest revisions beyond the limit; those that are `used` stay.
    func forgetOldest(used: (JSON) -> Bool) throws {
        guard let limit = set.at("spec", "revisionHistoryLimit")?.integer else { return }
        let idle = revisions.dropLast().filter { !used($0) }
        for revision in idle.prefix(max(0, idle.count - Int(limit))) {
            try store.delete(
                .controllerRevision, set.at("metadata", "namespace")?.string, Self.name(revision))
        }
    }
}
