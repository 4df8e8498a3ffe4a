import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

@Suite("Exec answers as recorded", .onRunc, .timeLimit(.minutes(5)))
struct ExecRecordingTests {
    private static let pods: [(String, JSON)] = [
        (
            "app",
            ["containers": [Laboratory.script("exec sleep 1000"), Laboratory.script("exec sleep 1000", name: "side")]]
        ),
        ("one", ["containers": [Laboratory.script("exec sleep 1000")]]),
        (
            "readonly",
            [
                "containers": [
                    [
                        "name": "app", "image": "host", "command": ["sleep", "1000"],
                        "securityContext": ["runAsUser": 1234, "readOnlyRootFilesystem": true],
                    ]
                ]
            ]
        ),
    ]

    private static func command(of recording: JSON) -> [String] {
        HTTPRequest("GET", recording["request"]?.string ?? "").query.filter { $0.0 == "command" }.map(\.1)
    }

    /// Each recording's frames, with the container ids of that machine replaced by ours.
    private static func frames(of recording: JSON) -> [Laboratory.Frame] {
        (recording["frames"]?.array ?? []).compactMap { frame in
            guard let channel = frame["channel"]?.integer else { return nil }
            return Laboratory.Frame(channel: UInt8(channel), payload: normalized(frame["payload"]?.string ?? ""))
        }
    }

    private static func normalized(_ text: String) -> String {
        text.replacing(/[0-9a-f]{60,64}/, with: "ID")
    }

    @Test(
        "success, exit codes, signals, missing commands and version 4",
        arguments: [
            "stdout-exit-0", "stderr-exit-3", "killed-by-signal", "command-not-found", "protocol-v4-exit-3",
        ])
    func commands(_ name: String) async throws {
        let recording = try Fixture.json("exec/\(name).json")
        try await Laboratory.run { lab in
            try lab.create("one", spec: Self.pods[1].1)
            _ = try await lab.untilReady("one")
            let answer = try await lab.exec(
                "one", Self.command(of: recording), protocol: recording["protocol"]?.string ?? "")
            let frames = answer.frames.map {
                Laboratory.Frame(channel: $0.channel, payload: Self.normalized($0.payload))
            }
            #expect(frames == Self.frames(of: recording))
            #expect(answer.closeCode == 1000)
        }
    }

    @Test("a read-only root and another user")
    func readOnly() async throws {
        try await Laboratory.run { lab in
            try lab.create("readonly", spec: Self.pods[2].1)
            let pod = try await lab.untilReady("readonly")
            #expect(pod.at("status", "containerStatuses")?[0]?.at("user", "linux", "uid") == 1234)
            #expect(pod.at("status", "containerStatuses")?[0]?.at("user", "linux", "supplementalGroups") == [0])
            let (frames, _) = try await lab.exec("readonly", ["sh", "-c", "id -u; echo x > /app.txt"])
            #expect(frames.contains(Laboratory.Frame(channel: 1, payload: "1234\n")))
            let errors = frames.filter { $0.channel == 2 }.map(\.payload).joined()
            #expect(errors.contains("/app.txt: Read-only file system"))
            let usr = try await lab.exec("readonly", ["sh", "-c", "echo x > /usr/x; echo y > /etc/y"])
            #expect(usr.frames.filter { $0.channel == 2 }.map(\.payload).joined().contains("/usr/x: "))
        }
    }

