/// A kind that clients know and the playground does not serve: it is refused by name.
struct RefusedKind: Sendable, Equatable {
    let group: String
    let kind: String
    let plural: String
    var version = "v1"
    var shortNames: [String] = []
    var isNamespaced = true

    /// `kubectl describe namespace` looks for some kinds, and goes on only where they are not found.
    private var isOptional: Bool { kind == "LimitRange" || kind == "Lease" }

    var refusal: StatusError {
        StatusError(
            code: isOptional ? 404 : 501, reason: isOptional ? "NotFound" : "NotImplemented",
            message: "the playground does not serve \(kind) objects yet; it serves "
                + ResourceKind.served.map(\.kind).joined(separator: ", "))
    }

    /// Their groups in the order of a real cluster's.
    static let all: [RefusedKind] = [
        RefusedKind(group: "", kind: "LimitRange", plural: "limitranges", shortNames: ["limits"]),
        RefusedKind(
            group: "", kind: "PersistentVolumeClaim", plural: "persistentvolumeclaims", shortNames: ["pvc"]),
        RefusedKind(
            group: "", kind: "PersistentVolume", plural: "persistentvolumes", shortNames: ["pv"], isNamespaced: false),
        RefusedKind(group: "", kind: "PodTemplate", plural: "podtemplates"),
        RefusedKind(group: "", kind: "ReplicationController", plural: "replicationcontrollers", shortNames: ["rc"]),
        RefusedKind(
            group: "autoscaling", kind: "HorizontalPodAutoscaler", plural: "horizontalpodautoscalers", version: "v2",
            shortNames: ["hpa"]),
        RefusedKind(group: "batch", kind: "CronJob", plural: "cronjobs", shortNames: ["cj"]),
        RefusedKind(group: "networking.k8s.io", kind: "Ingress", plural: "ingresses", shortNames: ["ing"]),
        RefusedKind(
            group: "networking.k8s.io", kind: "NetworkPolicy", plural: "networkpolicies", shortNames: ["netpol"]),
        RefusedKind(group: "policy", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", shortNames: ["pdb"]),
        RefusedKind(
            group: "rbac.authorization.k8s.io", kind: "ClusterRole", plural: "clusterroles", isNamespaced: false),
        RefusedKind(
            group: "rbac.authorization.k8s.io", kind: "ClusterRoleBinding", plural: "clusterrolebindings",
            isNamespaced: false),
        RefusedKind(group: "rbac.authorization.k8s.io", kind: "Role", plural: "roles"),
        RefusedKind(group: "rbac.authorization.k8s.io", kind: "RoleBinding", plural: "rolebindings"),
        RefusedKind(
            group: "storage.k8s.io", kind: "StorageClass", plural: "storageclasses", shortNames: ["sc"],
            isNamespaced: false),
        RefusedKind(group: "coordination.k8s.io", kind: "Lease", plural: "leases"),
    ]
}
