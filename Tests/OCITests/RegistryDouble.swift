import HTTP
import OCI
import Playground
import Reactor
import Synchronization
import TestCluster

/// The playground's registry, before which a test can put whatever it wants a registry to do wrong.
final class PlaygroundRegistry: Sendable {
    let name: String
    /// What was asked, in order: `PATCH /v2/app/blobs/uploads/…`.
    private let asked = Mutex<[String]>([])

    private init(_ name: String) { self.name = name }

    var requests: [String] { asked.withLock(\.self) }

    /// Runs a registry for as long as `body` takes; `fault` answers a request itself, or lets it through with `false`.
    static func run(
        fault: @escaping @Sendable (HTTPExchange, Int) async throws -> Bool = { _, _ in false },
        _ body: @Sendable (PlaygroundRegistry, Scratch) async throws -> Void
    ) async throws {
        let scratch = try Scratch()
        let registry = try Playground.Registry(directory: "\(scratch.path)/registry")
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        let mine = PlaygroundRegistry("\(listener.endpoint)")
        let server = HTTPServer(listener) { exchange in
            let count = mine.asked.withLock { asked in
                asked.append("\(exchange.request.method) \(exchange.request.target)")
                return asked.count
            }
            if (try? await fault(exchange, count)) ?? true { return }
            await registry.serve(exchange)
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            try await body(mine, scratch)
            group.cancelAll()
        }
    }
}

extension HTTPExchange {
    /// Answers as a registry words an error.
    func refuse(_ status: Int, _ code: String, headers: HTTPHeaders = [:]) async throws {
        var headers = headers
        headers["Content-Type"] = "application/json"
        let body = "{\"errors\":[{\"code\":\"\(code)\",\"message\":\"said the test\"}]}"
        try await respond(HTTPResponse(status, headers: headers), body: Array(body.utf8))
    }

    /// Ends the connection without an answer.
    func hangUp() async throws {
        // A head that only announces the answer.
        let (stream, _) = try await takeOver(HTTPResponse(100))
        stream.close()
    }
}

/// A relay between a client and a registry that cuts connections, is slow, or has nobody behind it.
final class Relay: Sendable {
    struct Rule: Sendable {
        /// How many bytes of the client a connection passes on before it is cut.
        var cutAfter: Int?
        /// How many bytes of the registry it passes on before it is cut.
        var cutAnswersAfter: Int?
        /// The largest piece that is passed on at once, and the pause after it.
        var trickle: (piece: Int, pause: Duration)?
    }

    let listener: Listener
    private let target: Mutex<Endpoint?>
    private let open = Mutex<[Reactor.Stream]>([])
    private let rule: @Sendable (Int) -> Rule

    var name: String { "\(listener.endpoint)" }

    init(to target: Endpoint?, rule: @escaping @Sendable (Int) -> Rule = { _ in Rule() }) throws {
        listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        self.target = Mutex(target)
        self.rule = rule
    }

    /// Where connections go from now on; `nil` refuses them.
    func aim(at endpoint: Endpoint?) { target.withLock { $0 = endpoint } }

    /// Cuts every connection, and lets no other one through.
    func sever() {
        aim(at: nil)
        open.withLock { open in
            for stream in open { stream.close() }
            open = []
        }
    }

    func run() async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var count = 0
            while true {
                let client = try await listener.accept()
                count += 1
                let rule = rule(count)
                group.addTask { await self.serve(client, rule) }
            }
        }
    }

    private func serve(_ client: Reactor.Stream, _ rule: Rule) async {
        defer { client.close() }
        open.withLock { $0.append(client) }
        guard let endpoint = target.withLock(\.self), let server = try? await Reactor.Stream.connect(to: endpoint)
        else {
            return
        }
        defer { server.close() }
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var left = rule.cutAfter ?? .max
                let piece = rule.trickle?.piece ?? 65536
                while left > 0, let bytes = try? await client.read(upTo: min(piece, left)), !bytes.isEmpty {
                    guard (try? await server.write(bytes)) != nil else { break }
                    left -= bytes.count
                    if let pause = rule.trickle?.pause { try? await Task.sleep(for: pause) }
                }
                if left <= 0 { client.close() }
                server.shutdownWrite()
            }
            group.addTask {
                var left = rule.cutAnswersAfter ?? .max
                while left > 0, let bytes = try? await server.read(upTo: min(65536, left)), !bytes.isEmpty {
                    guard (try? await client.write(bytes)) != nil else { break }
                    left -= bytes.count
                }
                client.close()
                server.close()
            }
        }
    }
}

/// Runs a relay for as long as `body` takes.
func withRelay(
    to target: Endpoint?, rule: @escaping @Sendable (Int) -> Relay.Rule = { _ in .init() },
    _ body: @Sendable (Relay) async throws -> Void
) async throws {
    let relay = try Relay(to: target, rule: rule)
    try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await relay.run() }
        try await body(relay)
        group.cancelAll()
    }
}

/// Whether a tag is absent, or everything that it needs is there.
func isWhole(_ registry: OCI.Registry, _ repository: String, _ tag: String) async throws -> Bool {
    guard try await registry.head(tag, in: repository) != nil else { return true }
    let image = try await registry.image(tag, in: repository, platform: .host)
    for layer in image.layers {
        let bytes = try await registry.blob(layer.descriptor, in: repository, limit: 256 << 20)
        guard Int64(bytes.count) == layer.descriptor.size else { return false }
    }
    return true
}

extension OCI.Registry.Options {
    /// Patient for a moment only, in small pieces.
    static var brief: Self {
        var options = Self()
        options.patience.idle = .seconds(2)
        options.patience.recovery = .seconds(10)
        options.patience.pause = .milliseconds(5)
        options.pieceSize = 1 << 20
        return options
    }
}
