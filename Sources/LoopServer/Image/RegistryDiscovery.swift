internal import JSON
internal import OCI

/// Decides where the images of a session go: into a registry that the nodes pull from, or onto the nodes themselves.
///
/// The first of: the playground's own registry; what `loop.json` says; what the cluster says (KEP-1755); k3d's own registry;
/// a registry on this machine that is in the image's own name; what brings images onto such nodes; the registry in the
/// image's name, wherever that is.
struct RegistryDiscovery: Sendable {
    /// What there is to look at.
    struct Surroundings: Sendable {
        /// The `registry` of `loop.json`.
        var configured: RegistryNames?
        /// The playground's registry; `nil` on another cluster.
        var playground: String?
        /// The context's name.
        var context: String
        /// The API server's URL.
        var server = ""
        /// Whether loopd itself runs in a pod.
        var isInPod = false
        /// What the cluster says; `nil` where it says nothing.
        var hosting: @Sendable () async -> LocalRegistryHosting?
        /// The nodes; empty where they may not be looked at.
        var nodes: @Sendable () async -> [ClusterNode]
        /// Whether a program is in `PATH`.
        var hasProgram: @Sendable (String) async -> Bool
        /// Whether a file is there.
        var hasFile: @Sendable (String) async -> Bool
        /// What a program prints; `nil` where it is not there or fails.
        var output: @Sendable ([String]) async -> String?
        /// Why a registry does not answer; `nil` where it does.
        var complaint: @Sendable (_ host: String) async -> String?
    }

    /// What was found for the cluster as a whole.
    struct Finding: Equatable, Sendable {
        /// The registry of the cluster.
        var names: RegistryNames?
        /// Whether nobody has that registry but this cluster, as far as anybody says.
        var isOfCluster = false
        /// What brings images onto its nodes.
        var loader: NodeLoader?
        /// What is said once.
        var notice: String?
        /// What was looked at in vain, each one line.
        var looked: [String] = []
        /// What the cluster says about setting up a registry.
        var help: String?
    }

    static let k3sSocket = "/run/k3s/containerd/containerd.sock"

    let surroundings: Surroundings

    /// Looks for what all images have in common.
    ///
    /// Throws `LoopFailure` where the cluster names a registry that does not answer.
    func find() async throws -> Finding {
        if let found = playground() ?? configured() { return found }
        var finding = Finding()
        finding.names = try await hosted(&finding)
        if finding.names == nil { finding.names = await k3d(&finding) }
        finding.isOfCluster = finding.names != nil
        if finding.names == nil { await look(forLoader: &finding) }
        return finding
    }

