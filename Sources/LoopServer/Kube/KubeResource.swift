internal import HTTP

/// A kind of object as the API's paths name it.
struct KubeResource: Hashable, Sendable {
    /// The API group; empty for the core one.
    let group: String
    let version: String
    /// The plural in lower case.
    let plural: String
    var isNamespaced = true

    static let pods = KubeResource(group: "", version: "v1", plural: "pods")
    static let events = KubeResource(group: "", version: "v1", plural: "events")
    static let configMaps = KubeResource(group: "", version: "v1", plural: "configmaps")
    static let claims = KubeResource(group: "", version: "v1", plural: "persistentvolumeclaims")
    static let nodes = KubeResource(group: "", version: "v1", plural: "nodes", isNamespaced: false)
    static let namespaces = KubeResource(group: "", version: "v1", plural: "namespaces", isNamespaced: false)
    static let services = KubeResource(group: "", version: "v1", plural: "services")
    static let endpointSlices = KubeResource(group: "discovery.k8s.io", version: "v1", plural: "endpointslices")
    static let serviceRanges = KubeResource(
        group: "networking.k8s.io", version: "v1", plural: "servicecidrs", isNamespaced: false)
    static let deployments = KubeResource(group: "apps", version: "v1", plural: "deployments")
    static let replicaSets = KubeResource(group: "apps", version: "v1", plural: "replicasets")
    static let statefulSets = KubeResource(group: "apps", version: "v1", plural: "statefulsets")
    static let daemonSets = KubeResource(group: "apps", version: "v1", plural: "daemonsets")
    static let jobs = KubeResource(group: "batch", version: "v1", plural: "jobs")
    static let serviceAccounts = KubeResource(group: "", version: "v1", plural: "serviceaccounts")
    static let secrets = KubeResource(group: "", version: "v1", plural: "secrets")
    static let controllerRevisions = KubeResource(group: "apps", version: "v1", plural: "controllerrevisions")

    /// The path of the collection, of one object, or of a part of one.
    func path(namespace: String? = nil, name: String? = nil, part: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if isNamespaced, let namespace { path += "/namespaces/" + PercentEncoding.encode(segment: namespace) }
        path += "/" + plural
        if let name { path += "/" + PercentEncoding.encode(segment: name) }
        if let part { path += "/" + part }
        return path
    }
}

extension WorkloadKind {
    /// The API resource of this kind.
    var resource: KubeResource {
        switch self {
        case .deployment: .deployments
        case .statefulset: .statefulSets
        case .daemonset: .daemonSets
        case .job: .jobs
        case .pod: .pods
        }
    }

    /// Where the spec of its pods is in the object.
    var podSpec: [String] { self == .pod ? ["spec"] : ["spec", "template", "spec"] }
}
