internal import Glibc
internal import JSON
internal import Reactor

/// Who a process on this machine is to the cluster's API, as a kubeconfig.
struct PodIdentity: Sendable {
    private enum Source: Sendable {
        /// The user's own file leads to the context and namespace by itself.
        case own(String)
        /// What is in a kubeconfig with just that context; whatever the user logs in with is in it.
        case view(JSON)
    }

    private let source: Source

    /// Asks kubectl what leads to the context and namespace.
    init(_ identity: Host.Identity, _ context: KubeContext, namespace: String) async throws {
        if identity == .user, let path = try await PodIdentity.own(context, namespace: namespace) {
            source = .own(path)
        } else {
            source = .view(try await PodIdentity.view(context, namespace: namespace))
        }
    }

    /// The kubeconfig for the process, in `folder` where it is not the user's own; with a token's file it logs in with
    /// that, and has nothing of the user's.
    func kubeconfig(tokenFile: String?, in folder: String) throws -> String {
        guard case .view(var view) = source else {
            if case .own(let path) = source { return path }
            return ""
        }
        if let tokenFile {
            let name: JSON = "service-account"
            view["users"] = [["name": name, "user": ["tokenFile": .string(tokenFile)]]]
            view["contexts"] = [PodIdentity.set("user", name, in: view["contexts"]?[0] ?? [:])]
        }
        let path = "\(folder)/kubeconfig"
        try ContentFolder.replace(try VolumeFile("kubeconfig", Array(view.pretty().utf8), mode: 0o600), at: path)
        return path
    }

    /// The kubeconfig's one context, as kubectl knows it, with the namespace of the project.
    private static func view(_ context: KubeContext, namespace: String) async throws -> JSON {
        let output = try await context.kubectl.run(
            context.kubectl.command(["config", "view", "--minify", "--flatten", "--raw", "-o", "json"]))
        guard output.status.isSuccess, var view = try? JSON(parsing: output.standardOutput),
            let entry = view["contexts"]?[0]
        else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "no kubeconfig for context \"\(context.name)\": \(output.errorText.lastLine)",
                    nextStep: "`kubectl config get-contexts` lists what there is"))
        }
        view["contexts"] = [set("namespace", .string(namespace), in: entry)]
        return view
    }

    private static func set(_ key: String, _ value: JSON, in entry: JSON) -> JSON {
        var (entry, context) = (entry, entry["context"] ?? [:])
        context[key] = value
        entry["context"] = context
        return entry
    }

    /// The user's own kubeconfig, where it leads to the context and namespace without any option.
    private static func own(_ context: KubeContext, namespace: String) async throws -> String? {
        let inherited = getenv("KUBECONFIG").map { String(cString: $0) } ?? ""
        let home = getenv("HOME").map { "\(String(cString: $0))/.kube/config" } ?? ""
        let usual = context.kubectl.kubeconfig ?? (inherited.isEmpty ? home : inherited)
        // A relative path is one from another folder than the process may run in.
        guard usual.split(separator: ":").allSatisfy({ $0.hasPrefix("/") }) else { return nil }
        var plain = context.kubectl
        plain.context = nil
        let output = try await plain.run(plain.command(["config", "view", "--minify", "-o", "json"]))
        let current = (try? JSON(parsing: output.standardOutput))?["contexts"]?[0]
        guard current?["name"]?.string == context.name,
            current?.at("context", "namespace")?.string ?? "default" == namespace
        else { return nil }
        return usual
    }
}
