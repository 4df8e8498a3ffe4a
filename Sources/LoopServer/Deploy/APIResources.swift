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
        let served = try await client.kinds(of: reference.apiVersion)
        let asked = Dictionary(served.map { ($0.kind, $0.resource) }) { _, last in last }
        kinds[reference.apiVersion] = asked
        return asked[reference.kind]
    }
}

/// A kind as the cluster serves it in one version.
struct ServedKind: Equatable, Sendable {
    let kind: String
    let resource: KubeResource
    let verbs: Set<String>
}

extension KubeClient {
    /// The kinds of a group and version; none where the cluster does not know it.
    func kinds(of apiVersion: String) async throws -> [ServedKind] {
        do {
            return ServedKind.list(try await resources(of: apiVersion), of: apiVersion)
        } catch let error as KubeError where error.isNotFound {
            return []
        }
    }

    /// Every group in each of its versions, the core's first, then those that a group prefers before its others.
    func apiVersions() async throws -> [String] {
        let groups = try await groups()["groups"]?.array ?? []
        return ["v1"]
            + groups.flatMap { group in
                let versions = (group["versions"]?.array ?? []).compactMap { $0["groupVersion"]?.string }
                let preferred = group.at("preferredVersion", "groupVersion")?.string
                return versions.filter { $0 == preferred } + versions.filter { $0 != preferred }
            }
    }
}

extension ServedKind {
    /// From the API's list of the kinds of a group and version.
    static func list(_ list: JSON, of apiVersion: String) -> [ServedKind] {
        let parts = apiVersion.split(separator: "/")
        let (group, version) = parts.count == 2 ? (String(parts[0]), String(parts[1])) : ("", apiVersion)
        return (list["resources"]?.array ?? []).compactMap { entry in
            // Parts of objects, such as `deployments/scale`, have kinds too.
            guard let plural = entry["name"]?.string, !plural.contains("/"), let kind = entry["kind"]?.string else {
                return nil
            }
            let resource = KubeResource(
                group: group, version: version, plural: plural, isNamespaced: entry["namespaced"]?.bool ?? true)
            return ServedKind(
                kind: kind, resource: resource, verbs: Set((entry["verbs"]?.array ?? []).compactMap(\.string)))
        }
    }
}
