import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("Exec over WebSocket", .timeLimit(.minutes(1)))
struct ExecSessionTests {
    /// Plays a recorded exec to whoever asks.
    private static func replay(_ recording: JSON) -> @Sendable (HTTPExchange) async throws -> Void {
        { exchange in
            let head = (recording["response"]?.array ?? []).compactMap(\.string)
            let status = Int(head[0].split(separator: " ")[1]) ?? 0
            guard status == 101 else {
                var headers = HTTPHeaders()
                for line in head.dropFirst() where !line.hasPrefix("Content-Length") {
                    let parts = line.split(separator: ":", maxSplits: 1)
                    headers.add(String(parts[0]), String(parts[1].dropFirst()))
                }
                let body = Array((recording["body"]?.string ?? "").utf8)
                try await exchange.respond(HTTPResponse(status, headers: headers), body: body)
                return
            }
            let agreed = try #require(recording["protocol"]?.string)
            #expect(exchange.offeredProtocols.contains(agreed))
            let socket = try await exchange.upgrade(protocol: agreed)
            if let input = recording["stdin"]?.string {
                #expect(try await socket.receive() == .binary([0] + Array(input.utf8)))
                // Channel 255 closes standard input.
                #expect(try await socket.receive() == .binary([255, 0]))
            }
            for frame in recording["frames"]?.array ?? [] {
                guard let channel = frame["channel"]?.integer else { continue }
                try await socket.send(channel: UInt8(channel), Array((frame["payload"]?.string ?? "").utf8))
            }
            await socket.close()
        }
    }

    private func request(_ recording: JSON) throws -> ExecSession.Request {
        let asked = HTTPRequest("GET", try #require(recording["request"]?.string))
        return ExecSession.Request(
            namespace: asked.path[3], pod: "nosuchpod", container: asked.query.first { $0.0 == "container" }?.1,
            command: asked.query.filter { $0.0 == "command" }.map(\.1), hasInput: recording["stdin"]?.string != nil)
    }

    struct Success: Sendable, CustomTestStringConvertible {
        let file: String
        var output: [ExecSession.Output] = []
        var exitCode: Int32 = 0
        var testDescription: String { file }
    }

    @Test(
        "recorded programs end as they did",
        arguments: [
            Success(file: "stdout-exit-0", output: [.standardOutput(Array("hello\n".utf8))]),
            Success(file: "stderr-exit-3", output: [.standardError(Array("oops\n".utf8))], exitCode: 3),
            Success(file: "killed-by-signal", exitCode: 137),
            Success(file: "protocol-v4-exit-3", exitCode: 3),
            Success(file: "stdin-echo-close-channel", output: [.standardOutput(Array("ping\n".utf8))]),
            Success(
                file: "read-only-root-non-root",
                output: [
                    .standardOutput(Array("1000\n".utf8)),
                    .standardError(Array("sh: can't create /app.txt: Read-only file system\n".utf8)),
                ], exitCode: 1),
        ])
    func successes(_ expected: Success) async throws {
        let recording = try Recording.json("exec/\(expected.file).json")
        try await withAPI(ExecSessionTests.replay(recording)) { client, _ in
            let session = try await ExecSession.open(client, request(recording))
            if let input = recording["stdin"]?.string {
                try await session.write(Array(input.utf8))
                #expect(try await session.closeInput())
            }
            var output: [ExecSession.Output] = []
            while let next = try await session.next() { output.append(next) }
            #expect(output == expected.output)
            #expect(session.result == ExecResult(status: ["status": "Success"]) || expected.exitCode != 0)
            #expect(session.result?.exitCode == expected.exitCode)
            #expect(try await session.next() == nil)
        }
    }

    @Test(
        "recorded failures say precisely what was wrong",
        arguments: [
            ("command-not-found", ExecError.commandNotFound("/no/such/binary")),
            ("no-shell-distroless", .commandNotFound("sh")),
            ("container-not-created", .containerNotRunning("imagepull")),
            ("crashing-container", .containerNotRunning("crash")),
            (
                "container-not-found",
                .containerNotFound("container nope is not valid for pod app-5f856bfd8d-mwkxd")
            ),
            ("pod-not-found", .podNotFound("nosuchpod")),
            ("protocol-unsupported", .protocolNotSupported("403 Forbidden")),
        ])
    func failures(file: String, error: ExecError) async throws {
        let recording = try Recording.json("exec/\(file).json")
        try await withAPI(ExecSessionTests.replay(recording)) { client, _ in
            let asked = try request(recording)
            await #expect(throws: error) {
                let session = try await ExecSession.open(client, asked)
                while try await session.next() != nil {}
            }
        }
    }

