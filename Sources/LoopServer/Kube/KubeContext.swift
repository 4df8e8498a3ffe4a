internal import JSON
internal import Reactor

/// The one context that loopd works on, resolved once and allowed by the configuration.
struct KubeContext: Equatable, Sendable {
    /// The context's name.
    let name: String
    /// The API server's URL, for messages.
    let server: String
    /// The kubectl that is bound to this context.
    let kubectl: Kubectl

    /// Resolves the context: the configuration's choice (where the command line's is already in), else the current one of
    /// `KUBECONFIG` or `~/.kube/config`.
    ///
    /// Nothing is sent to the cluster, so that a context that is not allowed never hears of loopd. Throws `ClusterError`.
    static func resolve(_ cluster: Cluster, kubectl found: Kubectl) async throws -> KubeContext {
        var kubectl = found
        kubectl.kubeconfig = cluster.kubeconfig
        kubectl.context = cluster.context
        async let versionCheck: Void = found.checkVersion()
        let output = try await kubectl.run(kubectl.command(["config", "view", "--minify", "-o", "json"]))
        try await versionCheck
        guard output.status.isSuccess, let view = try? JSON(parsing: output.standardOutput),
            let context = view["contexts"]?[0], let name = context["name"]?.string
        else { throw badKubeconfig(kubectl, output) }
        // The first check is the last word: kubectl gets this very name from here on.
        kubectl.context = name
        guard cluster.allows(context: name) else { throw notAllowed(name, cluster) }
        let server = view["clusters"]?[0]?.at("cluster", "server")?.string ?? "an unknown server"
        return KubeContext(name: name, server: server, kubectl: kubectl)
    }

    private static func notAllowed(_ name: String, _ cluster: Cluster) -> ClusterError {
        let patterns = cluster.allowContexts.joined(separator: ", ")
        return ClusterError(
            kind: .contextNotAllowed,
            summary: "context \"\(name)\" is not allowed (allowContexts: \(patterns)); nothing was sent to it",
            nextStep: "choose another one with --context, or add \"\(name)\" to cluster.allowContexts in loop.json")
    }

    private static func badKubeconfig(_ kubectl: Kubectl, _ output: Output) -> ClusterError {
        let place = kubectl.kubeconfig ?? "KUBECONFIG or ~/.kube/config"
        let wanted = kubectl.context.map { "context \"\($0)\"" } ?? "current context"
        let answer = output.errorText.lastLine.droppingPrefix("error: ")
        return ClusterError(
            kind: .badKubeconfig, summary: "no \(wanted) in \(place): \(answer)",
            nextStep: "`kubectl config get-contexts` lists what there is; `loopd up` starts a cluster of its own")
    }
}

extension String {
    /// The last line that is not empty.
    var lastLine: String {
        split(whereSeparator: \.isNewline).last { !$0.allSatisfy(\.isWhitespace) }.map(String.init) ?? ""
    }

    func droppingPrefix(_ prefix: String) -> String { hasPrefix(prefix) ? String(dropFirst(prefix.count)) : self }
}
