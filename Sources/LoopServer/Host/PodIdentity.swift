internal import Glibc
internal import JSON
internal import Reactor

/// Who a process on this machine is to the cluster's API, as a kubeconfig.
enum PodIdentity {
    /// A kubeconfig's one context, as kubectl knows it, with the namespace of the project.
    ///
    /// Holds whatever the user logs in with: for files of nobody else only.
    private static func view(_ context: KubeContext, namespace: String) async throws -> JSON {
        let output = try await context.kubectl.run(
            context.kubectl.command(["config", "view", "--minify", "--flatten", "--raw", "-o", "json"]))
        guard output.status.isSuccess, var view = try? JSON(parsing: output.standardOutput),
            var entry = view["contexts"]?[0]
        else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "no kubeconfig for context \"\(context.name)\": \(output.errorText.lastLine)",
                    nextStep: "`kubectl config get-contexts` lists what there is"))
        }
        entry["context"] = merged(entry["context"], "namespace", .string(namespace))
        view["contexts"] = [entry]
        return view
    }

    /// The user's own kubeconfig where it leads to the context and namespace by itself, else one in `folder` that does.
    static func user(_ context: KubeContext, namespace: String, in folder: String) async throws -> String {
        let inherited = getenv("KUBECONFIG").map { String(cString: $0) } ?? ""
        let home = getenv("HOME").map { "\(String(cString: $0))/.kube/config" } ?? ""
        let usual = context.kubectl.kubeconfig ?? (inherited.isEmpty ? home : inherited)
        var plain = context.kubectl
        plain.context = nil
        let output = try await plain.run(plain.command(["config", "view", "--minify", "-o", "json"]))
        let current = (try? JSON(parsing: output.standardOutput))?["contexts"]?[0]
        // A relative path is one from another folder than the process may run in.
        if usual.split(separator: ":").allSatisfy({ $0.hasPrefix("/") }), current?["name"]?.string == context.name,
            current?.at("context", "namespace")?.string ?? "default" == namespace
        {
            return usual
        }
        return try write(try await view(context, namespace: namespace), in: folder)
    }

    /// A kubeconfig in `folder` that logs in with the token in a file, which may change.
    static func serviceAccount(
        _ context: KubeContext, namespace: String, tokenFile: String, in folder: String
    ) async throws -> String {
        var view = try await view(context, namespace: namespace)
        let name: JSON = "service-account"
        view["users"] = [["name": name, "user": ["tokenFile": .string(tokenFile)]]]
        if var entry = view["contexts"]?[0] {
            entry["context"] = merged(entry["context"], "user", name)
            view["contexts"] = [entry]
        }
        return try write(view, in: folder)
    }

    private static func merged(_ object: JSON?, _ key: String, _ value: JSON) -> JSON {
        var object = object ?? [:]
        object[key] = value
        return object
    }

    private static func write(_ view: JSON, in folder: String) throws -> String {
        let path = "\(folder)/kubeconfig"
        try ContentFolder.replace(try VolumeFile("kubeconfig", Array(view.pretty().utf8), mode: 0o600), at: path)
        return path
    }
}
