import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

@Suite("Exec over WebSocket", .turn)
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

    /// An answer to the request for an upgrade, or the status that follows an upgrade.
    struct Refusal: Sendable, CustomTestStringConvertible {
        var code: Int?
        var isStatus = false
        var message: String
        var error: ExecError
        var testDescription: String { "\(code ?? 101) \(message)" }
    }

    @Test(
        "what may be over soon is not taken for a container without a program",
        arguments: [
            Refusal(
                code: 500, message: "dial tcp 127.0.0.1:6443: connect: connection refused",
                error: .connectionLost("dial tcp 127.0.0.1:6443: connect: connection refused")),
            Refusal(code: 502, message: "", error: .connectionLost("502 Bad Gateway")),
            Refusal(code: 503, message: "", error: .connectionLost("503 Service Unavailable")),
            Refusal(code: 504, isStatus: true, message: "timed out", error: .connectionLost("timed out")),
            Refusal(code: 429, isStatus: true, message: "too many", error: .connectionLost("too many")),
            Refusal(code: 401, isStatus: true, message: "Unauthorized", error: .connectionLost("Unauthorized")),
            Refusal(code: 404, message: "pod does not exist", error: .podNotFound("web")),
            Refusal(
                code: 500, isStatus: true,
                message: "error dialing backend: dial tcp 10.0.0.2:10250: i/o timeout",
                error: .connectionLost("error dialing backend: dial tcp 10.0.0.2:10250: i/o timeout")),
            // Kubernetes 1.29 to 1.35 says these after the upgrade.
            Refusal(
                message: "Internal error occurred: unable to upgrade connection: container not found (\"web\")",
                error: .containerNotRunning("web")),
            Refusal(
                message: "Internal error occurred: unable to upgrade connection: pod does not exist",
                error: .podNotFound("web")),
            Refusal(
                message: "Internal error occurred: error dialing backend: EOF",
                error: .connectionLost("Internal error occurred: error dialing backend: EOF")),
            Refusal(
                message: "Internal error occurred: error executing command in container: failed to exec in container: "
                    + "container is in CONTAINER_EXITED state",
                error: .connectionLost(
                    "Internal error occurred: error executing command in container: failed to exec in container: "
                        + "container is in CONTAINER_EXITED state")),
            Refusal(
                message: "Internal error occurred: error executing command in container: failed to exec in container: "
                    + "failed to start exec \"1\": OCI runtime exec failed: exec failed: exec format error",
                error: .failed("exec failed: exec format error")),
        ])
    func passing(_ refusal: Refusal) async throws {
        try await withAPI({ exchange in
            if let code = refusal.code {
                guard refusal.isStatus else {
                    return try await exchange.respond(HTTPResponse(code), body: Array(refusal.message.utf8))
                }
                return try await exchange.fail(code, "Reason", refusal.message)
            }
            let socket = try await exchange.upgrade(protocol: "v5.channel.k8s.io")
            let status: JSON = [
                "status": "Failure", "reason": "InternalError", "message": .string(refusal.message), "code": 500,
            ]
            try await socket.send(channel: 3, status.bytes)
            await socket.close()
        }) { client, _ in
            await #expect(throws: refusal.error) {
                try await ExecSession.run(client, namespace: "d", pod: "web", container: "web", ["true"])
            }
        }
    }

    @Test("a server that takes the request and says nothing is given up")
    func unanswered() async throws {
        try await withAPI({ _ in try await Task.sleep(for: .seconds(3600)) }) { client, _ in
            let asked = ExecSession.Request(namespace: "d", pod: "web", command: ["cat"])
            await #expect(throws: ExecError.connectionLost("no answer within 0.05 seconds")) {
                try await ExecSession.open(client, asked, patience: .milliseconds(50))
            }
        }
    }

    @Test("a connection that goes silent is noticed, where pings were answered before")
    func silent() async throws {
        let (silence, goSilent) = AsyncStream<Void>.makeStream()
        try await withAPI({ exchange in
            let socket = try await exchange.upgrade(protocol: "v5.channel.k8s.io")
            let answering = Task { while try await socket.receive() != nil {} }
            var iterator = silence.makeAsyncIterator()
            await iterator.next()
            answering.cancel()
            // The socket stays open and nobody reads from it.
            while !Task.isCancelled { try await Task.sleep(for: .milliseconds(20)) }
            socket.abort()
        }) { client, _ in
            let asked = ExecSession.Request(namespace: "d", pod: "web", command: ["cat"])
            let session = try await ExecSession.open(client, asked, heartbeat: .milliseconds(5))
            let isOver = Mutex(false)
            let reading = Task {
                defer { isOver.withLock { $0 = true } }
                return try await session.next()
            }
            // A busy machine may be silent for two heartbeats once it has answered one.
            while session.answeredPings == 0, !isOver.withLock({ $0 }) { try await Task.sleep(for: .milliseconds(1)) }
            goSilent.yield()
            await #expect(throws: ExecError.connectionLost("no answer to two pings")) { try await reading.value }
            goSilent.finish()
        }
    }

    @Test("a server that answers no pings is believed to live as long as its connection stands")
    func withoutPongs() async throws {
        try await withAPI({ exchange in
            let socket = try await exchange.upgrade(protocol: "v5.channel.k8s.io")
            // Many heartbeats without a reader, and so without an answer.
            try await Task.sleep(for: .milliseconds(200))
            try await socket.send(channel: 3, Array(#"{"status":"Success"}"#.utf8))
            await socket.close()
        }) { client, _ in
            let asked = ExecSession.Request(namespace: "d", pod: "web", command: ["sleep"])
            let session = try await ExecSession.open(client, asked, heartbeat: .milliseconds(1))
            #expect(try await session.next() == nil)
            #expect(session.result?.exitCode == 0)
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
