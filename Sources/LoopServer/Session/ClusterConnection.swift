internal import Glibc
internal import JSON
internal import Reactor

/// A cluster that may be touched and answers: the guarded context, its proxy, and a client over it.
struct ClusterConnection: Sendable {
    let context: KubeContext
    let proxy: KubectlProxy
    let client: KubeClient
    let leash: String

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
        return ClusterConnection(context: context, proxy: proxy, client: client, leash: programs.leash ?? "")
    }

    /// Ends the proxy.
    func close() async { await proxy.stop() }

    /// Makes the namespace where it is missing.
    ///
    /// True when it was.
    func ensureNamespace(_ name: String) async throws -> Bool {
        do {
            _ = try await client.get(.namespaces, name)
            return false
        } catch let error as KubeError where error.isNotFound {
            let object: JSON = [
                "apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(name)],
            ]
            _ = try await client.create(.namespaces, object)
            return true
        } catch let error as KubeError where error.isForbidden {
            // Who may not look at namespaces may still work inside one.
            return false
        }
    }

    /// Applies manifests (files, folders, or folders with a kustomization) and returns what is not unchanged.
    ///
    /// Workloads of `sessions` are applied in dev mode where they are to be in it; `folder` is a private one. With `dryRun`
    /// the cluster only says what it would do.
    func apply(
        _ manifests: [String], namespace: String, carriedBy sessions: [DevModeSession] = [], takeOver: Bool = false,
        in folder: String, dryRun: Bool = false
    ) async throws -> [String] {
        var changed: [String] = []
        for manifest in manifests {
            let isKustomization = ["kustomization.yaml", "kustomization.yml", "Kustomization"].contains {
                access("\(manifest)/\($0)", R_OK) == 0
            }
            let source = isKustomization ? ["-k", manifest] : ["-f", ClusterConnection.listed(manifest)]
            let carried = await carried(source, namespace: namespace, by: sessions, takeOver: takeOver, in: folder)
            // There may be Secrets in it.
            defer { if let carried { unlink(carried) } }
            let output = try await context.kubectl.run(
                ["apply", "-n", namespace] + (dryRun ? ["--dry-run=server"] : [])
                    + (carried.map { ["-f", $0] } ?? source), leash: leash)
            let lines = output.text.split(separator: "\n").map(String.init)
            changed += lines.filter { !$0.hasSuffix(" unchanged") && !$0.hasSuffix(" unchanged (server dry run)") }
            guard output.status.isSuccess else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "kubectl apply -f \(manifest) failed", details: ClusterConnection.reasons(output.errorText),
                        nextStep: "mend the manifest; what was applied before it stays"))
            }
        }
        return changed
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
