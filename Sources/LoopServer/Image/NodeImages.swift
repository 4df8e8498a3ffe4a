internal import OCI
internal import Reactor
internal import Synchronization

/// Brings images onto the nodes of a cluster without a registry.
///
/// What has a tag by content is brought once: what was there under that name is the same. That is believed of the newest one
/// of a repository only, of the same nodes, and as long as no pod misses it: what nothing runs a node may have thrown away.
final class NodeImages: Sendable {
    /// Where an image is.
    enum Source: Sendable {
        /// In an engine, under the reference.
        case engine(ContainerEngine)
        /// In an archive under the reference, which is written where it is said.
        case archive(@Sendable (_ path: String) async throws -> Void)
    }

    private let leash: String
    /// Variables on top of loopd's own environment.
    private let environment: [String: String]
    private let nodes: @Sendable () async -> [ClusterNode]
    private let isMissed: @Sendable (_ reference: String) async -> Bool
    /// What was brought last, by the way and the repository.
    private let newest = Mutex<[String: Brought]>([:])

    private struct Brought: Equatable {
        let reference: String
        /// The nodes that there were.
        let nodes: Set<String>
    }

    /// - Parameters:
    ///   - nodes: the nodes as the cluster shows them; none where they may not be looked at.
    ///   - isMissed: whether a pod waits for an image that its node does not find.
    init(
        leash: String, environment: [String: String] = ProcessEnvironment.inherited,
        nodes: @escaping @Sendable () async -> [ClusterNode] = { [] },
        isMissed: @escaping @Sendable (_ reference: String) async -> Bool = { _ in false }
    ) {
        self.leash = leash
        self.environment = environment
        self.nodes = nodes
        self.isMissed = isMissed
    }

    /// Brings an image onto the nodes; whether they had it.
    ///
    /// Under a tag that is not by content they never have it. Takes at most ten minutes, and ends its programs when the task is cancelled. Throws
    /// `LoopFailure`.
    func load(_ reference: String, from source: Source, by loader: NodeLoader) async throws -> Bool {
        let isByContent = ImageName(reference).tag.map(ImagePruning.isOwn) ?? false
        let place = "\(loader) \(ImageName(reference).untagged)"
        let nodes = isByContent ? await nodes() : []
        let brought = Brought(reference: reference, nodes: Set(nodes.map(\.uid)))
        let isHere =
            if !isByContent {
                false
            } else if newest.withLock({ $0[place] == brought }) {
                await !isMissed(reference)
            } else {
                await isPresent(reference, nodes, by: loader)
            }
        if !isHere {
            switch (source, way(of: loader, from: source)) {
            case (_, .nothing): break
            case (.engine(let engine), .direct):
                try await run(
                    NodeImages.command(loader, image: reference), variables(of: engine), reference, loader)
            case (.engine(let engine), .file):
                try await throughFile(reference, loader) { path in
                    try await run(
                        EngineCommand(engine).save(reference, to: path), variables(of: engine), reference, nil)
                }
            case (.archive(let write), _): try await throughFile(reference, loader, write: write)
            }
        }
        if isByContent { newest.withLock { $0[place] = brought } }
        return isHere
    }

    // MARK: Ways

    private enum Way {
        case nothing
        /// The program gets it from the engine itself.
        case direct
        case file
    }

    private func way(of loader: NodeLoader, from source: Source) -> Way {
        // What the others have is another store than the one that these programs look into.
        guard case .engine(let engine) = source, engine.program == .docker else { return .file }
        return switch loader {
        case .shared: .nothing
        case .k3d, .kind, .minikube: .direct
        case .k3s, .k3sSocket: .file
        }
    }

    private func variables(of engine: ContainerEngine) -> [String: String] {
        EngineCommand(engine).environment(on: environment)
    }

    private func throughFile(
        _ reference: String, _ loader: NodeLoader, write: (_ path: String) async throws -> Void
    ) async throws {
        let folder = try await offPool { try ScratchFolder() }
        defer { folder.remove() }
        let path = "\(folder.path)/image.tar"
        try await write(path)
        try await run(NodeImages.command(loader, archive: path), environment, reference, loader)
    }

    /// The command line that brings an image of docker's onto the nodes.
    static func command(_ loader: NodeLoader, image: String) -> [String] {
        switch loader {
        case .k3d(let cluster): ["k3d", "image", "import", "--cluster", cluster, image]
        case .kind(let cluster): ["kind", "load", "docker-image", "--name", cluster, image]
        case .minikube(let profile): ["minikube", "--profile", profile, "image", "load", "--daemon", image]
        case .k3s, .k3sSocket, .shared: []
        }
    }

    /// The command line that brings an image in a file onto the nodes.
    static func command(_ loader: NodeLoader, archive: String) -> [String] {
        switch loader {
        case .k3d(let cluster): ["k3d", "image", "import", "--cluster", cluster, archive]
        case .kind(let cluster): ["kind", "load", "image-archive", "--name", cluster, archive]
        case .minikube(let profile): ["minikube", "--profile", profile, "image", "load", archive]
        case .k3s: ["k3s", "ctr", "--namespace", "k8s.io", "images", "import", archive]
        case .k3sSocket: ctr + ["images", "import", archive]
        case .shared: ["docker", "load", "--input", archive]
        }
    }

    private static let ctr = ["ctr", "--address", RegistryDiscovery.k3sSocket, "--namespace", "k8s.io"]

    /// Whether the nodes have a reference, as far as it is cheap to ask: loading it again is not wrong.
    private func isPresent(_ reference: String, _ nodes: [ClusterNode], by loader: NodeLoader) async -> Bool {
        if !nodes.isEmpty, nodes.allSatisfy({ $0.images.contains(reference) }) { return true }
        let command: [String]
        switch loader {
        case .k3sSocket: command = NodeImages.ctr + ["images", "ls", "--quiet"]
        case .k3s: command = ["k3s", "ctr", "--namespace", "k8s.io", "images", "ls", "--quiet"]
        case .minikube(let profile): command = ["minikube", "--profile", profile, "image", "ls"]
        case .k3d, .kind, .shared: return false
        }
        guard let output = try? await output(command, environment, limit: .seconds(20)), output.status.isSuccess else {
            return false
        }
        return output.text.split(whereSeparator: \.isNewline).contains { $0.trimmed == reference }
    }

    // MARK: Programs

    private func run(
        _ command: [String], _ variables: [String: String], _ reference: String, _ loader: NodeLoader?
    ) async throws {
        let output: Output
        do {
            output = try await self.output(command, variables, limit: .seconds(600))
        } catch let error as KubeError where error.reason == "Timeout" {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "\(reference): \(command.prefix(3).joined(separator: " ")) does not come to an end within 10 minutes"
                ))
        }
        if let failure = NodeLoadFailure.explain(command, output, reference, loader) {
            throw LoopFailure(failure: failure)
        }
    }

    private func output(_ command: [String], _ variables: [String: String], limit: Duration) async throws -> Output {
        let leash = leash
        return try await KubeClient.within(limit, command[0]) {
            try await Leashed.run(command, environment: variables, leash: leash)
        }
    }
}

extension Substring {
    /// Without spaces around it.
    fileprivate var trimmed: Substring {
        var text = drop { $0.isWhitespace }
        while text.last?.isWhitespace == true { text = text.dropLast() }
        return text
    }
}
