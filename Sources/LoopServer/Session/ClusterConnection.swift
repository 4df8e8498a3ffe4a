internal import JSON
internal import Reactor

/// A cluster that may be touched and answers: the guarded context, its proxy, and a client over it.
struct ClusterConnection: Sendable {
    let context: KubeContext
    let proxy: KubectlProxy
    let client: KubeClient
    let leash: String
    /// Why workloads do not get ready, as far as it has been told.
    let told = CauseLedger()
    /// The registries that images of the session come from and go to.
    let registries: Registries

    /// Resolves the context, checks that it is allowed, starts the proxy and asks the cluster for its version.
    ///
    /// Throws `ClusterError`.
    static func open(_ cluster: Cluster, programs: Programs) async throws -> ClusterConnection {
        let context = try await KubeContext.resolve(cluster, kubectl: try Kubectl.find())
        let proxy = try await KubectlProxy.start(context, programs: programs)
        let client = KubeClient(proxy)
        do {
            _ = try await client.version()
        } catch {
            await proxy.stop()
            if error is CancellationError { throw error }
            let answer = (error as? KubeError)?.message ?? "\(error)"
            let reason = proxy.complaint.isEmpty ? answer : "\(answer) (\(proxy.complaint))"
            throw ClusterError.unreachable(context, because: reason)
        }
        let leash = programs.leash ?? ""
        return ClusterConnection(
            context: context, proxy: proxy, client: client, leash: leash, registries: Registries(leash: leash))
    }

    /// Ends the proxy.
    func close() async { await proxy.stop() }

    /// What loopd has made has this label with its name.
    static let ownLabel = "app.kubernetes.io/managed-by"

    /// Makes the namespace where it is missing.
    ///
    /// True when it was.
    func ensureNamespace(_ name: String) async throws -> Bool {
        do {
            _ = try await client.get(.namespaces, name)
            return false
        } catch let error as KubeError where error.isNotFound {
            let object: JSON = [
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": ["name": .string(name), "labels": [ClusterConnection.ownLabel: "loopd"]],
            ]
            _ = try await client.create(.namespaces, object)
            return true
        } catch let error as KubeError where error.isForbidden {
            // Who may not look at namespaces may still work inside one.
            return false
        }
    }

    /// Applies a manifest (a file, a folder, or one with a kustomization) and returns what is not unchanged.
    ///
    /// `prepared` is a file that is applied instead. With `dryRun` the cluster only says what it would do.
    func apply(
        _ manifest: String, as prepared: String? = nil, namespace: String, dryRun: Bool = false
    ) async throws -> [String] {
        let output = try await context.kubectl.run(
            ["apply", "-n", namespace] + (dryRun ? ["--dry-run=server"] : [])
                + (prepared.map { ["-f", $0] } ?? ClusterConnection.source(manifest)), leash: leash)
        let lines = output.text.split(separator: "\n").map(String.init)
        guard output.status.isSuccess else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "kubectl apply -f \(manifest) failed", details: ClusterConnection.reasons(output.errorText),
                    nextStep: "mend the manifest; what was applied before it stays"))
        }
        return lines.filter { !$0.hasSuffix(" unchanged") && !$0.hasSuffix(" unchanged (server dry run)") }
    }

    /// kubectl's arguments for a manifest.
    static func source(_ manifest: String) -> [String] {
        ManifestSources.isKustomization(manifest) ? ["-k", manifest] : ["-f", listed(manifest)]
    }

    /// What kubectl says of a failed apply, without the values that it could not apply: those of a Secret are nobody's to
    /// read in a log.
    static func reasons(_ text: String) -> [String] {
        let lines = text.split(separator: "\n").filter { line in
            !["{", "to:", "Resource:", "Name:"].contains { line.hasPrefix($0) }
        }
        return lines.prefix(6).map { line in
            // Of a patch that the server cannot decode it repeats all.
            guard let begin = line.firstRange(of: "\"{"), let end = line.ranges(of: "}\"").last,
                begin.upperBound <= end.lowerBound
            else { return String(line) }
            return line[..<begin.lowerBound] + "…" + line[end.upperBound...]
        }
    }

    /// A path as one value of kubectl's `-f`, which reads a line of comma-separated values.
    static func listed(_ path: String) -> String {
        guard path.contains(where: { [",", "\"", "\n", "\r"].contains($0) }) else { return path }
        return "\"" + path.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }
}
