internal import JSON

/// Rolls Deployments: a ReplicaSet for each pod template, scaled up and down within the limits of the strategy.
struct DeploymentController: Controller {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "deployment-controller")
    }

    var watched: [ResourceKind] { [.deployment, .replicaSet, .pod] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        let namespace = event.object.at("metadata", "namespace")?.string ?? ""
        switch kind {
        case .deployment: return [itself(event.object)]
        case .replicaSet:
            guard let owner = Ownership.controller(of: event.object) else {
                return store.list(.deployment, namespace).items.filter {
                    LabelSelector(selector: $0.at("spec", "selector"))
                        .matches(event.object.at("metadata", "labels"))
                }.map(itself)
            }
            return [ObjectKey(namespace: namespace, name: owner["name"]?.string ?? "")]
        default:
            // `Recreate` waits for the last old pod to be gone.
            guard event.type == .deleted, let owner = Ownership.controller(of: event.object),
                let set = store.get(.replicaSet, namespace, owner["name"]?.string ?? ""),
                let deployment = Ownership.controller(of: set)
            else { return [] }
            return [ObjectKey(namespace: namespace, name: deployment["name"]?.string ?? "")]
        }
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        guard let deployment = store.get(.deployment, key.namespace, key.name) else { return nil }
        var run = RolloutRun(store: store, events: events, deployment: deployment)
        if deployment.at("metadata", "deletionTimestamp") != nil { return try run.report(judges: false) }
        if deployment.at("spec", "paused") == true {
            try run.pause()
            try run.scaleInProportion()
            return try run.report(judges: false)
        }
        try run.resume()
        if run.isScaling {
            try run.scaleInProportion()
            return try run.report(judges: false)
        }
        return Rollout.isRecreate(deployment) ? try run.recreate() : try run.roll()
    }
}
