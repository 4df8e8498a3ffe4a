import HTTP
import Reactor

/// Runs a server on a free loopback port for as long as `body` takes.
func withServer(
    headTimeout: Duration = .seconds(10), _ handler: @escaping @Sendable (HTTPExchange) async -> Void,
    _ body: (Endpoint) async throws -> Void
) async throws {
    let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
    let server = HTTPServer(listener, headTimeout: headTimeout, handler: handler)
    async let running: Void = server.run()
    do {
        try await body(listener.endpoint)
    } catch {
        server.stop()
        try await running
        throw error
    }
    server.stop()
    try await running
}

extension Stream {
    /// Everything up to the end of the stream.
    func readToEnd() async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = try await read()
            if bytes.isEmpty { return all }
            all += bytes
        }
    }

    /// Sends a text as it is and returns everything that comes back.
    static func talk(to endpoint: Endpoint, _ text: String) async throws -> String {
        let stream = try await connect(to: endpoint)
        defer { stream.close() }
        try await stream.write(Array(text.utf8))
        return String(decoding: try await stream.readToEnd(), as: UTF8.self)
    }
}

extension String {
    var bytes: [UInt8] { Array(utf8) }
}
