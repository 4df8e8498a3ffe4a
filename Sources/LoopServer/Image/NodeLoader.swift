/// How images come onto the nodes of a cluster that has no registry.
enum NodeLoader: Equatable, Sendable {
    /// `k3d image import`, into a cluster.
    case k3d(cluster: String)
    /// `kind load`, into a cluster.
    case kind(cluster: String)
    /// `minikube image load`, into a profile.
    case minikube(profile: String)
    /// `k3s ctr images import`, on this machine.
    case k3s
    /// The same by containerd's own `ctr`, where there is no `k3s`.
    case k3sSocket
    /// Nothing has to be done: the nodes of this context run what the engine here has.
    case shared(context: String)

    /// As people are told it.
    var title: String {
        switch self {
        case .k3d: "k3d image import"
        case .kind: "kind load"
        case .minikube: "minikube image load"
        case .k3s: "k3s ctr images import"
        case .k3sSocket: "ctr images import"
        case .shared(let context): "\(context)'s engine"
        }
    }

    /// The program that does it; `nil` where there is nothing to do.
    var program: String? {
        switch self {
        case .k3d: "k3d"
        case .kind: "kind"
        case .minikube: "minikube"
        case .k3s: "k3s"
        case .k3sSocket: "ctr"
        case .shared: nil
        }
    }

    /// What a context's name tells; `nil` where it tells nothing.
    init?(context: String) {
        switch context {
        case "docker-desktop", "rancher-desktop", "orbstack", "colima": self = .shared(context: context)
        case "minikube": self = .minikube(profile: context)
        default:
            if context.hasPrefix("colima-") {
                self = .shared(context: context)
            } else if context.hasPrefix("k3d-") {
                self = .k3d(cluster: String(context.dropFirst("k3d-".count)))
            } else if context.hasPrefix("kind-") {
                self = .kind(cluster: String(context.dropFirst("kind-".count)))
            } else {
                return nil
            }
        }
    }
}
