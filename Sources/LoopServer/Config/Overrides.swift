/// What the command line says about the cluster; it wins over `loop.json`.
public struct Overrides: Equatable, Sendable {
    /// The value of `--context`.
    public var context: String?
    /// The value of `--namespace`.
    public var namespace: String?
    /// `--kubeconfig`, absolute.
    public var kubeconfig: String?

    /// Nothing is overridden.
    public init() {}
}

extension Configuration {
    /// The configuration with the command line's choices.
    ///
    /// A named context or kubeconfig means an existing cluster, also where the file chose the playground.
    public func overridden(by overrides: Overrides) -> Configuration {
        var result = self
        if let namespace = overrides.namespace { result.cluster.namespace = namespace }
        guard overrides.context != nil || overrides.kubeconfig != nil else { return result }
        if cluster.provider == .playground {
            result.cluster.provider = .existing
            result.cluster.context = nil
            result.cluster.kubeconfig = nil
        }
        if let context = overrides.context { result.cluster.context = context }
        if let kubeconfig = overrides.kubeconfig { result.cluster.kubeconfig = kubeconfig }
        return result
    }

    /// Whether Kubernetes accepts a namespace of this name.
    public static func isNamespace(_ name: String) -> Bool { KubernetesName.isLabel(name) }
}