    /// Where one image goes.
    ///
    /// Throws `LoopFailure` where nodes would not find it anywhere.
    func home(of image: String, _ finding: Finding) throws -> ImageHome {
        if let names = finding.names { return .registry(names) }
        let own = ImageName(image).registry
        if ImageName.isLoopback(own) { return .registry(RegistryNames(push: own)) }
        // Before a registry elsewhere: images of a moment are not for everybody to pull.
        if let loader = finding.loader { return .nodes(loader) }
        if !own.isEmpty { return .registry(RegistryNames(push: own)) }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "image \(image): no registry was found that nodes of \(surroundings.context) pull from",
                details: finding.looked,
                nextStep: "name it in loop.json: \"registry\": \"localhost:5000\", or {\"push\": …, \"pull\": …}"
                    + (finding.help.map { "; \($0) says how to set one up" } ?? "")))
    }

    // MARK: Registries

    private func playground() -> Finding? {
        guard let own = surroundings.playground else { return nil }
        var notice = "images go to the playground's registry at \(own)"
        if let names = surroundings.configured, names != RegistryNames(push: own) {
            notice += ", because its nodes pull from no other: \"registry\" of loop.json is for other clusters"
        }
        return Finding(names: RegistryNames(push: own), isOfCluster: true, notice: notice)
    }

    private func configured() -> Finding? {
        surroundings.configured.map { Finding(names: $0, notice: notice($0, "as loop.json says")) }
    }

    private func hosted(_ finding: inout Finding) async throws -> RegistryNames? {
        let place = "ConfigMap \(LocalRegistryHosting.namespace)/\(LocalRegistryHosting.name)"
        guard let hosting = await surroundings.hosting() else {
            finding.looked.append("\(place): not there")
            return nil
        }
        finding.help = hosting.help
        guard let names = hosting.names(isInPod: surroundings.isInPod) else {
            finding.looked.append("\(place): names no host that this machine reaches")
            return nil
        }
        if let complaint = await surroundings.complaint(names.push) {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "the cluster's registry at \(names.push) does not answer",
                    details: [complaint, "\(place) names it"],
                    nextStep: hosting.help.map { "start it, or set it up anew: \($0)" } ?? "start it"))
        }
        finding.notice = notice(names, "as the cluster says: \(LocalRegistryHosting.name)")
        return names
    }

    private func k3d(_ finding: inout Finding) async -> RegistryNames? {
        guard surroundings.context.hasPrefix("k3d-") else { return nil }
        let listed = await surroundings.output(K3dRegistry.listCommand).map(K3dRegistry.list)
        let running = await surroundings.output(K3dRegistry.containerCommand).map(K3dRegistry.containers)
        let all = (listed ?? []) + (running ?? [])
        // The cluster's nodes find it by its name in their own network only.
        let mine = all.filter { $0.networks.contains(surroundings.context) }
        if let found = mine.first(where: { $0.names != nil }), let names = found.names {
            finding.notice = notice(names, "k3d's registry")
            return names
        }
        if let hidden = mine.first {
            finding.looked.append("k3d's registry \(hidden.container): no port of it is published")
        } else if let other = all.first {
            finding.looked.append(
                "k3d's registry \(other.container): not in the network \(surroundings.context)")
        } else {
            finding.looked.append(
                listed == nil && running == nil
                    ? "k3d's registry: neither k3d nor docker answers" : "k3d's registry: there is none")
        }
        return nil
    }

    private func notice(_ names: RegistryNames, _ source: String) -> String {
        let pull = names.pull == names.push ? "" : ", which the nodes call \(names.pull)"
        return "images go to \(names.push)\(pull) (\(source))"
    }

    // MARK: Nodes

    private func look(forLoader finding: inout Finding) async {
        guard let loader = await nodeLoader(&finding) else { return }
        if case .shared(let context) = loader {
            finding.loader = loader
            finding.notice = "images stay in the engine here: nodes of \(context) run what it has"
            return
        }
        guard let program = loader.program, await surroundings.hasProgram(program) else {
            finding.looked.append("\(loader.program ?? ""): not in PATH")
            return
        }
        finding.loader = loader
        finding.notice = "images go onto the nodes by \(loader.title): there is no registry, which would be faster"
        if loader == .k3s || loader == .k3sSocket, await surroundings.nodes().count > 1 {
            finding.notice =
                "images go onto this machine's node by \(loader.title): other nodes of the cluster do not get them"
        }
    }

    private func nodeLoader(_ finding: inout Finding) async -> NodeLoader? {
        let context = surroundings.context
        let known = NodeLoader(context: context)
        if case .shared = known {
            let nodes = await surroundings.nodes()
            if !nodes.isEmpty, nodes.allSatisfy(\.isDocker) { return known }
            if let cluster = nodes.lazy.compactMap(\.kindCluster).first { return .kind(cluster: cluster) }
            finding.looked.append(
                nodes.first.map { "nodes of \(context): they run \($0.runtime), not what docker has here" }
                    ?? "nodes of \(context): whether they run what docker has here may not be looked at")
            return nil
        }
        if let known { return known }
        // A profile of minikube's has any name, but its nodes say so.
        let profile = await surroundings.nodes().lazy.compactMap { $0.labels["minikube.k8s.io/name"] }.first
        if let profile { return .minikube(profile: profile) }
        if let here = await nodeHere() { return here }
        finding.looked.append("context \(context): of no kind whose nodes loopd can load images onto")
        return nil
    }

    private func nodeHere() async -> NodeLoader? {
        // Images on this machine are only for a cluster that runs here.
        guard RegistryDiscovery.isHere(surroundings.server) else { return nil }
        if await surroundings.hasProgram("k3s") { return .k3s }
        guard await surroundings.hasFile(RegistryDiscovery.k3sSocket) else { return nil }
        return await surroundings.hasProgram("ctr") ? .k3sSocket : .k3s
    }

    /// Whether a URL leads to this machine.
    static func isHere(_ url: String) -> Bool {
        guard let scheme = url.firstRange(of: "://") else { return false }
        return ImageName.isLoopback(String(url[scheme.upperBound...].prefix { $0 != "/" }))
    }
}
