import HTTP
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

/// An API server with what a pod's environment refers to.
struct EnvironmentFixture: Sendable {
    let api: StoredObjects
    let client: KubeClient
    /// Where the server listens.
    let endpoint: Endpoint
    private let log: Log

    /// What a Secret holds that must be seen nowhere.
    static let marker = "unique-\(UInt64.random(in: 0...UInt64.max))"

    /// What was asked for, and the tokens that were given.
    final class Log: Sendable {
        let asked = Mutex<[String]>([])
        let tokens = Mutex<[JSON]>([])
        /// Seconds that tokens are good for.
        let life = Mutex(3600)
    }

    static func with(_ body: (EnvironmentFixture) async throws -> Void) async throws {
        let (api, log) = (StoredObjects(), Log())
        try await withAPI({ exchange in
            let request = exchange.request
            log.asked.withLock { $0.append("\(request.method) \(request.path.joined(separator: "/"))") }
            if request.path.last == "token" { return try await give(exchange, api, log) }
            try await api.handle(exchange)
        }) { client, endpoint in
            try await body(EnvironmentFixture(api: api, client: client, endpoint: endpoint, log: log))
        }
    }

    /// Answers as the API server does, with a number as token.
    private static func give(_ exchange: HTTPExchange, _ api: StoredObjects, _ log: Log) async throws {
        let refusal = api.set { $0.refusals["POST token"]?.popLast() }
        if let (code, message) = refusal { return try await exchange.fail(code, "Refused", message) }
        let request = try JSON(parsing: try await exchange.body())
        let number = log.tokens.withLock { tokens in
            tokens.append(["account": .string(exchange.request.path[5]), "spec": request["spec"] ?? .null])
            return tokens.count
        }
        let end = Timestamp(seconds: Timestamp.now().seconds + Int64(log.life.withLock { $0 }))
        try await exchange.answer(
            201, ["status": ["token": .string("token-\(number)"), "expirationTimestamp": .string(end.rfc3339)]])
    }

    var asked: [String] { log.asked.withLock { $0 } }
    var tokens: [JSON] { log.tokens.withLock { $0 } }
    func setLife(_ seconds: Int) { log.life.withLock { $0 = seconds } }

    func configMap(_ name: String, _ data: JSON, binary: JSON = [:]) {
        api.put("configmaps", ["metadata": ["name": .string(name)], "data": data, "binaryData": binary])
    }

    func secret(_ name: String, _ values: [String: String]) {
        var data: JSON = [:]
        for (key, value) in values { data[key] = .string(Base64.encode(Array(value.utf8))) }
        api.put("secrets", ["metadata": ["name": .string(name)], "data": data])
    }

    /// A running pod with one container `c`.
    static func pod(_ container: JSON = [:], volumes: JSON = [], spec: JSON = [:]) -> JSON {
        var own: JSON = ["name": "c", "image": "i"]
        for (key, value) in container.object ?? JSONObject() { own[key] = value }
        var pod: JSON = ["containers": [own], "volumes": volumes, "nodeName": "node-1", "serviceAccountName": "robot"]
        for (key, value) in spec.object ?? JSONObject() { pod[key] = value }
        return [
            "metadata": [
                "name": "web-1", "namespace": "d", "uid": "uid-1", "labels": ["app": "web", "b/c": "x\"y\n"],
                "annotations": ["note": "héllo"],
            ],
            "spec": pod,
            "status": [
                "podIP": "10.0.0.7", "podIPs": [["ip": "10.0.0.7"], ["ip": "fd00::7"]], "hostIP": "192.168.0.2",
                "hostIPs": [["ip": "192.168.0.2"]],
            ],
        ]
    }

    func references(_ pod: JSON, files: Bool = false, isTemplate: Bool = false) async throws -> PodReferences {
        try await PodReferences.read(
            pod: pod, container: "c", namespace: "d", isTemplate: isTemplate, files: files, client: client)
    }

    func environment(_ container: JSON, spec: JSON = [:], isTemplate: Bool = false) async throws -> PodEnvironment {
        try PodEnvironment(try await references(EnvironmentFixture.pod(container, spec: spec), isTemplate: isTemplate))
    }

    /// What resolving these variables fails with.
    func failure(_ container: JSON) async -> LoopEvent.Failure? {
        do {
            _ = try await environment(container)
            return nil
        } catch {
            return (error as? LoopFailure)?.failure
        }
    }
}
