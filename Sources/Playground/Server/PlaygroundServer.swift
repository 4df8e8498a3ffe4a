internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor

/// The embedded cluster: the Kubernetes API, its controllers, one node and an image registry, all on loopback.
///
/// Everything it knows is below its state directory, which one server uses at a time. Started again there, it has the same
/// address, so that kubeconfigs stay valid; containers that still run are taken over.
public struct PlaygroundServer: Sendable {
    /// Where a running playground is.
    public struct Address: Sendable, Equatable {
        /// The API server's URL, secret included.
        public let url: String
        /// The registry's host and port, as image names begin with it: `localhost:5000`.
        public let registry: String
        /// The kubeconfig that leads to it, with mode 0600.
        public let kubeconfig: String
    }

    /// Another playground runs on the same state directory.
    public struct InUse: Error, CustomStringConvertible {
        /// One line with the process, where it is known.
        public let description: String
    }

    /// The context's name in the kubeconfig.
    public static let context = "loopd-playground"

    private let stateDirectory: String
    private let port: UInt16
    private let hidden: [String]
    private let hasNode: Bool

    /// A playground over a state directory, which is created where it is missing.
    ///
    /// Without a port it takes the one that it had before, or any free one. `hidden` are host folders that pods of the image
    /// `host` must not see: the project's above all.
    public init(stateDirectory: String, port: UInt16 = 0, hidden: [String] = []) {
        self.init(stateDirectory: stateDirectory, port: port, hidden: hidden, hasNode: true)
    }

    /// Without its node, pods are scheduled, and nobody runs them.
    init(stateDirectory: String, port: UInt16 = 0, hidden: [String] = [], hasNode: Bool) {
        self.stateDirectory = stateDirectory
        self.port = port
        self.hidden = hidden
        self.hasNode = hasNode
    }

    /// Serves until the task is cancelled; `ready` is called once the API answers and containers can be entered.
    ///
    /// Throws `InUse`, `NodeUnavailable` where this machine cannot run pods, or a `SystemError`.
    public func run(ready: @escaping @Sendable (Address) -> Void = { _ in }) async throws {
        try await run { address, _ in ready(address) }
    }

    func run(_ ready: @escaping @Sendable (Address, ObjectStore) -> Void) async throws {
        try FileTree.makeDirectories(stateDirectory)
        let lock = try StateLock(path: "\(stateDirectory)/lock")
        defer { withExtendedLifetime(lock) {} }
        let store = try ObjectStore(directory: "\(stateDirectory)/objects")
        var identity = try ServerIdentity(path: "\(stateDirectory)/identity.json")
        let listener = try Self.listen(port: port, else: identity.port)
        let registryListener = try Self.listen(port: 0, else: identity.registryPort)
        identity.port = try Self.port(of: listener)
        identity.registryPort = try Self.port(of: registryListener)
        try identity.save()

        let registry = try Registry(directory: "\(stateDirectory)/registry")
        let node =
            hasNode
            ? try Node(
                store: store, stateDirectory: stateDirectory, registry: registry, registryPort: identity.registryPort,
                hidden: hidden) : nil
        try Bootstrap.prepare(
            store, node: Node.defaultName, address: node?.context.hostAddress ?? PodStatus.sharedAddress)
        let api = APIServer(store: store, secret: identity.secret, port: identity.port, streams: node)
        let address = Address(
            url: "http://127.0.0.1:\(identity.port)/\(identity.secret)",
            registry: "localhost:\(identity.registryPort)", kubeconfig: "\(stateDirectory)/kubeconfig")
        let start: @Sendable () throws -> Void = { [stateDirectory] in
            try Self.write(address, notes: node?.notes ?? [], in: stateDirectory)
            ready(address, store)
        }
        defer { unlink("\(stateDirectory)/address.json") }

        try await withThrowingTaskGroup { group in
            defer { group.cancelAll() }
            group.addTask { try await HTTPServer(listener, handler: api.handle).run() }
            group.addTask { try await HTTPServer(registryListener, handler: registry.serve).run() }
            for controller in Self.controllers(store) { group.addTask { await controller.run() } }
            if let node { group.addTask { try await node.run(start) } } else { try start() }
            do {
                // All of them run for ever: the first one that ends ends all.
                try await group.next()
            } catch is CancellationError {
                return
            }
            try Task.checkCancellation()
        }
    }

