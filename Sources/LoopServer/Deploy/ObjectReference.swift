internal import JSON

/// Which object of a cluster is meant: what stays the same however its content changes.
struct ObjectReference: Hashable, Comparable, Sendable, CustomStringConvertible {
    let apiVersion: String
    let kind: String
    /// `nil` for an object that belongs to the whole cluster.
    let namespace: String?
    let name: String

    /// The reference of an object; `nil` where it has no kind or no name.
    init?(_ object: JSON) {
        guard let apiVersion = object["apiVersion"]?.string, let kind = object["kind"]?.string,
            let name = object.at("metadata", "name")?.string, !name.isEmpty
        else { return nil }
        self.init(
            apiVersion: apiVersion, kind: kind, namespace: object.at("metadata", "namespace")?.string, name: name)
    }

    init(apiVersion: String, kind: String, namespace: String?, name: String) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.namespace = namespace
        self.name = name
    }

    /// A workload of a kind that rolls out.
    init(_ kind: WorkloadKind, _ name: String, namespace: String) {
        let kinds: [WorkloadKind: String] = [
            .deployment: "Deployment", .statefulset: "StatefulSet", .daemonset: "DaemonSet",
        ]
        self.init(apiVersion: "apps/v1", kind: kinds[kind] ?? "", namespace: namespace, name: name)
    }

    /// As people write it: `deployment/web`.
    var description: String { "\(kind.lowercased())/\(name)" }

    /// Whether both are one object: its kind may be served in several versions.
    func isSame(as other: ObjectReference) -> Bool {
        group == other.group && kind == other.kind && namespace == other.namespace && name == other.name
    }

    /// Whether its values are nobody's to read, encrypted or not.
    var hasSecrets: Bool { kind == "Secret" || kind == "SopsSecret" }

    /// The API group; empty for the core's.
    var group: Substring { apiVersion.contains("/") ? apiVersion.prefix { $0 != "/" } : "" }

    /// What others need is applied first and deleted last: namespaces, definitions, accounts, then the rest, and workloads
    /// after the configuration that their pods mount.
    private var rank: Int {
        let order = [
            "Namespace", "CustomResourceDefinition", "PriorityClass", "ResourceQuota", "LimitRange", "ServiceAccount",
            "Secret", "ConfigMap", "StorageClass", "PersistentVolume", "PersistentVolumeClaim", "ClusterRole",
            "ClusterRoleBinding", "Role", "RoleBinding", "Service",
        ]
        return order.firstIndex(of: kind) ?? order.count
    }

    static func < (left: ObjectReference, right: ObjectReference) -> Bool {
        (left.rank, left.kind, left.namespace ?? "", left.name, left.apiVersion)
            < (right.rank, right.kind, right.namespace ?? "", right.name, right.apiVersion)
    }

    /// The workload that it is, where it is one that rolls out.
    var workload: WorkloadKind? { workloadKind.flatMap { $0.rollsOut ? $0 : nil } }

    /// The kind of workload that it is, also a Job or a pod.
    var workloadKind: WorkloadKind? {
        guard let found = WorkloadKind(rawValue: kind.lowercased()) else { return nil }
        let home: Substring = found == .job ? "batch" : found == .pod ? "" : "apps"
        return group == home ? found : nil
    }
}