    @Test("a refusal by access rules is told in the server's words")
    func forbidden() async throws {
        let message = "pods \"web\" is forbidden: User \"dev\" cannot create resource \"pods/exec\""
        try await withAPI({ try await $0.fail(403, "Forbidden", message) }) { client, _ in
            await #expect(throws: ExecError.forbidden(message)) {
                try await ExecSession.run(client, namespace: "d", pod: "web", container: nil, ["true"])
            }
        }
    }

    @Test("a server that speaks only v4 is offered that alone in the end")
    func onlyV4() async throws {
        let offers = Mutex<[[String]]>([])
        try await withAPI({ exchange in
            offers.withLock { $0.append(exchange.offeredProtocols) }
            guard exchange.offeredProtocols.first == "v4.channel.k8s.io" else {
                try await exchange.respond(HTTPResponse(403, headers: ["Connection": "close"]))
                return
            }
            let socket = try await exchange.upgrade(protocol: "v4.channel.k8s.io")
            try await socket.send(channel: 3, Array(#"{"status":"Success"}"#.utf8))
            await socket.close()
        }) { client, _ in
            let asked = ExecSession.Request(namespace: "d", pod: "web", container: "web", command: ["cat"])
            let session = try await ExecSession.open(client, asked)
            #expect(session.protocolName == "v4.channel.k8s.io")
            #expect(try await session.closeInput() == false)
            #expect(try await session.next() == nil)
            #expect(offers.withLock { $0 } == [["v5.channel.k8s.io", "v4.channel.k8s.io"], ["v4.channel.k8s.io"]])
        }
    }

    @Test("a connection that ends without a status is lost, not a success")
    func lost() async throws {
        try await withAPI({ exchange in
            let socket = try await exchange.upgrade(protocol: "v5.channel.k8s.io")
            try await socket.send(channel: 1, [65])
            socket.abort()
        }) { client, _ in
            let asked = ExecSession.Request(namespace: "d", pod: "web", command: ["cat"])
            let session = try await ExecSession.open(client, asked)
            #expect(try await session.next() == .standardOutput([65]))
            await #expect(throws: ExecError.connectionLost("without a status")) { try await session.next() }
            await #expect(throws: ExecError.self) {
                // The first write may still find room in a buffer.
                while true { try await session.write([UInt8](repeating: 0, count: 1 << 20)) }
            }
        }
    }

    @Test("megabytes of input arrive as they were sent")
    func bulk() async throws {
        let bytes = (0..<5_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ $0 >> 9) }
        try await withAPI({ exchange in
            let socket = try await exchange.upgrade(protocol: "v5.channel.k8s.io")
            var received: [UInt8] = []
            while received.count < bytes.count, let message = try await socket.receive() {
                received += message.bytes.dropFirst()
            }
            #expect(received == bytes)
            try await socket.send(channel: 3, Array(#"{"status":"Success"}"#.utf8))
            await socket.close()
        }) { client, _ in
            let session = try await ExecSession.open(
                client, ExecSession.Request(namespace: "d", pod: "web", command: ["cat"]))
            for start in stride(from: 0, to: bytes.count, by: 1 << 20) {
                try await session.write(Array(bytes[start..<min(bytes.count, start + 1 << 20)]))
            }
            #expect(try await session.next() == nil)
        }
    }
}
