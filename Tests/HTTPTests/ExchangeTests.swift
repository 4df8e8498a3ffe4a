import HTTP
import Reactor
import Synchronization
import Testing

@Suite("Requests and responses", .timeLimit(.minutes(5)))
struct ExchangeTests {
    private static let echo: @Sendable (HTTPExchange) async -> Void = { exchange in
        do {
            let body = try await exchange.body(limit: 32 << 20)
            let headers: HTTPHeaders = ["X-Target": exchange.request.target, "X-Method": exchange.request.method]
            try await exchange.respond(HTTPResponse(200, headers: headers), body: body)
        } catch {
            try? await exchange.respond(HTTPResponse(400), body: "\(error)".bytes)
        }
    }

    @Test("a body comes back as it was sent", arguments: [0, 1, 65_535, 65_536, 5_000_001])
    func bodies(count: Int) async throws {
        try await withServer(ExchangeTests.echo) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            let body = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            let answer = try await client.fetch(HTTPRequest("POST", "/echo?x=1"), body: body)
            #expect(answer.response.status == 200)
            #expect(answer.response.reason == "OK")
            #expect(answer.response.headers["x-target"] == "/echo?x=1")
            #expect(answer.body == body)
        }
    }

    @Test("a Unix socket serves as well as a port")
    func unixSocket() async throws {
        let path = "/tmp/loopd-http-\(UInt64.random(in: .min ... .max)).sock"
        let listener = try Listener(.unix(path: path))
        let server = HTTPServer(listener, handler: ExchangeTests.echo)
        async let running: Void = server.run()
        let answer = try await HTTPClient(endpoint: listener.endpoint).fetch(HTTPRequest("GET", "/"))
        #expect(answer.response.headers["X-Method"] == "GET")
        server.stop()
        try await running
    }

    @Test("the base path is put before every target")
    func basePath() async throws {
        try await withServer(ExchangeTests.echo) { endpoint in
            let client = HTTPClient(endpoint: endpoint, basePath: "/k8s/clusters/c-1/")
            let answer = try await client.fetch(HTTPRequest("GET", "/api"))
            #expect(answer.response.headers["X-Target"] == "/k8s/clusters/c-1/api")
        }
    }

    @Test("requests one after another share a connection")
    func keepAlive() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        let server = HTTPServer(listener) { exchange in await ExchangeTests.echo(exchange) }
        async let running: Void = server.run()
        let counted = CountingProxy(target: listener.endpoint)
        async let proxying: Void = counted.run()
        let client = HTTPClient(endpoint: counted.endpoint)
        for index in 0..<20 {
            let answer = try await client.fetch(HTTPRequest("PUT", "/\(index)"), body: "\(index)".bytes)
            #expect(answer.body == "\(index)".bytes)
        }
        #expect(counted.connections == 1)
        client.closeIdle()
        counted.stop()
        await proxying
        server.stop()
        try await running
    }

    @Test("a kept connection that the server has closed is replaced without the caller noticing")
    func deadConnection() async throws {
        // Every response promises to keep the connection, and then the connection ends.
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        async let serving: Void = {
            for _ in 0..<3 {
                let stream = try await listener.accept()
                _ = try await stream.read()
                try await stream.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".bytes)
                stream.close()
            }
        }()
        let client = HTTPClient(endpoint: listener.endpoint)
        for _ in 0..<3 {
            #expect(try await client.fetch(HTTPRequest("GET", "/")).body == "ok".bytes)
        }
        try await serving
        listener.close()
    }

    @Test("a streamed response arrives chunk by chunk")
    func streaming() async throws {
        let (signals, next) = AsyncStream<Void>.makeStream()
        try await withServer({ exchange in
            try? await exchange.startBody(HTTPResponse(200))
            var iterator = signals.makeAsyncIterator()
            for index in 0..<3 {
                try? await exchange.write("line \(index)\n".bytes)
                // The next line waits until the client has seen this one.
                await iterator.next()
            }
            try? await exchange.finish()
        }) { endpoint in
            let answer = try await HTTPClient(endpoint: endpoint).send(HTTPRequest("GET", "/watch"))
            for index in 0..<3 {
                #expect(try await answer.read() == "line \(index)\n".bytes)
                next.yield()
            }
            #expect(try await answer.read() == [])
            #expect(try await answer.read() == [])
        }
    }

    @Test("a handler is cancelled when its client goes away")
    func clientGone() async throws {
        let (cancelled, mark) = AsyncStream<Void>.makeStream()
        try await withServer({ exchange in
            try? await exchange.startBody(HTTPResponse(200))
            try? await exchange.write("x".bytes)
            try? await Task.sleep(for: .seconds(3600))
            if Task.isCancelled { mark.yield() }
        }) { endpoint in
            let answer = try await HTTPClient(endpoint: endpoint).send(HTTPRequest("GET", "/"))
            #expect(try await answer.read() == "x".bytes)
            answer.close()
            var iterator = cancelled.makeAsyncIterator()
            await iterator.next()
        }
    }

    @Test("a body that is cut off is an error, not an end")
    func cutOff() async throws {
        try await withServer({ exchange in
            try? await exchange.startBody(HTTPResponse(200))
            try? await exchange.write("half".bytes)
        }) { endpoint in
            let answer = try await HTTPClient(endpoint: endpoint).send(HTTPRequest("GET", "/"))
            #expect(try await answer.read() == "half".bytes)
            await #expect(throws: HTTPError.self) { try await answer.read() }
        }
    }

    @Test("a handler that says nothing gives a 500")
    func silentHandler() async throws {
        try await withServer({ _ in }) { endpoint in
            let answer = try await HTTPClient(endpoint: endpoint).fetch(HTTPRequest("GET", "/"))
            #expect(answer.response.status == 500)
        }
    }

    @Test("HEAD gets the length but no body")
    func head() async throws {
        try await withServer({ exchange in
            try? await exchange.respond(HTTPResponse(200), body: "hello".bytes)
        }) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            let answer = try await client.fetch(HTTPRequest("HEAD", "/"))
            #expect(answer.body == [])
            #expect(answer.response.headers["Content-Length"] == "5")
            #expect(try await client.fetch(HTTPRequest("GET", "/")).body == "hello".bytes)
        }
    }

    @Test("a body above the caller's limit is refused")
    func limits() async throws {
        try await withServer({ exchange in
            do {
                _ = try await exchange.body(limit: 10)
            } catch {
                try? await exchange.respond(HTTPResponse(413), body: [UInt8](repeating: 1, count: 100))
            }
        }) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            let answer = try await client.fetch(HTTPRequest("POST", "/"), body: [UInt8](repeating: 0, count: 1 << 20))
            #expect(answer.response.status == 413)
            await #expect(throws: HTTPError.self) {
                try await client.fetch(HTTPRequest("POST", "/"), body: [UInt8](repeating: 0, count: 100), limit: 99)
            }
        }
    }

    @Test("what would break out of its line is not sent")
    func injection() async throws {
        let client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: 1))
        for request in [
            HTTPRequest("GET", "/a b"), HTTPRequest("GET", "/a\r\nX: y"), HTTPRequest("GET", "relative"),
            HTTPRequest("GE T", "/"), HTTPRequest("GET", "/", headers: ["A": "b\r\nC: d"]),
            HTTPRequest("GET", "/", headers: ["A\n": "b"]),
        ] {
            await #expect(throws: HTTPError.self) { try await client.fetch(request) }
        }
    }

    @Test("stopping the server ends handlers and idle connections")
    func stop() async throws {
        let (started, mark) = AsyncStream<Void>.makeStream()
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        let server = HTTPServer(listener) { _ in
            mark.yield()
            try? await Task.sleep(for: .seconds(3600))
        }
        async let running: Void = server.run()
        let idle = try await Stream.connect(to: listener.endpoint)
        let busy = try await Stream.connect(to: listener.endpoint)
        try await busy.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n".bytes)
        var iterator = started.makeAsyncIterator()
        await iterator.next()
        server.stop()
        try await running
        #expect(try await idle.readToEnd() == [])
        await #expect(throws: (any Error).self) { try await Stream.connect(to: listener.endpoint) }
    }
}

/// Passes connections on and counts them.
final class CountingProxy: Sendable {
    private let listener: Listener?
    private let target: Endpoint
    private let count = Mutex(0)

    init(target: Endpoint) {
        self.target = target
        listener = try? Listener(.tcp(host: "127.0.0.1", port: 0))
    }

    var endpoint: Endpoint { listener?.endpoint ?? target }
    var connections: Int { count.withLock { $0 } }

    func stop() { listener?.close() }

    func run() async {
        await withTaskGroup(of: Void.self) { group in
            while let client = try? await listener?.accept() {
                count.withLock { $0 += 1 }
                guard let server = try? await Stream.connect(to: target) else { continue }
                group.addTask { await CountingProxy.copy(client, server) }
                group.addTask { await CountingProxy.copy(server, client) }
            }
        }
    }

    private static func copy(_ from: Stream, _ to: Stream) async {
        while let bytes = try? await from.read(), !bytes.isEmpty { try? await to.write(bytes) }
        from.close()
        to.close()
    }
}
