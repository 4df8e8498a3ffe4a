internal import JSON

/// Which kinds the cluster knows, and by which paths: asked once for each group and version.
actor APIResources {
    private let client: KubeClient
    private var kinds: [String: [String: KubeResource]] = [:]

    init(_ client: KubeClient) { self.client = client }

    /// The resource of a kind; `nil` where the cluster does not know it.
    func resource(of reference: ObjectReference) async throws -> KubeResource? {
        if let known = kinds[reference.apiVersion]?[reference.kind] { return known }
        // Not known yet, or not there yet: a definition may have come meanwhile.
        let asked = try await client.kinds(reference.apiVersion)
        kinds[reference.apiVersion] = asked
        return asked[reference.kind]
    }
}

extension KubeClient {
    /// The kinds of a group and version; none where the cluster does not know it.
    fileprivate func kinds(_ apiVersion: String) async throws -> [String: KubeResource] {
        let parts = apiVersion.split(separator: "/")
        let (group, version) = parts.count == 2 ? (String(parts[0]), String(parts[1])) : ("", apiVersion)
        let list: JSON
        do {
            list = try await resources(group: group, version: version)
        } catch let error as KubeError where error.isNotFound {
            return [:]
        }
        var kinds: [String: KubeResource] = [:]
        for entry in list["resources"]?.array ?? [] {
            // Parts of objects, such as `deployments/scale`, have kinds too.
            guard let plural = entry["name"]?.string, !plural.contains("/"), let kind = entry["kind"]?.string else {
                continue
            }
            kinds[kind] = KubeResource(
                group: group, version: version, plural: plural, isNamespaced: entry["namespaced"]?.bool ?? true)
        }
        return kinds
    }
}
