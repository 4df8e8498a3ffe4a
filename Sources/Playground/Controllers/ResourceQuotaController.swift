internal import JSON

/// Keeps count in the status of quotas.
struct ResourceQuotaController: Controller {
    let store: ObjectStore

    var watched: [ResourceKind] { [.resourceQuota, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        if kind == .resourceQuota { return event.type == .deleted ? [] : [itself(event.object)] }
        return store.list(.resourceQuota, itself(event.object).namespace).items.map(itself)
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        let pods = store.list(.pod, key.namespace).items
        guard store.get(.resourceQuota, key.namespace, key.name) != nil else { return nil }
        try store.modify(.resourceQuota, key.namespace, key.name, part: .status) { quota in
            quota["status"] = ResourceQuota(quota).status(over: pods)
        }
        return nil
    }
}