    /// The process that answers for a state directory; `nil` before it does, though one that was killed is named until the
    /// next has started.
    public static func process(in stateDirectory: String) -> Int32? {
        guard let bytes = FileTree.read("\(stateDirectory)/address.json") else { return nil }
        return (try? JSON(parsing: bytes))?["pid"]?.integer.flatMap(Int32.init(exactly:))
    }

    /// What pods cannot do in the playground that runs on a state directory, one line each.
    public static func notes(in stateDirectory: String) -> [String] {
        guard let bytes = FileTree.read("\(stateDirectory)/address.json") else { return [] }
        return ((try? JSON(parsing: bytes))?["notes"]?.array ?? []).compactMap(\.string)
    }

    /// The registry of the playground that runs on a state directory, as image names begin with it.
    public static func registry(in stateDirectory: String) -> String? {
        guard let bytes = FileTree.read("\(stateDirectory)/address.json") else { return nil }
        return (try? JSON(parsing: bytes))?["registry"]?.string
    }

    /// Removes what a playground has left: containers, mounts, files.
    ///
    /// None may run there.
    ///
    /// Returns what could not be removed, one line each.
    public static func remove(stateDirectory: String) async throws -> [String] {
        guard access(stateDirectory, F_OK) == 0 else { return [] }
        let lock = try StateLock(path: "\(stateDirectory)/lock")
        defer { withExtendedLifetime(lock) {} }
        let left = await Node.teardown(stateDirectory: stateDirectory)
        if left.isEmpty { try await offPool { FileTree.remove(stateDirectory) } }
        return left
    }

    private static func controllers(_ store: ObjectStore) -> [any Controller] {
        [
            DeploymentController(store: store), ReplicaSetController(store: store),
            StatefulSetController(store: store), EndpointsController(store: store), DaemonSetController(store: store),
            JobController(store: store),
            Scheduler(store: store), NamespaceController(store: store), GarbageCollector(store: store),
            ResourceQuotaController(store: store),
            EventExpiry(store: store),
        ]
    }

    /// Listens where it is told, else where it was before, else anywhere.
    private static func listen(port: UInt16, else previous: UInt16) throws -> Listener {
        if port != 0 { return try Listener(.tcp(host: "127.0.0.1", port: port)) }
        if previous != 0, let listener = try? Listener(.tcp(host: "127.0.0.1", port: previous)) { return listener }
        return try Listener(.tcp(host: "127.0.0.1", port: 0))
    }

    private static func port(of listener: Listener) throws -> UInt16 {
        guard case .tcp(_, let port) = listener.endpoint else {
            throw SystemError(code: EAFNOSUPPORT, attempt: "listen on \(listener.endpoint)")
        }
        return port
    }

    private static func write(_ address: Address, notes: [String], in directory: String) throws {
        let name = JSON.string(context)
        let kubeconfig: JSON = [
            "apiVersion": "v1", "kind": "Config", "current-context": name,
            "clusters": [["name": name, "cluster": ["server": .string(address.url)]]],
            "users": [["name": name, "user": [:]]],
            "contexts": [["name": name, "context": ["cluster": name, "user": name, "namespace": "default"]]],
        ]
        try FileTree.replace(address.kubeconfig, with: Array((kubeconfig.pretty() + "\n").utf8))
        let facts: JSON = [
            "url": .string(address.url), "pid": .integer(Int64(getpid())), "registry": .string(address.registry),
            "kubeconfig": .string(address.kubeconfig), "context": name, "notes": .array(notes.map { .string($0) }),
        ]
        try FileTree.replace("\(directory)/address.json", with: Array((facts.pretty() + "\n").utf8))
    }
}
