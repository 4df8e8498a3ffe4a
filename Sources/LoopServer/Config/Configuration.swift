internal import JSON

/// A checked `loop.json`: every default filled in, every path absolute and free of `.` and `..`.
public struct Configuration: Equatable, Sendable {
    /// The file it came from, as the user named it.
    public var file: String
    /// The absolute path of the folder that holds the file: the project.
    public var directory: String
    /// The project's name, a DNS label; without the key, the name of the folder.
    public var project: String
    /// The cluster, and which contexts may be touched.
    public var cluster: Cluster
    /// Where images go; `nil` where that is found out.
    public var registry: RegistryNames?
    /// How changes on disk become batches.
    public var watch: WatchSettings
    /// What rules build before they act: the named ones of `builds`, and those that stand in a rule itself.
    public var builds: [Build] = []
    /// The services in the order of the file; names are unique.
    public var services: [Service]
    /// Where values stand that are compared with the disk later, by JSON path.
    var places: [String: Position] = [:]

    /// The namespace of everything: `cluster.namespace`, else the project's name.
    public var namespace: String { cluster.namespace ?? project }
}

/// The `cluster` section.
public struct Cluster: Equatable, Sendable {
    /// Who runs the cluster.
    public enum Provider: String, CaseIterable, Sendable {
        /// The cluster that is built into loopd.
        case playground
        /// Whatever the kubeconfig's context names.
        case existing
    }

    /// Context patterns that are allowed when `allowContexts` is not given: clusters on this machine.
    public static let defaultAllowContexts = [
        "k3d-*", "kind-*", "colima-*", "minikube", "rancher-desktop", "docker-desktop", "loopd-*",
    ]

    /// Who runs the cluster; `playground` without the key.
    public var provider: Provider = .playground
    /// The kubeconfig's context; `nil` is its current one.
    public var context: String?
    /// The namespace; see `Configuration.namespace`.
    public var namespace: String?
    /// The absolute path of a kubeconfig; `nil` leaves it to `KUBECONFIG` and `~/.kube/config`.
    public var kubeconfig: String?
    /// Patterns (`*` matches any characters) of contexts that may be touched.
    public var allowContexts: [String] = Cluster.defaultAllowContexts
    /// The image of the ephemeral container that carries the helper into pods without a shell; `nil` where there is none.
    public var helperImage: String?
    /// The image that is used: the given one, the playground's own, else a small public one with a shell.
    public var usedHelperImage: String { helperImage ?? (provider == .playground ? "host" : "busybox:stable") }

    /// Whether a context may be touched.
    public func allows(context: String) -> Bool {
        allowContexts.contains { ContextPattern.matches($0, context) }
    }
}

/// The `watch` section.
public struct WatchSettings: Equatable, Sendable {
    /// How long it must be quiet before a batch leaves.
    public var debounce: Duration = .milliseconds(5)
    /// How long a batch may be held back by further changes.
    public var maxWait: Duration = .milliseconds(250)
    /// Patterns in the syntax of `.gitignore`, on top of `.gitignore` and `.loopignore`.
    public var ignore: [String] = []
    /// The interval of polling for file systems without inotify; `nil` is no polling.
    public var poll: Duration?
}

/// One entry of `services`.
public struct Service: Equatable, Sendable {
    /// The service's name, a DNS label.
    public var name: String
    /// The absolute path of the folder that the rules' patterns and `manifests` are relative to.
    public var root: String
    /// Which pods; `nil` only for a service whose rules concern none.
    public var target: Target?
    /// The container's name; `nil` is the pod's only one, or the one that `kubectl.kubernetes.io/default-container` names.
    public var container: String?
    /// Absolute paths of files and folders that `watch` applies first.
    public var manifests: [String] = []
    /// Names of services whose files land before this one's.
    public var dependsOn: [String] = []
    /// The rules in order: the first that matches a file takes it.
    public var rules: [Rule] = []
    /// Whether what cannot be changed in place (a Job, a bare pod) may be deleted and made anew.
    public var recreate = false
    /// How it runs while `watch` holds it; `nil` leaves the workload as it is.
    public var dev: DevMode?
    /// How it runs on this machine, where a run chooses that; `nil` where it cannot.
    public var host: Host?
    /// Ports of this machine that lead to its pods while `watch` runs.
    public var forwards: [Forward] = []
    /// Whether it runs on this machine in this run.
    public var isOnHost = false
}

/// Which pods a service is.
public enum Target: Equatable, Sendable, CustomStringConvertible {
    case workload(WorkloadKind, name: String)
    /// A label selector in the API's own syntax: `app=web,tier!=db`.
    case selector(String)

    /// As a person writes it: `deployment/web`, `pods with app=web`.
    public var description: String {
        switch self {
        case .workload(let kind, let name): "\(kind.rawValue)/\(name)"
        case .selector(let selector): "pods with \(selector)"
        }
    }
}

/// The kinds of workload that loopd syncs into.
public enum WorkloadKind: String, CaseIterable, Sendable {
    case deployment
    case statefulset
    case daemonset
    case job
    case pod

    /// The kinds whose controller brings a changed pod template to its pods; what others run cannot be changed, only made
    /// anew.
    static let rolling = allCases.filter(\.rollsOut)

    /// Whether its controller brings a changed pod template to its pods.
    var rollsOut: Bool { self != .job && self != .pod }
}
