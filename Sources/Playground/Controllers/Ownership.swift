internal import JSON

/// Who controls whom.
enum Ownership {
    /// The reference to the one owner that controls an object.
    static func controller(of object: JSON) -> JSON? {
        (object.at("metadata", "ownerReferences")?.array ?? []).first { $0["controller"] == true }
    }

    /// A reference by which `owner` controls an object.
    static func reference(to owner: JSON, _ kind: ResourceKind) -> JSON {
        [
            "apiVersion": .string(kind.apiVersion), "kind": .string(kind.kind),
            "name": owner.at("metadata", "name") ?? "", "uid": owner.at("metadata", "uid") ?? "", "controller": true,
            "blockOwnerDeletion": true,
        ]
    }

    /// The objects that `owner` controls: those whose labels left its selector are released, and those in it that nobody
    /// controls are taken, where `mayTake` agrees.
    static func claim(
        _ kind: ResourceKind, for owner: JSON, _ ownerKind: ResourceKind, in store: ObjectStore,
        mayTake: (JSON) -> Bool = { _ in true }
    ) -> [JSON] {
        let namespace = owner.at("metadata", "namespace")?.string
        let uid = owner.at("metadata", "uid")
        let selector = LabelSelector(selector: owner.at("spec", "selector"))
        let isLeaving = owner.at("metadata", "deletionTimestamp") != nil
        return store.list(kind, namespace).items.compactMap { object in
            let matches = selector.matches(object.at("metadata", "labels"))
            let name = object.at("metadata", "name")?.string ?? ""
            if let controller = controller(of: object) {
                guard controller["uid"] == uid else { return nil }
                if matches || isLeaving { return object }
                _ = try? store.modify(kind, namespace, name) { object in
                    let others = (object.at("metadata", "ownerReferences")?.array ?? []).filter { $0["uid"] != uid }
                    object["metadata"]?["ownerReferences"] = .array(others)
                }
                return nil
            }
            guard matches, !isLeaving, object.at("metadata", "deletionTimestamp") == nil, mayTake(object)
            else { return nil }
            return try? store.modify(kind, namespace, name) { object in
                let others = object.at("metadata", "ownerReferences")?.array ?? []
                object["metadata"]?["ownerReferences"] = .array(others + [reference(to: owner, ownerKind)])
            }
        }
    }
}