    @Test("refusals before the upgrade: container missing, not running, unknown protocol, not chosen")
    func refusals() async throws {
        try await Laboratory.run { lab in
            try lab.create("app", spec: Self.pods[0].1)
            _ = try await lab.untilReady("app")
            func refusal(_ container: String?, _ version: String = "v5.channel.k8s.io") async throws -> UpgradeRefused?
            {
                do {
                    _ = try await lab.open(lab.execTarget("app", ["true"], container: container), protocol: version)
                    return nil
                } catch let error as UpgradeRefused { return error }
            }
            let missing = try await refusal("nope")
            #expect(missing?.response.status == 400)
            let answer = String(decoding: missing?.body ?? [], as: UTF8.self)
            #expect(answer.contains("container nope is not valid for pod app"))
            let unknown = try await refusal("app", "v9.channel.k8s.io")
            #expect(unknown?.response.status == 403)
            let unchosen = try await refusal(nil)
            #expect(unchosen?.response.status == 400)

            try lab.create("pull", spec: ["containers": [["name": "imagepull", "image": "localhost:1/nosuch:dev"]]])
            try await lab.until("pull", "waits for its image") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason") != "ContainerCreating"
                    && pod.at("status", "containerStatuses") != nil
            }
            do {
                _ = try await lab.open(lab.execTarget("pull", ["true"]))
                Issue.record("exec into a container that is not there was accepted")
            } catch let error as UpgradeRefused {
                #expect(error.response.status == 500)
                #expect(String(decoding: error.body, as: UTF8.self) == "container not found (\"imagepull\")")
            }
            // kubectl tries SPDY then, and shows the answer to that.
            let again = try await lab.client.fetch(
                HTTPRequest(
                    "POST", lab.execTarget("pull", ["true"]),
                    headers: ["Connection": "Upgrade", "Upgrade": "SPDY/3.1", "Content-Length": "0"]))
            #expect(again.response.status == 500)
            #expect(String(decoding: again.body, as: UTF8.self) == "container not found (\"imagepull\")")
        }
    }

    @Test("stdin arrives message by message, and its end ends the process")
    func stdin() async throws {
        let recording = try Fixture.json("exec/stdin-echo-close-channel.json")
        try await Laboratory.run { lab in
            try lab.create("one", spec: Self.pods[1].1)
            _ = try await lab.untilReady("one")
            let socket = try await lab.open(lab.execTarget("one", ["cat"], stdin: true))
            try await socket.send(channel: 0, Array((recording["stdin"]?.string ?? "").utf8))
            var frames: [Laboratory.Frame] = []
            for _ in 0..<2 {
                guard case .binary(let bytes)? = try await socket.receive() else { break }
                frames.append(
                    Laboratory.Frame(channel: bytes[0], payload: String(decoding: bytes.dropFirst(), as: UTF8.self)))
            }
            try await socket.send(channel: 255, [0])
            frames += try await Laboratory.frames(of: socket)
            #expect(frames == Self.frames(of: recording))
        }
    }

    @Test("a client that goes away leaves the process alive, with the end of its input")
    func disconnect() async throws {
        try await Laboratory.run { lab in
            try lab.create("one", spec: Self.pods[1].1)
            _ = try await lab.untilReady("one")
            let script = "echo go; cat > /tmp/got; echo ended > /tmp/end; exec sleep 900"
            let socket = try await lab.open(lab.execTarget("one", ["sh", "-c", script], stdin: true))
            while let message = try await socket.receive() { if message == .binary([1] + Array("go\n".utf8)) { break } }
            try await socket.send(channel: 0, Array("data".utf8))
            socket.abort()
            let wait = "until test -s /tmp/end; do sleep 0.05; done; cat /tmp/got; echo; pgrep -c -f '^sleep 90[0]'"
            #expect(try await lab.output("one", ["sh", "-c", wait]) == "data\n1\n")
        }
    }

    @Test("a terminal: both ways, and its size")
    func terminal() async throws {
        try await Laboratory.run { lab in
            try lab.create("one", spec: Self.pods[1].1)
            _ = try await lab.untilReady("one")
            let script = "read line; stty size; echo got $line; test -t 0 && echo terminal"
            let socket = try await lab.open(lab.execTarget("one", ["sh", "-c", script], stdin: true) + "&tty=true")
            try await socket.send(channel: 4, Array(#"{"Width":101,"Height":33}"#.utf8))
            try await socket.send(channel: 0, Array("hello\n".utf8))
            let frames = try await Laboratory.frames(of: socket)
            let text = frames.filter { $0.channel == 1 }.map(\.payload).joined()
            #expect(text.contains("33 101\r\n"))
            #expect(text.contains("got hello\r\nterminal\r\n"))
            #expect(frames.last?.payload == #"{"metadata":{},"status":"Success"}"#)
        }
    }
}
