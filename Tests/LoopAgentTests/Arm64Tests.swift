import Glibc
import Reactor
import Testing
import Wire

@Suite("The helper for arm64 nodes")
struct Arm64Tests {
    private static let isEquipped =
        Disk.exists("/usr/aarch64-linux-gnu/lib/libc.a") && Disk.exists("/usr/lib/gcc-cross/aarch64-linux-gnu")
        && Disk.exists("/usr/bin/qemu-aarch64")

    @Test(
        "it cross-builds, is small, and serves a whole session under qemu",
        .enabled(if: isEquipped, "needs libc6-dev-arm64-cross, libgcc-12-dev-arm64-cross and qemu-user"))
    func session() async throws {
        try await withFolder { folder in
            let helper = folder + "/LoopAgent-aarch64"
            let built = try await Child.run(Launch([Built.package + "/scripts/helper-arm64", helper]))
            try #require(built.status == .exited(0), "\(built.errorText)")
            let size = try #require(Disk.status(helper)?.st_size)
            print("helper for arm64: \(size) bytes")
            #expect(size < 1 << 20)

            let client = try await HelperClient.start(wrapper: ["qemu-aarch64"], helper: helper)
            let welcome = try await client.greet()
            #expect(welcome.architecture == [UInt8]("aarch64"))
            #expect(welcome.digest == sha256(try #require(Disk.bytes(helper))))
            let opened = try await client.open(folder + "/app")
            let content = [UInt8](repeating: 9, count: 3 << 20)
            let staged = try await client.stage(1, "big", content, in: opened.destination)
            #expect(staged.sha256 == sha256(content))
            let results = try await client.commit(
                [
                    .makeFolder(path: [UInt8]("d"), mode: 0o755),
                    .place(stage: 1, path: [UInt8]("d/big"), mode: 0o755, modified: 1_234_567_890_123_456_789),
                    .link(path: [UInt8]("l"), target: [UInt8]("d/big")),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, 0, 0])
            #expect(Disk.bytes(folder + "/app/d/big") == content)
            #expect(Disk.mode(folder + "/app/d/big") == 0o755)
            let listed = try await client.list(List(destination: opened.destination)).entries
            #expect(listed.map(\.path.text) == ["d", "d/big", "l"])
            #expect(listed[1].stamp == results[1].stamp)
            let digests = try await client.digest([[UInt8]("d/big")], in: opened.destination).digests
            #expect(digests.map(\.sha256) == [sha256(content)])
            let ran = try await client.exec(Exec(arguments: [[UInt8]("echo"), [UInt8]("hi")]))
            #expect(ran.output.text == "hi\n")
            #expect(ran.exit == .code(0))
            let (listener, port) = try await client.listen()
            let peer = try await Reactor.Stream.local(port)
            let accepted = try await client.accept(on: listener).stream
            try await peer.write([1, 2])
            #expect(try await client.bytes(2, on: accepted) == [1, 2])
            peer.close()
            try await client.expect(.finish, on: accepted)
            try await client.end()
            #expect(Disk.names(folder) == ["LoopAgent-aarch64", "app"])
        }
    }
}
