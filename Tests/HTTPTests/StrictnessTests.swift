import HTTP
import Reactor
import Testing

/// What the server refuses, byte by byte.
@Suite("Strict parsing", .timeLimit(.minutes(5)))
struct StrictnessTests {
    private static let answer: @Sendable (HTTPExchange) async -> Void = { exchange in
        do {
            let body = try await exchange.body(limit: 1 << 20)
            let head = "[\(exchange.request.method) \(exchange.request.target)]"
            try await exchange.respond(HTTPResponse(200), body: head.bytes + body)
        } catch {
            try? await exchange.respond(HTTPResponse(400), body: "\(error)".bytes)
        }
    }

    @Test(
        "ambiguous or broken requests get a 400",
        arguments: [
            "GET / HTTP/1.1\nHost: x\n\n",
            "GET / HTTP/1.1\r\nHost: x\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
            "GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: x\r\nA: \u{0}\r\n\r\n",
            "GET /\u{7F} HTTP/1.1\r\nHost: x\r\n\r\n",
            "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\na",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na\r\n0\r\n\r\n",
        ])
    func refused(request: String) async throws {
        try await withServer(StrictnessTests.answer) { endpoint in
            let answer = try await Stream.talk(to: endpoint, request)
            #expect(answer.hasPrefix("HTTP/1.1 400 Bad Request\r\n"))
            #expect(answer.contains("Connection: close\r\n"))
        }
    }

    @Test("an endless head is refused at 64 KiB", arguments: ["\r\nA: b", "b"])
    func endlessHead(piece: String) async throws {
        try await withServer(StrictnessTests.answer) { endpoint in
            let head =
                "GET / HTTP/1.1\r\nHost: x\r\nA: a" + String(repeating: piece, count: (70 << 10) / piece.utf8.count)
            let answer = try await Stream.talk(to: endpoint, head)
            #expect(answer.hasPrefix("HTTP/1.1 431 "))
        }
    }

    @Test("a head that is begun and not ended closes the connection")
    func slowHead() async throws {
        try await withServer(headTimeout: .milliseconds(20), StrictnessTests.answer) { endpoint in
            let answer = try await Stream.talk(to: endpoint, "GET / HTT")
            #expect(answer == "")
        }
    }

    @Test("requests that arrive together are answered in order")
    func pipelining() async throws {
        try await withServer(StrictnessTests.answer) { endpoint in
            let answer = try await Stream.talk(
                to: endpoint,
                "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"
                    + "POST /2 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "2;x=y\r\nde\r\n1\r\nf\r\n0\r\nTrailer: t\r\n\r\n"
                    + "\r\nGET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            let bodies = answer.split(separator: "\r\n\r\n").dropFirst().map { $0.prefix { $0 != "H" } }
            #expect(bodies == ["[POST /1]abc", "[POST /2]def", "[GET /3]"])
        }
    }

    @Test("a body that the handler did not read is skipped before the next request")
    func unreadBody() async throws {
        try await withServer({ exchange in
            try? await exchange.respond(HTTPResponse(200), body: exchange.request.target.bytes)
        }) { endpoint in
            let answer = try await Stream.talk(
                to: endpoint,
                "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 26\r\n\r\nGET /evil HTTP/1.1\r\nHost:"
                    + "GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            #expect(answer.contains("/1") && answer.hasSuffix("/2") && !answer.contains("/evil"))
        }
    }

    @Test("a client of HTTP/1.0 gets its answer and the connection's end")
    func oldClient() async throws {
        try await withServer({ exchange in
            try? await exchange.startBody(HTTPResponse(200))
            try? await exchange.write("abc".bytes)
            try? await exchange.finish()
        }) { endpoint in
            let answer = try await Stream.talk(to: endpoint, "GET / HTTP/1.0\r\n\r\n")
            #expect(answer == "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc")
        }
    }

    @Test("who expects 100-continue gets it when the body is read, and not when it is not")
    func expectContinue() async throws {
        try await withServer({ exchange in
            if exchange.request.target == "/no" {
                try? await exchange.respond(HTTPResponse(403))
            } else {
                await StrictnessTests.answer(exchange)
            }
        }) { endpoint in
            let head = "Host: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
            let stream = try await Stream.connect(to: endpoint)
            try await stream.write("POST /yes HTTP/1.1\r\n\(head)".bytes)
            #expect(try await stream.read() == "HTTP/1.1 100 Continue\r\n\r\n".bytes)
            try await stream.write("ok".bytes)
            #expect(String(decoding: try await stream.read(), as: UTF8.self).hasSuffix("[POST /yes]ok"))
            stream.close()
            #expect(try await Stream.talk(to: endpoint, "POST /no HTTP/1.1\r\n\(head)").hasPrefix("HTTP/1.1 403 "))
        }
    }

    @Test("another protocol gets the stream with what has arrived already")
    func takeOver() async throws {
        try await withServer({ exchange in
            let headers: HTTPHeaders = ["Upgrade": "raw", "Connection": "Upgrade"]
            guard let (stream, leftover) = try? await exchange.takeOver(HTTPResponse(101, headers: headers)) else {
                return
            }
            try? await stream.write(leftover + "!".bytes)
            stream.close()
        }) { endpoint in
            let answer = try await Stream.talk(
                to: endpoint, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: raw\r\nConnection: Upgrade\r\n\r\nearly")
            #expect(answer.hasSuffix("\r\n\r\nearly!"))
        }
    }

    @Test(
        "broken responses are errors",
        arguments: [
            "HTTP/1.1 200 OK\nContent-Length: 0\n\n", "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "SSH-2.0-x\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", "HTTP/1.1 200 OK\r\nContent-Le", "",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc", "HTTP/1.1 101 Switching\r\n\r\n",
        ])
    func brokenResponses(response: String) async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        async let serving: Void = {
            let stream = try await listener.accept()
            _ = try await stream.read()
            try await stream.write(response.bytes)
            stream.close()
        }()
        let client = HTTPClient(endpoint: listener.endpoint)
        if response.contains("101") {
            await #expect(throws: (any Error).self) { _ = try await client.webSocket("/") }
        } else {
            await #expect(throws: (any Error).self) { try await client.fetch(HTTPRequest("GET", "/")) }
        }
        try await serving
    }

    @Test("a body without length ends with its connection, and 100 is not the response")
    func untilClose() async throws {
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        async let serving: Void = {
            let stream = try await listener.accept()
            _ = try await stream.read()
            try await stream.write("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200\r\n\r\nabc".bytes)
            stream.close()
        }()
        let answer = try await HTTPClient(endpoint: listener.endpoint).fetch(HTTPRequest("GET", "/"))
        #expect(answer.body == "abc".bytes)
        try await serving
    }
}
