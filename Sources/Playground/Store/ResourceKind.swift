/// A kind of object that the API serves: its names, and whether it lives in a namespace.
struct ResourceKind: Hashable, Sendable {
    /// The API group; empty is the core group.
    let group: String
    let version: String
    let kind: String
    let plural: String
    let singular: String
    let shortNames: [String]
    let isNamespaced: Bool
    /// The groups of kinds that `kubectl get all` and the like ask for.
    let categories: [String]

    init(
        group: String = "", version: String = "v1", _ kind: String, plural: String, singular: String,
        shortNames: [String] = [], isNamespaced: Bool = true, categories: [String] = []
    ) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.singular = singular
        self.shortNames = shortNames
        self.isNamespaced = isNamespaced
        self.categories = categories
    }

    static func == (left: ResourceKind, right: ResourceKind) -> Bool {
        left.plural == right.plural && left.group == right.group
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(plural)
        hasher.combine(group)
    }

    /// `v1`, or `apps/v1`: an object's `apiVersion`.
    var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// `pods`, or `deployments.apps`: how messages name the kind.
    var qualifiedName: String { group.isEmpty ? plural : "\(plural).\(group)" }

    /// Whether `metadata.generation` counts the changes of its `spec`.
    var hasGeneration: Bool { self == .pod || self == .endpointSlice || isWorkload }

    /// Whether it makes pods from a template.
    var isWorkload: Bool { isScalable || self == .daemonSet || self == .job }

    /// Whether it is asked for a number of pods, and has a `scale` view.
    var isScalable: Bool { self == .deployment || self == .replicaSet || self == .statefulSet }

    static let configMap = ResourceKind(
        "ConfigMap", plural: "configmaps", singular: "configmap", shortNames: ["cm"])
    static let event = ResourceKind("Event", plural: "events", singular: "event", shortNames: ["ev"])
    static let namespace = ResourceKind(
        "Namespace", plural: "namespaces", singular: "namespace", shortNames: ["ns"], isNamespaced: false)
    static let node = ResourceKind(
        "Node", plural: "nodes", singular: "node", shortNames: ["no"], isNamespaced: false)
    static let pod = ResourceKind(
        "Pod", plural: "pods", singular: "pod", shortNames: ["po"], categories: ["all"])
    static let resourceQuota = ResourceKind(
        "ResourceQuota", plural: "resourcequotas", singular: "resourcequota", shortNames: ["quota"])
    static let secret = ResourceKind("Secret", plural: "secrets", singular: "secret")
    static let service = ResourceKind(
        "Service", plural: "services", singular: "service", shortNames: ["svc"], categories: ["all"])
    static let endpoints = ResourceKind(
        "Endpoints", plural: "endpoints", singular: "endpoints", shortNames: ["ep"])
    static let endpointSlice = ResourceKind(
        group: "discovery.k8s.io", "EndpointSlice", plural: "endpointslices", singular: "endpointslice")
    static let serviceAccount = ResourceKind(
        "ServiceAccount", plural: "serviceaccounts", singular: "serviceaccount", shortNames: ["sa"])
    static let deployment = ResourceKind(
        group: "apps", "Deployment", plural: "deployments", singular: "deployment", shortNames: ["deploy"],
        categories: ["all"])
    static let replicaSet = ResourceKind(
        group: "apps", "ReplicaSet", plural: "replicasets", singular: "replicaset", shortNames: ["rs"],
        categories: ["all"])
    static let statefulSet = ResourceKind(
        group: "apps", "StatefulSet", plural: "statefulsets", singular: "statefulset", shortNames: ["sts"],
        categories: ["all"])
    static let daemonSet = ResourceKind(
        group: "apps", "DaemonSet", plural: "daemonsets", singular: "daemonset", shortNames: ["ds"],
        categories: ["all"])
    static let job = ResourceKind(group: "batch", "Job", plural: "jobs", singular: "job", categories: ["all"])
    static let controllerRevision = ResourceKind(
        group: "apps", "ControllerRevision", plural: "controllerrevisions", singular: "controllerrevision")

    /// Every kind that is stored and served.
    static let served: [ResourceKind] = [
        .configMap, .endpoints, .event, .namespace, .node, .pod, .resourceQuota, .secret, .service, .serviceAccount,
        .deployment, .replicaSet, .statefulSet, .daemonSet, .controllerRevision, .job, .endpointSlice,
    ]
}
