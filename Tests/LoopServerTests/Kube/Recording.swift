import Glibc
import HTTP
import JSON
@testable import LoopServer
import Reactor
import Testing

/// The recordings from a real cluster.
enum Recording {
    static let folder: String = {
        // …/Tests/LoopServerTests/Kube/Recording.swift
        let parts = #filePath.split(separator: "/").dropLast(3)
        return "/" + parts.joined(separator: "/") + "/Fixtures/kubernetes-1.36"
    }()

    static func bytes(_ name: String) throws -> [UInt8] {
        let file = try #require(fopen("\(folder)/\(name)", "r"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let got = fread(&buffer, 1, buffer.count, file)
            if got == 0 { return bytes }
            bytes += buffer[..<got]
        }
    }

    static func json(_ name: String) throws -> JSON { try JSON(parsing: bytes(name)) }

    static func lines(_ name: String) throws -> [[UInt8]] {
        try bytes(name).split(separator: 0x0A).map(Array.init)
    }

    static func pods(_ name: String) throws -> [PodState] {
        (try json("pods/\(name).json")["items"]?.array ?? []).map { PodState($0) }
    }
}

/// Runs an API server that answers as `handler` says, and a client of it.
func withAPI(
    _ handler: @escaping @Sendable (HTTPExchange) async throws -> Void,
    _ body: (KubeClient, Endpoint) async throws -> Void
) async throws {
    let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
    let server = HTTPServer(listener) { exchange in
        do {
            try await handler(exchange)
        } catch {
            try? await exchange.respond(HTTPResponse(500), body: Array("\(error)".utf8))
        }
    }
    async let running: Void = server.run()
    let client = KubeClient(HTTPClient(endpoint: listener.endpoint), patience: .seconds(240))
    do {
        try await body(client, listener.endpoint)
    } catch {
        server.stop()
        try await running
        throw error
    }
    server.stop()
    try await running
}

extension HTTPExchange {
    func answer(_ json: JSON) async throws { try await answer(200, json) }

    func answer(_ status: Int, _ json: JSON) async throws {
        try await respond(HTTPResponse(status, headers: ["Content-Type": "application/json"]), body: json.bytes)
    }

    /// A `Status` as the API server words a failure.
    func fail(_ code: Int, _ reason: String, _ message: String) async throws {
        let status: JSON = [
            "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": .string(message),
            "reason": .string(reason), "code": .integer(Int64(code)),
        ]
        try await answer(code, status)
    }

    func query(_ name: String) -> String? { request.query.first { $0.0 == name }?.1 }
}
