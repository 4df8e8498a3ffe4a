internal import JSON

/// What is in a namespace, of every kind that the cluster knows: with the namespace all of it would go.
struct NamespaceContents: Sendable {
    let client: KubeClient
    let namespace: String
    /// What goes anyway.
    let going: [ObjectReference]
    /// The releases that go: helm keeps them in objects of its own.
    let releases: [String]
    /// The inventories that go.
    let lists: [String]

    /// Why the namespace has to stay, for people; `nil` where nothing of others is in it.
    func obstacle() async throws -> String? {
        let kinds: [ServedKind]
        do {
            kinds = try await deletableKinds()
        } catch let error as KubeError {
            return "the cluster does not say what is in it: \(error)"
        }
        var obstacles = Array(repeating: String?.none, count: kinds.count)
        try await withThrowingTaskGroup(of: (Int, String?).self) { group in
            for number in kinds.indices {
                if number >= NamespaceContents.width, let (done, words) = try await group.next() {
                    obstacles[done] = words
                }
                group.addTask { (number, try await obstacle(among: kinds[number])) }
            }
            for try await (done, words) in group { obstacles[done] = words }
        }
        return obstacles.lazy.compactMap(\.self).first
    }

    /// How many questions are asked at a time.
    private static let width = 8

    /// The kinds that namespaces hold objects of, each in one of its versions.
    private func deletableKinds() async throws -> [ServedKind] {
        var kinds: [ServedKind] = []
        for version in try await client.apiVersions() {
            for kind in try await client.kinds(of: version)
            where kind.resource.isNamespaced && kind.verbs.isSuperset(of: ["list", "delete"])
                && !NamespaceContents.unheld.contains(kind.kind)
                && !kinds.contains(where: { $0.resource.isSame(as: kind.resource) })
            {
                kinds.append(kind)
            }
        }
        return kinds
    }

    /// What the cluster and programs in it write down by themselves.
    private static let unheld: Set<String> = ["Event", "Endpoints", "EndpointSlice", "Lease"]

    private func obstacle(among kind: ServedKind) async throws -> String? {
        let objects: [JSON]
        do {
            objects = try await client.list(.init(kind.resource, namespace: namespace), metadataOnly: true).items
        } catch let error as KubeError where [404, 405, 501].contains(error.code) {
            // A kind that the cluster does not have after all has no objects.
            return nil
        } catch let error as KubeError {
            return "the cluster does not say what is in it: \(error)"
        }
        for object in objects {
            if let words = obstacle(kind, object["metadata"] ?? .null) { return words }
        }
        return nil
    }

    /// Why an object keeps the namespace, for people; `nil` for one that goes, or that is nobody's.
    func obstacle(_ kind: ServedKind, _ metadata: JSON) -> String? {
        let name = metadata["name"]?.string ?? ""
        let labels = metadata.strings("labels")
        if metadata["ownerReferences"]?.array?.isEmpty == false || isUsual(kind.kind, name, metadata) { return nil }
        if labels["owner"] == "helm", releases.contains(labels["name"] ?? "") { return nil }
        if labels[ClusterConnection.ownLabel] == "loopd" {
            guard kind.kind == "ConfigMap", name.hasPrefix(Inventory.prefix), !lists.contains(name) else { return nil }
            return "what was deployed for service \(labels[Inventory.service] ?? "") is in it"
        }
        let isGoing = going.contains {
            // kluctl names no groups.
            let isSameGroup = $0.apiVersion.isEmpty || $0.group == kind.resource.group
            return $0.kind == kind.kind && isSameGroup && $0.name == name && $0.namespace == namespace
        }
        return isGoing ? nil : "\(kind.kind.lowercased())/\(name) is not loopd's"
    }

    /// Whether the cluster puts an object into every namespace.
    private func isUsual(_ kind: String, _ name: String, _ metadata: JSON) -> Bool {
        switch kind {
        case "ServiceAccount": name == "default"
        // Those of well-known systems beside the cluster's own.
        case "ConfigMap": ["kube-root-ca.crt", "istio-ca-root-cert", "openshift-service-ca.crt"].contains(name)
        // The token of an account, which goes with it.
        case "Secret": metadata.strings("annotations")["kubernetes.io/service-account.name"] != nil
        default: false
        }
    }
}

extension KubeResource {
    /// Whether both are of one kind: it may be served in several versions.
    fileprivate func isSame(as other: KubeResource) -> Bool { group == other.group && plural == other.plural }
}
