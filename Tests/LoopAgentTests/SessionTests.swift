import Glibc
import Reactor
import Testing
import Wire

@Suite("A session with the helper")
struct SessionTests {
    @Test("the welcome names machine, user, process and the executable's own hash")
    func welcome() async throws {
        let client = try await HelperClient.start()
        let welcome = try await client.greet()
        #expect(welcome.version == WireProtocol.version)
        #expect(welcome.uid == geteuid())
        #expect(welcome.pid == UInt32(client.child.pid))
        #expect(["x86_64", "aarch64"].contains(welcome.architecture.text))
        #expect(welcome.digest == sha256(try #require(Disk.bytes(Built.helper))))
        #expect(welcome.path.text.hasSuffix("/LoopAgent"))
        #expect(try await client.end() == .exited(0))
    }

    @Test("a ping is answered with its number")
    func ping() async throws {
        let client = try await HelperClient.connect()
        try await client.send(.ping(0x0123_4567_89AB_CDEF))
        #expect(await client.receive(on: 0) == .pong(0x0123_4567_89AB_CDEF))
        try await client.end()
    }

    @Test("the end of its input ends the helper and removes its staging place")
    func endOfInput() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "a", [1, 2, 3], in: opened.destination)
            #expect(Disk.exists(opened.staging.text))
            await client.hangUp()
            #expect(await client.child.wait() == .exited(0))
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("a host that is silent for more than two heartbeats is given up, and nothing stays staged")
    func silence() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.start()
            // In one write, so that a busy machine cannot be silent between them.
            var frames: [UInt8] = []
            Frame(.hello(Hello(generation: 1, heartbeatSeconds: 1))).append(to: &frames)
            Frame(.open(Open(path: [UInt8](folder + "/app"), generation: 1)), on: 1).append(to: &frames)
            let stage = Stage(destination: 1, stage: 1, sizeHint: 3, path: [UInt8]("a"))
            for message in [Message.stage(stage), .data([1, 2, 3]), .stageEnd(3)] {
                Frame(message, on: 2).append(to: &frames)
            }
            try await client.sendRaw(frames)
            guard case .staged? = await client.receive(on: 2) else { throw Unexpected(message: nil) }
            #expect(await client.child.wait() == .exited(0))
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("asked to, the helper removes its executable and the folder that this leaves empty")
    func removeSelf() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/bin")
            let copy = folder + "/bin/LoopAgent"
            Disk.write(copy, try #require(Disk.bytes(Built.helper)), mode: 0o755)
            let client = try await HelperClient.connect(helper: copy)
            try await client.send(.removeSelf)
            #expect(await client.receive(on: 0) == .bye)
            #expect(await client.child.wait() == .exited(0))
            #expect(Disk.names(folder).isEmpty)
        }
    }

    @Test("anything but a hello at first is refused")
    func noHello() async throws {
        let client = try await HelperClient.start()
        try await client.send(.ping(1))
        guard case .failure(let failure)? = await client.receive(on: 0) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.code == EPROTO)
        #expect(await client.child.wait() == .exited(3))
    }

    @Test("a hello of another version is answered and then refused")
    func otherVersion() async throws {
        let client = try await HelperClient.start()
        try await client.send(.hello(Hello(generation: 1, heartbeatSeconds: 20, version: 999)))
        guard case .welcome(let welcome)? = await client.receive(on: 0) else {
            Issue.record("no welcome")
            return
        }
        #expect(welcome.version == WireProtocol.version)
        guard case .failure(let failure)? = await client.receive(on: 0) else {
            Issue.record("no failure")
            return
        }
        #expect(failure.code == EPROTONOSUPPORT)
        #expect(await client.child.wait() == .exited(3))
    }

    @Test("probe runs, version prints the hash, anything else prints the usage")
    func commandLine() async throws {
        #expect(try await Child.run(Launch([Built.helper, "probe"])).status == .exited(0))
        let version = try await Child.run(Launch([Built.helper, "version"]))
        let sum = try await Child.run(Launch(["sha256sum", Built.helper]))
        #expect(version.text == "LoopAgent \(WireProtocol.version) \(sum.text.prefix(64))\n")
        #expect(try await Child.run(Launch([Built.helper, "server"])).status == .exited(2))
    }
}
