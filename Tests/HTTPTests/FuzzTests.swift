import HTTP
import Reactor
import Testing

/// Random and mutated messages must give errors or answers, never a crash or a hang.
///
/// The seed is printed; put it into `seed` to repeat a run.
@Suite("Fuzzing", .timeLimit(.minutes(5)))
struct FuzzTests {
    private static let seed = UInt64.random(in: .min ... .max)

    private static let requests = [
        "GET /api?watch=1 HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n",
        "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
        "POST /a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nT: t\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    ]

    @Test("a server survives random and mutated requests, and still answers")
    func server() async throws {
        print("HTTP server fuzz seed: \(FuzzTests.seed)")
        var random = SeededRandom(FuzzTests.seed)
        try await withServer(
            headTimeout: .milliseconds(50),
            { exchange in
                if exchange.asksForWebSocket, let socket = try? await exchange.upgrade() {
                    while let message = try? await socket.receive() { try? await socket.send(binary: message.bytes) }
                    return
                }
                let body = try? await exchange.body(limit: 1000)
                try? await exchange.respond(HTTPResponse(200), body: body ?? [])
            }
        ) { endpoint in
            for round in 0..<400 {
                let bytes =
                    round % 4 == 0
                    ? random.bytes(upTo: 300)
                    : random.mutate(FuzzTests.requests[round % FuzzTests.requests.count].bytes)
                let stream = try await Stream.connect(to: endpoint)
                try? await stream.write(bytes)
                stream.shutdownWrite()
                // A reset is an answer too.
                _ = try? await stream.readToEnd()
                stream.close()
            }
            #expect(try await HTTPClient(endpoint: endpoint).fetch(HTTPRequest("GET", "/")).response.status == 200)
        }
    }

    @Test("a client survives random and mutated responses")
    func client() async throws {
        print("HTTP client fuzz seed: \(FuzzTests.seed)")
        var random = SeededRandom(FuzzTests.seed)
        let responses = [
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\nnothing",
        ]
        let answers = (0..<300).map { round in
            round % 4 == 0 ? random.bytes(upTo: 300) : random.mutate(responses[round % responses.count].bytes)
        }
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        async let serving: Void = {
            for answer in answers {
                let stream = try await listener.accept()
                _ = try await stream.read()
                try? await stream.write(answer)
                stream.close()
            }
        }()
        for _ in answers {
            let client = HTTPClient(endpoint: listener.endpoint)
            _ = try? await client.fetch(HTTPRequest("POST", "/"), limit: 1 << 20)
        }
        try await serving
        listener.close()
    }

    @Test("a WebSocket survives random and mutated frames", arguments: [false, true])
    func webSocket(isServer: Bool) async throws {
        print("WebSocket fuzz seed: \(FuzzTests.seed)")
        var random = SeededRandom(FuzzTests.seed)
        let mask: [UInt8] = isServer ? [1, 2, 3, 4] : []
        let bit: UInt8 = isServer ? 0x80 : 0
        let frames: [[UInt8]] = [
            [0x82, 3 | bit] + mask + [1, 2, 3], [0x02, 1 | bit] + mask + [1, 0x80, 1 | bit] + mask + [2],
            [0x89, 0 | bit] + mask, [0x88, 2 | bit] + mask + [3, 232],
            [0x82, 126 | bit, 0, 130] + mask
                + [UInt8](repeating: 5, count: 130),
        ]
        for round in 0..<500 {
            let (raw, stream) = try Stream.pair()
            let socket = WebSocket(stream, isServer: isServer, limit: 1 << 16)
            let valid = (0..<4).flatMap { _ in frames[Int(random.next() % UInt64(frames.count))] }
            try? await raw.write(round % 4 == 0 ? random.bytes(upTo: 200) : random.mutate(valid))
            raw.shutdownWrite()
            do {
                while try await socket.receive() != nil {}
            } catch {
                #expect(error is HTTPError || error is SystemError)
            }
            raw.close()
        }
    }
}

/// A random sequence that its seed determines.
struct SeededRandom: RandomNumberGenerator {
    private var state: UInt64

    init(_ seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return mixed ^ mixed >> 31
    }

    mutating func bytes(upTo limit: Int) -> [UInt8] {
        let count = Int.random(in: 0...limit, using: &self)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    /// Some bytes replaced, removed, doubled, or the end cut off.
    mutating func mutate(_ original: [UInt8]) -> [UInt8] {
        var bytes = original
        for _ in 0..<Int.random(in: 1...4, using: &self) where !bytes.isEmpty {
            let index = Int.random(in: 0..<bytes.count, using: &self)
            switch UInt8.random(in: 0..<5, using: &self) {
            case 0: bytes[index] = UInt8.random(in: 0...255, using: &self)
            case 1: bytes.remove(at: index)
            case 2: bytes.insert(contentsOf: bytes[index..<min(bytes.count, index + 8)], at: index)
            case 3: bytes.removeLast(bytes.count - index)
            default: bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &self)
            }
        }
        return bytes
    }
}
