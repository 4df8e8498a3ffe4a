import HTTP
import JSON
import Reactor
import Synchronization

@testable import LoopServer

/// A double of the API with a few objects by their paths, which answers as a server does.
final class NamesAPI: Sendable {
    private let objects = Mutex<[String: JSON]>([:])
    private let forbidden = Mutex<Set<String>>([])
    private let asked = Mutex<[String]>([])

    /// The paths that were asked for.
    var requests: [String] { asked.withLock { $0 } }

    func put(_ path: String, _ object: JSON) { objects.withLock { $0[path] = object } }

    func remove(_ path: String) { objects.withLock { _ = $0.removeValue(forKey: path) } }

    /// Refuses everything in a namespace.
    func forbid(_ namespace: String) { forbidden.withLock { _ = $0.insert("/namespaces/\(namespace)/") } }

    /// A Service with an address of its own, in namespace `web` unless told otherwise.
    func service(_ name: String, _ address: String, ports: [UInt16], namespace: String = "web", more: JSON = [:]) {
        var spec: JSON = [
            "type": "ClusterIP", "clusterIP": .string(address), "selector": ["app": .string(name)],
            "ports": .array(ports.map { ["port": .integer(Int64($0)), "name": "db"] }),
        ]
        for (key, value) in more.object ?? JSONObject() { spec[key] = value }
        put(
            "/api/v1/namespaces/\(namespace)/services/\(name)",
            ["metadata": ["name": .string(name), "namespace": .string(namespace)], "spec": spec])
    }

    func endpoints(_ service: String, _ endpoints: [JSON], namespace: String = "web") {
        put(
            "/apis/discovery.k8s.io/v1/namespaces/\(namespace)/endpointslices/\(service)-1",
            [
                "metadata": [
                    "name": .string("\(service)-1"), "labels": ["kubernetes.io/service-name": .string(service)],
                ],
                "addressType": "IPv4", "endpoints": .array(endpoints),
            ])
    }

    func handle(_ exchange: HTTPExchange) async throws {
        let parts = exchange.request.target.split(separator: "?", maxSplits: 1).map(String.init)
        let path = parts[0]
        asked.withLock { $0.append(path) }
        if forbidden.withLock({ $0.contains { path.contains($0) } }) {
            return try await exchange.fail(403, "Forbidden", "services is forbidden: User \"dev\" cannot get it")
        }
        if let object = objects.withLock({ $0[path] }) { return try await exchange.answer(object) }
        let plurals = ["services", "endpointslices", "pods", "nodes", "servicecidrs"]
        guard plurals.contains(where: { path.hasSuffix("/\($0)") }) else {
            return try await exchange.fail(404, "NotFound", "\(path) not found")
        }
        var items = objects.withLock { $0.filter { $0.key.hasPrefix(path + "/") }.map(\.value) }
        if parts.count > 1, let label = parts[1].split(separator: "service-name%3D").dropFirst().first {
            let name = String(label.prefix { $0 != "&" })
            items = items.filter { $0.at("metadata", "labels", "kubernetes.io/service-name")?.string == name }
        }
        try await exchange.answer(["metadata": ["resourceVersion": "1"], "items": .array(items)])
    }
}

/// The same, which answers who asks for the Service `late` only when it is let go.
final class HeldAPI: Sendable {
    let names = NamesAPI()
    private let asked = Gate()
    private let isFree = Wish(false)

    /// Returns when somebody has asked for it.
    func untilAsked() async { await asked.pass() }

    func letGo() { isFree.value = true }

    func handle(_ exchange: HTTPExchange) async throws {
        if exchange.request.target.hasSuffix("/services/late") {
            asked.close()
            await isFree.untilChanged(from: false)
        }
        try await names.handle(exchange)
    }
}

/// Runs `body` with the names of namespace `web`.
func withNames(_ api: NamesAPI, _ body: (ClusterNames) async throws -> Void) async throws {
    try await withAPI({ try await api.handle($0) }) { client, _ in
        try await body(ClusterNames(client, namespace: "web", patience: .seconds(60)))
    }
}
