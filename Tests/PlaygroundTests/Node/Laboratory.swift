import CLinux
import Glibc
import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

/// A node with a store and a registry of its own, on real runc, in a fresh folder; and nothing of it is left afterwards.
final class Laboratory: Sendable {
    /// Why pods cannot run here; `nil` when they can.
    ///
    /// Tests that need them are skipped by this name.
    static let obstacle: String? = {
        let folder = "/tmp/loopd-preflight-\(getpid())"
        defer { Disk.removeTree(folder) }
        do {
            try Disk.makeDirectory(folder)
            _ = try Preflight(NodeLayout(root: folder))
            return geteuid() == 0 ? nil : "these tests need root"
        } catch { return "\(error)" }
    }()

    let folder: String
    let store: ObjectStore
    let registry: Registry
    let registryPort: UInt16
    let node: Node
    let client: HTTPClient

    private init(
        folder: String, store: ObjectStore, registry: Registry, ports: (UInt16, UInt16), hidden: [String],
        hasWayOut: Bool
    ) throws {
        self.folder = folder
        self.store = store
        self.registry = registry
        registryPort = ports.0
        node = try Node(
            store: store, stateDirectory: "\(folder)/node", registry: registry, registryPort: ports.0,
            hidden: hidden, hasWayOut: hasWayOut)
        client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: ports.1))
    }

    /// Runs a node while `body` runs, and then takes everything down.
    ///
    /// With `folder` a laboratory continues where an earlier one in that folder ended; `keeping` leaves its containers;
    /// with `hasWayOut` its pods reach more than each other.
    static func run(
        folder given: String? = nil, keeping: Bool = false, hidden: [String] = [], hasWayOut: Bool = false,
        _ body: @Sendable (Laboratory) async throws -> Void
    ) async throws {
        let folder = given ?? "/tmp/loopd-node-\(Identifier.random(bytes: 6))"
        try Disk.makeDirectory(folder)
        let store = try ObjectStore(directory: "\(folder)/store")
        for name in ["default", "other"] where store.get(.namespace, nil, name) == nil {
            _ = try store.create(.namespace, ["metadata": ["name": .string(name)], "spec": [:]])
        }
        let registry = try Registry(directory: "\(folder)/node/registry")
        let registryListener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        guard case .tcp(_, let registryPort) = registryListener.endpoint, case .tcp(_, let port) = listener.endpoint
        else { return }
        // Networks are made one after the other by the kernel, which is busy while others go.
        let laboratory = try await offPool {
            try Laboratory(
                folder: folder, store: store, registry: registry, ports: (registryPort, port), hidden: hidden,
                hasWayOut: hasWayOut)
        }
        let images = HTTPServer(registryListener) { await registry.serve($0) }
        let streams = HTTPServer(listener) { await laboratory.serve($0) }
        let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
        let outcome: Result<Void, any Error>
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await images.run() }
                group.addTask { try await streams.run() }
                group.addTask {
                    defer { isReady.finish() }
                    try await laboratory.node.run { isReady.finish() }
                }
                for await _ in ready {}
                do { try await body(laboratory) } catch {
                    group.cancelAll()
                    throw error
                }
                group.cancelAll()
                while let ended = await group.nextResult() { if case .failure(let error) = ended { _ = error } }
            }
            outcome = .success(())
        } catch { outcome = .failure(error) }
        if !keeping {
            let remains = await Node.teardown(stateDirectory: "\(folder)/node")
            #expect(remains == [])
            Disk.removeTree(folder)
        }
        try outcome.get()
    }

    /// As the API server hands a pod's streams over.
    private func serve(_ exchange: HTTPExchange) async {
        let path = exchange.request.path
        guard path.count == 7, let pod = store.get(.pod, path[3], path[5]) else {
            try? await exchange.respond(HTTPResponse(404))
            return
        }
        do {
            try await node.serve(
                exchange, pod: pod, subresource: path[6],
                query: exchange.request.query.map { (name: $0.0, value: $0.1) })
        } catch let error as StatusError {
            try? await exchange.respond(
                HTTPResponse(error.code, headers: ["Content-Type": "application/json"]), body: error.status.bytes)
        } catch {
            try? await exchange.respond(HTTPResponse(500), body: Array("\(error)".utf8))
        }
    }

    // MARK: Pods

    /// Creates a pod that is bound to the node.
    @discardableResult
    func create(_ name: String, spec: JSON, namespace: String = "default", metadata: JSON = [:]) throws -> JSON {
        var spec = spec
        spec["nodeName"] = .string(Node.defaultName)
        if spec["terminationGracePeriodSeconds"] == nil { spec["terminationGracePeriodSeconds"] = 1 }
        var metadata = metadata
        metadata["name"] = .string(name)
        metadata["namespace"] = .string(namespace)
        let condition: JSON = [
            "type": "PodScheduled", "status": "True", "lastProbeTime": .null,
            "lastTransitionTime": "2026-11-21T00:40:12Z", "observedGeneration": 1,
        ]
        return try store.create(
            .pod,
            [
                "kind": "Pod", "apiVersion": "v1", "metadata": metadata, "spec": spec,
                "status": ["phase": "Pending", "conditions": [condition]],
            ])
    }

    /// One container of the image `host` that runs a shell script.
    static func script(_ script: String, name: String = "app") -> JSON {
        [
            "name": .string(name), "image": "host", "command": ["sh", "-c", .string(script)],
            "imagePullPolicy": "IfNotPresent",
        ]
    }

    /// Waits until the pod satisfies a condition, and returns it then.
    @discardableResult
    func until(
        _ name: String, _ what: String, within limit: Duration = .seconds(40), _ condition: @Sendable (JSON) -> Bool
    ) async throws -> JSON {
        let events = try store.watch(.pod)
        let guardian = Task {
            try await Task.sleep(for: limit)
            events.stop()
        }
        defer { guardian.cancel() }
        var last: JSON = .null
        for try await event in events where event.object.at("metadata", "name")?.string == name {
            last = event.object
            if event.type != .deleted, condition(event.object) { return event.object }
        }
        throw Timeout(what: "\(name): \(what); the last status was \(last["status"]?.text ?? "none")")
    }

    func untilReady(_ name: String) async throws -> JSON {
        try await until(name, "ready") { pod in
            (pod.at("status", "conditions")?.array ?? []).contains { $0["type"] == "Ready" && $0["status"] == "True" }
        }
    }

    func untilGone(_ name: String) async throws {
        let events = try store.watch(.pod)
        let guardian = Task {
            try await Task.sleep(for: .seconds(40))
            events.stop()
        }
        defer { guardian.cancel() }
        if store.get(.pod, "default", name) == nil { return }
        for try await event in events {
            if event.type == .deleted, event.object.at("metadata", "name")?.string == name { return }
        }
        throw Timeout(what: "\(name): gone")
    }

    /// Asks for a pod's end as the API server does.
    func delete(_ name: String, grace: Int64 = 1) throws {
        try store.modify(.pod, "default", name) { pod in
            var metadata = pod["metadata"] ?? [:]
            metadata["deletionTimestamp"] = .string(Timestamp.now.description)
            metadata["deletionGracePeriodSeconds"] = .integer(grace)
            pod["metadata"] = metadata
        }
    }

    // MARK: Streams

    func log(_ name: String, _ query: String = "") async throws -> (status: Int, text: String) {
        let answer = try await client.fetch(HTTPRequest("GET", "/api/v1/namespaces/default/pods/\(name)/log?\(query)"))
        return (answer.response.status, String(decoding: answer.body, as: UTF8.self))
    }

    struct Frame: Equatable, Sendable {
        let channel: UInt8
        let payload: String
    }

    func execTarget(_ name: String, _ command: [String], stdin: Bool = false, container: String? = nil) -> String {
        var items = [("stdin", "\(stdin)"), ("stdout", "true"), ("stderr", "true")]
        items += command.map { ("command", $0) }
        if let container { items.append(("container", container)) }
        return "/api/v1/namespaces/default/pods/\(name)/exec?\(PercentEncoding.query(items))"
    }

    func open(
        _ target: String, protocol version: String = "v5.channel.k8s.io"
    ) async throws -> WebSocket {
        try await client.webSocket(target, protocols: [version])
    }

    /// Runs a command in a pod, and returns every message until the connection is closed.
    func exec(
        _ name: String, _ command: [String], container: String? = nil, protocol version: String = "v5.channel.k8s.io"
    ) async throws -> (frames: [Frame], closeCode: UInt16?) {
        let socket = try await open(execTarget(name, command, container: container), protocol: version)
        return (try await Laboratory.frames(of: socket), socket.closeCode)
    }

    static func frames(of socket: WebSocket) async throws -> [Frame] {
        var frames: [Frame] = []
        while let message = try await socket.receive() {
            guard case .binary(let bytes) = message, let channel = bytes.first else { continue }
            frames.append(Frame(channel: channel, payload: String(decoding: bytes.dropFirst(), as: UTF8.self)))
        }
        return frames
    }

    /// What a command in a pod writes to its standard output.
    func output(_ name: String, _ command: [String], container: String? = nil) async throws -> String {
        try await exec(name, command, container: container).frames.filter { $0.channel == 1 }.map(\.payload).joined()
    }
}

struct Timeout: Error, CustomStringConvertible {
    let what: String
    var description: String { "waited in vain for \(what)" }
}

extension Trait where Self == ConditionTrait {
    /// Skips a test, by name, where pods cannot run.
    static var onRunc: Self {
        .enabled(if: Laboratory.obstacle == nil, Comment(rawValue: Laboratory.obstacle ?? ""))
    }
}
