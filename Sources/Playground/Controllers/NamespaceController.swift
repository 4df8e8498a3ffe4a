internal import JSON

/// Gives every namespace its service account, and empties those that are being deleted.
struct NamespaceController: Controller {
    let store: ObjectStore

    var watched: [ResourceKind] { [.namespace, .serviceAccount, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        switch kind {
        case .namespace: return event.type == .deleted ? [] : [itself(event.object)]
        // The last pod's end, or the account's, is what a namespace waits for.
        default:
            guard event.type == .deleted, let name = event.object.at("metadata", "namespace")?.string else { return [] }
            return [ObjectKey(namespace: "", name: name)]
        }
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        guard let namespace = store.get(.namespace, nil, key.name) else { return nil }
        if namespace.at("metadata", "deletionTimestamp") == nil {
            if store.get(.serviceAccount, key.name, "default") == nil {
                _ = try store.create(
                    .serviceAccount, ["metadata": ["name": "default", "namespace": .string(key.name)]])
            }
            return nil
        }
        var left = 0
        // Owners first, so that nobody replaces what is deleted after them; events last, they tell about the others.
        let order: [ResourceKind] = [
            .deployment, .statefulSet, .daemonSet, .job, .replicaSet, .controllerRevision, .pod, .service, .endpoints,
            .endpointSlice, .resourceQuota, .configMap, .secret, .serviceAccount, .event,
        ]
        for kind in order {
            for object in store.list(kind, key.name).items {
                let name = object.at("metadata", "name")?.string ?? ""
                if object.at("metadata", "deletionTimestamp") == nil {
                    try store.delete(kind, key.name, name)
                }
                if store.get(kind, key.name, name) != nil { left += 1 }
            }
        }
        if left > 0 { return .milliseconds(200) }
        try store.modify(.namespace, nil, key.name) { $0["spec"] = [:] }
        return nil
    }
}
