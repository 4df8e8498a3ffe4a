import HTTP
import Reactor
import Testing

@Suite("WebSocket", .timeLimit(.minutes(5)))
struct WebSocketTests {
    /// A client and a server end over a pair of sockets.
    private func pair(limit: Int = 16 << 20) throws -> (client: WebSocket, server: WebSocket) {
        let (left, right) = try Stream.pair()
        return (WebSocket(left, isServer: false, limit: limit), WebSocket(right, isServer: true, limit: limit))
    }

    private static let echo: @Sendable (HTTPExchange) async -> Void = { exchange in
        do {
            let chosen = exchange.offeredProtocols.first { $0.hasPrefix("v5") }
            let socket = try await exchange.upgrade(protocol: chosen)
            while let message = try await socket.receive() {
                switch message {
                case .binary(let bytes): try await socket.send(channel: 1, bytes)
                case .text(let bytes): try await socket.send(text: String(decoding: bytes, as: UTF8.self))
                }
            }
        } catch {
            try? await exchange.respond(HTTPResponse(400), body: "\(error)".bytes)
        }
    }

    @Test("messages of every length class go both ways", arguments: [0, 1, 7, 8, 125, 126, 65_535, 65_536, 3_000_001])
    func lengths(count: Int) async throws {
        try await withServer(WebSocketTests.echo) { endpoint in
            let socket = try await HTTPClient(endpoint: endpoint).webSocket("/exec", protocols: ["v5.x", "v4.x"])
            #expect(socket.negotiatedProtocol == "v5.x")
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 7) }
            try await socket.send(binary: bytes)
            #expect(try await socket.receive() == .binary([1] + bytes))
            try await socket.send(channel: 0, bytes)
            #expect(try await socket.receive() == .binary([1, 0] + bytes))
            await socket.close()
            #expect(socket.closeCode == 1000)
        }
    }

    @Test("a text stays a text")
    func text() async throws {
        try await withServer(WebSocketTests.echo) { endpoint in
            let socket = try await HTTPClient(endpoint: endpoint).webSocket("/")
            #expect(socket.negotiatedProtocol == nil)
            try await socket.send(text: "grüße")
            #expect(try await socket.receive() == .text("grüße".bytes))
            await socket.close()
        }
    }

    @Test("an answer other than 101 is thrown with its status and body")
    func refused() async throws {
        try await withServer({ exchange in
            try? await exchange.respond(HTTPResponse(403), body: "no".bytes)
        }) { endpoint in
            let client = HTTPClient(endpoint: endpoint)
            let refusal = await #expect(throws: UpgradeRefused.self) {
                _ = try await client.webSocket("/", protocols: ["v9"])
            }
            #expect(refusal?.response.status == 403)
            #expect(refusal?.body == "no".bytes)
        }
    }

    @Test("the handshake's key is answered as RFC 6455 shows")
    func handshakeExample() async throws {
        try await withServer(WebSocketTests.echo) { endpoint in
            let stream = try await Stream.connect(to: endpoint)
            defer { stream.close() }
            try await stream.write(
                """
                GET /chat HTTP/1.1\r
                Host: server.example.com\r
                Upgrade: websocket\r
                Connection: keep-alive, Upgrade\r
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r
                Sec-WebSocket-Version: 13\r
                \r

                """.bytes)
            let answer = String(decoding: try await stream.read(), as: UTF8.self)
            #expect(answer.hasPrefix("HTTP/1.1 101 Switching Protocols\r\n"))
            #expect(answer.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"))
        }
    }

    @Test("pings are answered with their payload, also in the middle of a message")
    func pings() async throws {
        let (raw, stream) = try Stream.pair()
        let socket = WebSocket(stream, isServer: false)
        let ping: [UInt8] = [0x89, 2, 7, 8]
        try await raw.write([0x02, 1, 65] + ping + [0x00, 1, 66] + [0x80, 1, 67])
        #expect(try await socket.receive() == .binary([65, 66, 67]))
        let pong = try await raw.read()
        #expect(pong.prefix(2) == [0x8A, 0x82])
        let mask = pong[2..<6]
        #expect(zip(pong[6...], mask).map { $0 ^ $1 } == [7, 8])
    }

    @Test("the peer's close code and reason can be read, and its close is answered")
    func closing() async throws {
        let (client, server) = try pair()
        async let closed: Void = server.close(code: 4001, reason: "going away")
        #expect(try await client.receive() == nil)
        await closed
        #expect(client.closeCode == 4001)
        #expect(client.closeReason == "going away")
        #expect(server.closeCode == 4001)
        #expect(try await client.receive() == nil)
        await #expect(throws: (any Error).self) { try await client.send(text: "late") }
    }

    @Test("a connection that just ends is closed with code 1006; in the middle of a frame it is an error")
    func ends() async throws {
        let (raw, stream) = try Stream.pair()
        let socket = WebSocket(stream, isServer: false)
        raw.close()
        #expect(try await socket.receive() == nil)
        #expect(socket.closeCode == 1006)

        let (raw2, stream2) = try Stream.pair()
        let socket2 = WebSocket(stream2, isServer: false)
        try await raw2.write([0x82, 5, 1])
        raw2.close()
        await #expect(throws: HTTPError.unexpectedEnd("a frame")) { try await socket2.receive() }
    }

    struct Violation: Sendable, CustomTestStringConvertible {
        let what: String
        let bytes: [UInt8]
        var code: UInt16 = 1002
        var testDescription: String { what }
    }

    @Test(
        "a peer that breaks the protocol is told so",
        arguments: [
            Violation(what: "masked frame from a server", bytes: [0x82, 0x81, 0, 0, 0, 0, 1]),
            Violation(what: "reserved bit", bytes: [0xC2, 0]),
            Violation(what: "unknown opcode", bytes: [0x83, 0]),
            Violation(what: "continuation of nothing", bytes: [0x80, 0]),
            Violation(what: "message inside a message", bytes: [0x02, 0, 0x82, 0]),
            Violation(what: "fragmented ping", bytes: [0x09, 0]),
            Violation(what: "long ping", bytes: [0x89, 126, 0, 126]),
            Violation(what: "length in too many bytes", bytes: [0x82, 126, 0, 5]),
            Violation(what: "length in far too many bytes", bytes: [0x82, 127, 0, 0, 0, 0, 0, 0, 255, 255]),
            Violation(what: "length above 2^63", bytes: [0x82, 127, 255, 0, 0, 0, 0, 0, 0, 0]),
            Violation(what: "frame too large", bytes: [0x82, 127, 0, 0, 0, 0, 1, 0, 0, 1], code: 1009),
            Violation(what: "close of one byte", bytes: [0x88, 1, 3]),
            Violation(what: "close with a code that may not be sent", bytes: [0x88, 2, 0x03, 0xED]),
            Violation(what: "text that is not UTF-8", bytes: [0x81, 1, 0xFF]),
        ])
    func violations(_ violation: Violation) async throws {
        let (raw, stream) = try Stream.pair()
        let socket = WebSocket(stream, isServer: false)
        try await raw.write(violation.bytes)
        await #expect(throws: HTTPError.self) { while try await socket.receive() != nil {} }
        let answer = try await raw.readToEnd()
        try #require(answer.count >= 8)
        #expect(answer[0] == 0x88)
        let code = UInt16(answer[6] ^ answer[2]) << 8 | UInt16(answer[7] ^ answer[3])
        #expect(code == violation.code)
    }

    @Test("a message's channel comes apart from its bytes, wherever it was cut, at either end")
    func channels() async throws {
        for isServer in [true, false] {
            let (left, right) = try Stream.pair()
            let socket = WebSocket(left, isServer: isServer)
            // A mask of zeros but for what covers the first byte and the fifth one.
            let mask: [UInt8] = isServer ? [0x40, 0, 0, 0] : []
            func frame(_ first: UInt8, _ payload: [UInt8]) -> [UInt8] {
                let covered = payload.enumerated().map { isServer && $0 % 4 == 0 ? $1 ^ 0x40 : $1 }
                return [first, UInt8(payload.count) | (isServer ? 0x80 : 0)] + mask + covered
            }
            let whole = frame(0x82, [7, 1, 2, 3, 4, 5])
            // A ping between an empty beginning and the rest, and an empty piece at the end.
            let cut = frame(0x02, []) + frame(0x89, [9]) + frame(0x00, [8, 1]) + frame(0x00, [2, 3]) + frame(0x80, [])
            for byte in whole + frame(0x82, []) + cut + frame(0x82, [3]) { try await right.write([byte]) }
            let expected: [(UInt8?, [UInt8])] = [(7, [1, 2, 3, 4, 5]), (nil, []), (8, [1, 2, 3]), (3, [])]
            for (channel, bytes) in expected {
                let message = try #require(try await socket.receiveChannel())
                #expect(message.channel == channel)
                #expect(message.bytes == bytes)
            }
            right.close()
        }
    }

    @Test("a message of many fragments is bounded too")
    func fragmentLimit() async throws {
        let (raw, stream) = try Stream.pair()
        let socket = WebSocket(stream, isServer: false, limit: 100)
        let fragment = [UInt8](repeating: 1, count: 60)
        try await raw.write([0x02, 60] + fragment + [0x80, 60] + fragment)
        await #expect(throws: HTTPError.self) { try await socket.receive() }
    }

    @Test("messages from many tasks do not mix")
    func concurrentSenders() async throws {
        let (client, server) = try pair()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for sender in 0..<8 {
                group.addTask {
                    for _ in 0..<20 {
                        try await client.send(binary: [UInt8](repeating: UInt8(sender), count: 100_000 + sender))
                    }
                }
            }
            var counts = [Int](repeating: 0, count: 8)
            for _ in 0..<160 {
                let bytes = try #require(try await server.receive()).bytes
                let sender = Int(bytes[0])
                #expect(bytes == [UInt8](repeating: UInt8(sender), count: 100_000 + sender))
                counts[sender] += 1
            }
            #expect(counts == [Int](repeating: 20, count: 8))
            try await group.waitForAll()
        }
    }

    @Test("a pending receive ends when its task is cancelled, and when the socket is aborted")
    func cancellation() async throws {
        let (client, server) = try pair()
        for _ in 0..<50 {
            let receiving = Task { try await client.receive() }
            receiving.cancel()
            await #expect(throws: CancellationError.self) { try await receiving.value }
        }
        // Nothing was lost: the next message arrives.
        try await server.send(text: "still there")
        #expect(try await client.receive() == .text("still there".bytes))

        let other = Task { try await server.receive() }
        server.abort()
        _ = await other.result
        withExtendedLifetime(client) {}
    }

    @Test("closing does not wait for a peer that never answers")
    func silentPeer() async throws {
        let (raw, stream) = try Stream.pair()
        let socket = WebSocket(stream, isServer: false)
        await socket.close()
        // The close frame is there, and then the end.
        #expect(try await raw.readToEnd().first == 0x88)
    }
}
