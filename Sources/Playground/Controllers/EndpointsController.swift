internal import JSON

/// Keeps the lists of the pods behind each Service: its EndpointSlices, and its Endpoints for older clients.
///
/// Endpoints that somebody wrote by hand, for a Service without a selector, get an EndpointSlice of the same.
struct EndpointsController: Controller {
    static let serviceLabel = "kubernetes.io/service-name"
    private static let managerLabel = "endpointslice.kubernetes.io/managed-by"
    private static let endpointsLabel = "endpoints.kubernetes.io/managed-by"

    let store: ObjectStore

    var watched: [ResourceKind] { [.service, .pod, .endpoints, .endpointSlice] }

    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey] {
        let key = itself(event.object)
        switch kind {
        case .pod: return store.list(.service, key.namespace).items.map(itself)
        case .endpointSlice:
            let name = event.object.at("metadata", "labels", Self.serviceLabel)?.string
            return name.map { [ObjectKey(namespace: key.namespace, name: $0)] } ?? []
        default: return [key]
        }
    }

    func reconcile(_ key: ObjectKey) throws -> Duration? {
        let endpoints = store.get(.endpoints, key.namespace, key.name)
        let isOwn = endpoints?.at("metadata", "labels", Self.endpointsLabel) == "endpoint-controller"
        guard let service = store.get(.service, key.namespace, key.name),
            service.at("metadata", "deletionTimestamp") == nil
        else {
            // The slices go with their owner.
            if isOwn { try store.delete(.endpoints, key.namespace, key.name) }
            return nil
        }
        guard service.at("spec", "type") != "ExternalName" else { return nil }
        if let selector = service.at("spec", "selector"), !selector.isEmpty {
            let pods = store.list(.pod, key.namespace).items
            let groups = EndpointPlan.groups(of: service, pods)
            try writeSlices(groups.map(EndpointPlan.slice), of: service, by: "endpointslice-controller.k8s.io", key)
            try writeEndpoints(EndpointPlan.subsets(groups, of: service), of: service, endpoints, key)
        } else {
            let mirrored = isOwn ? [] : endpoints.map(EndpointPlan.mirrored) ?? []
            try writeSlices(mirrored, of: service, by: "endpointslicemirroring-controller.k8s.io", key)
        }
        return nil
    }

    private func writeSlices(_ wanted: [JSON], of service: JSON, by manager: String, _ key: ObjectKey) throws {
        var old = store.list(.endpointSlice, key.namespace).items.filter {
            $0.at("metadata", "labels", Self.serviceLabel) == .string(key.name)
                && $0.at("metadata", "labels", Self.managerLabel) == .string(manager)
                && $0.at("metadata", "deletionTimestamp") == nil
        }
        for slice in wanted {
            if let index = old.firstIndex(where: { $0["ports"] == slice["ports"] }) ?? old.indices.first {
                let name = old.remove(at: index).at("metadata", "name")?.string ?? ""
                try store.modify(.endpointSlice, key.namespace, name) { object in
                    for field in ["endpoints", "ports"] where object[field] != slice[field] {
                        object[field] = slice[field]
                    }
                }
                continue
            }
            var object = slice
            object["metadata"] = [
                "generateName": .string("\(key.name)-"), "namespace": .string(key.namespace),
                "labels": [Self.managerLabel: .string(manager), Self.serviceLabel: .string(key.name)],
                "annotations": [
                    "endpoints.kubernetes.io/last-change-trigger-time": .string(Timestamp.now.description)
                ],
                "ownerReferences": [Ownership.reference(to: service, .service)],
            ]
            _ = try store.create(.endpointSlice, object)
        }
        for slice in old {
            try store.delete(.endpointSlice, key.namespace, slice.at("metadata", "name")?.string ?? "")
        }
    }

    private func writeEndpoints(_ subsets: JSON?, of service: JSON, _ old: JSON?, _ key: ObjectKey) throws {
        var labels = service.at("metadata", "labels") ?? [:]
        labels[Self.endpointsLabel] = "endpoint-controller"
        if service.at("spec", "clusterIP") == "None" { labels["service.kubernetes.io/headless"] = "" }
        if old == nil {
            var object: JSON = [
                "metadata": ["name": .string(key.name), "namespace": .string(key.namespace), "labels": labels]
            ]
            object["subsets"] = subsets
            _ = try store.create(.endpoints, object)
            return
        }
        try store.modify(.endpoints, key.namespace, key.name) { object in
            object["subsets"] = subsets
            if object.at("metadata", "labels") != labels { object["metadata"]?["labels"] = labels }
        }
    }
}
