public import JSON

/// The `deploy` of a rule: what the cluster is to hold besides pods.
public struct Deployment: Equatable, Sendable {
    /// Where the manifests come from.
    public var source: Source
    /// How kluctl tells its objects from others'; `nil` leaves it to kluctl's project, or to kubectl without kluctl.
    public var kluctl: Kluctl?

    /// Where manifests come from.
    public enum Source: Equatable, Sendable {
        /// Nix builds them, or the kluctl project.
        case nix(Installable)
        /// Absolute paths of files and folders.
        case manifests([String])
        /// The absolute path of a folder with a kustomization.
        case kustomize(String)
        /// A chart.
        case helm(HelmRelease)
    }

    /// How kluctl is called.
    public enum Kluctl: Equatable, Sendable {
        /// A target of the kluctl project: `-t NAME`.
        case target(String)
        /// No target: `--discriminator NAME`.
        case discriminator(String)
    }

    /// What Nix builds; `nil` where the manifests come from elsewhere.
    public var installable: Installable? { if case .nix(let installable) = source { installable } else { nil } }

    /// A deployment of manifests.
    public init(_ source: Source, kluctl: Kluctl? = nil) {
        self.source = source
        self.kluctl = kluctl
    }

    /// A deployment of what Nix builds.
    public init(_ installable: Installable, kluctl: Kluctl? = nil) {
        self.init(.nix(installable), kluctl: kluctl)
    }
}

/// A Helm chart and the release that it becomes.
public struct HelmRelease: Equatable, Sendable {
    /// The absolute path of a chart's folder or archive, or a name that helm knows: `oci://…`, `repository/chart`.
    public var chart: String
    /// The release's name.
    public var name: String
    /// Absolute paths of files with values, later ones over earlier ones.
    public var valuesFiles: [String] = []
    /// Single values by their path, as `helm --set` writes it (`image.tag`, `labels.a\.b`): strings, numbers, booleans.
    ///
    /// They keep their kind: the string `"false"` and `false` are different values to a chart.
    public var set: [String: JSON] = [:]
    /// The chart's version; `nil` is the newest one.
    public var version: String?

    /// Whether the chart is a folder or archive of the project.
    var isLocal: Bool { chart.hasPrefix("/") }

    /// A release of a chart.
    public init(_ chart: String, name: String) {
        self.chart = chart
        self.name = name
    }
}
