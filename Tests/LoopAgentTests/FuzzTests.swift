import Glibc
import Reactor
import Testing
import Wire

@Suite("Hostile input to the helper")
struct FuzzTests {
    /// A whole session that writes, as bytes; its destination is `app`.
    private func session(_ app: String) -> [[UInt8]] {
        let place = FileOperation.place(stage: 1, path: [UInt8]("new"), mode: 0o644, modified: 0)
        let messages: [(Message, UInt32)] = [
            (.hello(Hello(generation: 1, heartbeatSeconds: 20)), 0),
            (.open(Open(path: [UInt8](app), generation: 1)), 1),
            (.list(List(destination: 1)), 2),
            (.digestRequest(DigestRequest(destination: 1, paths: [[UInt8]("kept")])), 3),
            (.stage(Stage(destination: 1, stage: 1, sizeHint: 3, path: [UInt8]("new"))), 4),
            (.data([1, 2, 3]), 4), (.stageEnd(3), 4),
            (.commit(Commit(destination: 1, generation: 1, operations: [place])), 5),
        ]
        return messages.map { Frame($0.0, on: $0.1).encoded }
    }

    private func feed(_ bytes: [UInt8]) async throws -> Reactor.ExitStatus {
        var launch = Launch([Built.helper, "serve"])
        launch.standardError = .null
        return try await Child.run(launch, input: bytes.isEmpty ? [0] : bytes).status
    }

    @Test("random bytes end in an error or the end of input, and nothing is written")
    func random() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the helper's random input: \(seed)")
        var generator = SeededGenerator(seed: seed)
        try await withFolder { folder in
            Disk.write(folder + "/kept", "x")
            for _ in 0..<60 {
                var bytes: [UInt8] =
                    Bool.random(using: &generator)
                    ? Frame(.hello(Hello(generation: 1, heartbeatSeconds: 20))).encoded : []
                bytes += (0..<Int.random(in: 1...4000, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
                let status = try await feed(bytes)
                #expect(status == .exited(3) || status == .exited(0), "seed \(seed)")
            }
            #expect(Disk.names(folder) == ["kept"])
        }
    }

    @Test("a session cut anywhere before its commit is complete writes nothing")
    func truncated() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/kept", "x")
            let whole = session(folder + "/app").flatMap { $0 }
            for count in stride(from: 1, to: whole.count, by: 5) {
                let status = try await feed(Array(whole[..<count]))
                #expect(status == .exited(0))
                #expect(Disk.names(folder + "/app") == ["kept"])
            }
            #expect(Disk.names(folder) == ["app"])
            let status = try await feed(whole)
            #expect(status == .exited(0))
            #expect(Disk.names(folder + "/app") == ["kept", "new"])
        }
    }

    @Test("a session with mutated bytes ends cleanly and never writes outside its destination")
    func mutated() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the helper's mutated sessions: \(seed)")
        var generator = SeededGenerator(seed: seed)
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/kept", "x")
            let frames = session(folder + "/app")
            for _ in 0..<150 {
                var bytes: [UInt8] = []
                for (index, frame) in frames.enumerated() {
                    var frame = frame
                    // What names the destination stays, so that no other folder of this machine can be meant.
                    if index != 1, Bool.random(using: &generator) {
                        let at = Int.random(in: 0..<frame.count, using: &generator)
                        frame[at] = UInt8.random(in: 0...255, using: &generator)
                    }
                    bytes += frame
                }
                let status = try await feed(bytes)
                #expect(status == .exited(3) || status == .exited(0), "seed \(seed)")
                #expect(Disk.names(folder) == ["app"], "seed \(seed)")
                #expect(Disk.text(folder + "/app/kept") == "x", "seed \(seed)")
            }
        }
    }
}
