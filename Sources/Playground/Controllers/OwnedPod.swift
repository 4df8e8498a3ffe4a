internal import JSON

/// A pod that a controller makes from a template.
enum OwnedPod {
    /// A pod of the template, controlled by `owner`; its name is made of the owner's, unless it gets one.
    static func from(_ template: JSON?, of owner: JSON, _ kind: ResourceKind) -> JSON {
        var pod: JSON = template ?? [:]
        var metadata = pod["metadata"] ?? [:]
        metadata["generateName"] = .string("\(owner.at("metadata", "name")?.string ?? "")-")
        metadata["namespace"] = owner.at("metadata", "namespace")
        metadata["ownerReferences"] = [Ownership.reference(to: owner, kind)]
        pod["metadata"] = metadata
        return pod
    }

    /// Creates a pod as a client's would be: with defaults, checked.
    static func create(_ pod: JSON, in store: ObjectStore) throws -> JSON {
        var pod = pod
        Defaults.begin(&pod, .pod)
        Defaults.apply(to: &pod, .pod)
        try Validation.check(pod, .pod)
        return try store.create(.pod, pod, admit: PodAdmission.admit)
    }
}

extension Controller {
    /// The owners of a kind that a pod's change concerns.
    func owners(_ ownerKind: ResourceKind, concernedBy event: StoredEvent) -> [ObjectKey] {
        let namespace = event.object.at("metadata", "namespace")?.string ?? ""
        guard let owner = Ownership.controller(of: event.object) ?? event.previous.flatMap(Ownership.controller) else {
            // Nobody's pod: whoever selects it may take it.
            return store.list(ownerKind, namespace).items.filter {
                LabelSelector(selector: $0.at("spec", "selector")).matches(event.object.at("metadata", "labels"))
            }.map(itself)
        }
        guard owner["kind"] == .string(ownerKind.kind) else { return [] }
        return [ObjectKey(namespace: namespace, name: owner["name"]?.string ?? "")]
    }
}
