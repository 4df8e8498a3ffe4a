import HTTP
import Reactor
import Synchronization
import Testing

@Suite("Bodies of requests, and patience", .timeLimit(.minutes(5)))
struct RequestBodyTests {
    /// Answers with the method, the number of bytes that came, and their sum.
    private static func count(_ exchange: HTTPExchange) async {
        do {
            var (count, sum) = (0, 0)
            while true {
                let bytes = try await exchange.readBody()
                if bytes.isEmpty { break }
                count += bytes.count
                sum += bytes.reduce(0) { $0 + Int($1) }
            }
            try await exchange.respond(HTTPResponse(200), body: "\(exchange.request.method) \(count) \(sum)".bytes)
        } catch {
            // The client went away.
        }
    }

    @Test("a body that is made in pieces arrives as one, with its length")
    func pieces() async throws {
        try await withServer(Self.count) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            let seen = Mutex<[Int]>([])
            for round in 1...3 {
                let body = HTTPRequestBody.pieces(count: 1_000_000) { offset in
                    [UInt8](repeating: 1, count: min(300_000, 1_000_000 - offset))
                }
                let answer = try await client.send(HTTPRequest("PUT", "/"), carrying: body) { taken in
                    seen.withLock { $0.append(taken) }
                }
                #expect(try await answer.readAll(limit: 100) == "PUT 1000000 1000000".bytes)
                #expect(seen.withLock { $0.last } == 1_000_000)
                #expect(seen.withLock { $0.count } >= round)
            }
        }
    }

    @Test("a body whose source fails, or gives too much, ends the request with that")
    func failingSource() async throws {
        struct Broken: Error {}
        try await withServer(Self.count) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            await #expect(throws: Broken.self) {
                try await client.send(
                    HTTPRequest("PUT", "/"),
                    carrying: .pieces(count: 10) { offset in
                        if offset > 0 { throw Broken() }
                        return [1]
                    })
            }
            for piece in [[], [UInt8](repeating: 1, count: 11)] {
                await #expect {
                    try await client.send(HTTPRequest("PUT", "/"), carrying: .pieces(count: 10) { _ in piece })
                } throws: { error in
                    if case HTTPError.misuse = error { true } else { false }
                }
            }
            // The client is of use afterwards.
            let after = try await client.fetch(HTTPRequest("PUT", "/"), body: [1, 2])
            #expect(after.body == "PUT 2 3".bytes)
        }
    }

    @Test("a server that says no before it has read everything is heard")
    func earlyAnswer() async throws {
        try await withServer { exchange in
            try? await exchange.respond(HTTPResponse(413, headers: ["Connection": "close"]), body: "no".bytes)
        } _: { endpoint in
            let client = HTTPClient(endpoint: endpoint, patience: HTTPPatience(idle: .seconds(20)))
            let body = HTTPRequestBody.pieces(count: 64 << 20) { _ in [UInt8](repeating: 0, count: 64 << 10) }
            // The connection may be reset before the answer was read: that is an error, and no hang.
            let answer = try? await client.send(HTTPRequest("PUT", "/"), carrying: body)
            #expect(answer == nil || answer?.response.status == 413)
        }
    }

    @Test("a server that does not answer, or stops in a body, is given up where the caller says so")
    func silence() async throws {
        let never = Gate()
        try await withServer { exchange in
            if exchange.request.target == "/half" {
                try? await exchange.startBody(HTTPResponse(200, headers: ["Content-Length": "10"]))
                try? await exchange.write([1])
            }
            await never.pass()
        } _: { endpoint in
            let client = HTTPClient(
                endpoint: endpoint, patience: HTTPPatience(connect: .seconds(20), idle: .milliseconds(50)))
            for target in ["/none", "/half"] {
                await #expect {
                    try await client.fetch(HTTPRequest("GET", target))
                } throws: { error in
                    if case HTTPError.tooSlow = error { true } else { false }
                }
            }
            never.close()
        }
    }

    @Test("a slow body is waited for as long as it moves")
    func slow() async throws {
        try await withServer(Self.count) { endpoint in
            let client = HTTPClient(endpoint: endpoint, patience: HTTPPatience(idle: .seconds(10)))
            let body = HTTPRequestBody.pieces(count: 5) { _ in
                await Task.yield()
                return [1]
            }
            let answer = try await client.send(HTTPRequest("PUT", "/"), carrying: body)
            #expect(try await answer.readAll(limit: 100) == "PUT 5 5".bytes)
        }
    }

    @Test("an IPv6 address is listened on and connected to")
    func six() async throws {
        let listener: Listener
        do {
            listener = try Listener(.tcp(host: "::1", port: 0))
        } catch {
            print("skipped: this machine has no IPv6 (\(error))")
            return
        }
        #expect("\(listener.endpoint)".hasPrefix("[::1]:"))
        #expect("\(listener.endpoint)" != "[::1]:0")
        let server = HTTPServer(listener, handler: Self.count)
        async let running: Void = server.run()
        let client = HTTPClient(endpoint: listener.endpoint)
        #expect(try await client.fetch(HTTPRequest("POST", "/"), body: [7]).body == "POST 1 7".bytes)
        server.stop()
        try await running
    }
}
