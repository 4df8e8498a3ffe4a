import OCI
import Reactor
import TestCluster
import Testing

@testable import LoopServer

/// A folder as a double of a registry that deletes nothing: a file for each tag, with the digest in it.
@Suite("Temporary names of images by any command", .turn)
struct TemporaryTagTests {
    private let tree: ScratchPath
    private let builder: @Sendable (String) -> CommandBuilder

    init() throws {
        let tree = try ScratchPath()
        self.tree = tree
        let file: @Sendable (String) -> String = { "tag-\(ImageName($0).reference)" }
        let access = ImageAccess(
            digest: { try? Self.read("\(tree.path)/\(file($0))") },
            tag: { try tree.write(file("x:\($1)"), try Self.read("\(tree.path)/\(file($0))")) },
            untag: { reference in
                try tree.write(file(reference), "sha256:0000")
                throw LoopFailure(failure: LoopEvent.Failure("deletion is off"))
            },
            pushArchive: { _, _ in throw CancellationError() }, load: { _, _, _ in false },
            loadArchive: { _, _, _ in throw CancellationError() })
        builder = { script in
            let recipe = ImageCommand(["sh", "-c", script], directory: tree.path)
            return CommandBuilder(
                image: Image("web", .command(recipe)), command: recipe,
                turns: BuildTurns(of: "web", in: tree.path, stateDirectory: "\(tree.path)/state"), engine: nil,
                access: access, leash: Built.leash)
        }
    }

    private static func read(_ path: String) throws -> String { String(decoding: try Disk.read(path), as: UTF8.self) }

    /// The files that stand for tags.
    private func tags() async throws -> [String] {
        try await Child.run(Launch(["ls", tree.path])).text.split(separator: "\n").map { String($0) }.filter {
            $0.hasPrefix("tag-")
        }
    }

    private func build(
        _ script: String, output: @escaping @Sendable (String) -> Void = { _ in }
    ) async throws -> BuiltImage {
        try await builder(script).build(to: .registry(RegistryNames(push: "localhost:5000")), output: output)
    }

    private func push(_ digest: String) -> String { "printf sha256:\(digest) > \"tag-${LOOPD_IMAGE##*:}\"" }

    @Test("where nothing is deleted one temporary tag stays, however many builds there are")
    func one() async throws {
        let first = try await build(push("aaaa"))
        let second = try await build(push("bbbb"))
        let again = try await build(push("bbbb"))
        #expect(first.reference == "localhost:5000/web:loopd-aaaa")
        #expect(second.reference == "localhost:5000/web:loopd-bbbb")
        #expect(again.reference == second.reference)
        #expect(again.isUnchanged && !second.isUnchanged)
        let tags = try await tags()
        #expect(tags.count == 3, "\(tags)")
        #expect(tags.count { $0.hasPrefix("tag-\(CommandBuilder.temporaryPrefix)") } == 1, "\(tags)")
    }

    @Test("what an earlier build has left is not taken for what this one has pushed")
    func left() async throws {
        _ = try await build(push("aaaa"))
        let tag = try #require(try await tags().first { $0.hasPrefix("tag-\(CommandBuilder.temporaryPrefix)") })
        // As after a build that was cut off, and as after one that has ended.
        for digest in ["sha256:aaaa", "sha256:0000"] {
            try tree.write(tag, digest)
            let thrown = await #expect(throws: LoopFailure.self) { try await build("true") }
            #expect(thrown?.failure.summary.contains("has ended well, but the registry has no") == true)
        }
        try tree.write(tag, "sha256:aaaa")
        #expect(try await build(push("aaaa")).isUnchanged)
    }

    @Test("of two loopds that build the same at once each gets what its own program has pushed")
    func turns() async throws {
        let (waiting, isWaiting) = AsyncStream<Void>.makeStream()
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let go = "\(tree.path)/go"
        // It has pushed, and is not done, until the other one has had the time to push, too.
        let slow = "\(push("aaaa")); echo pushed; until test -e \(go); do sleep 0.05; done"
        async let first = build(slow) { if $0 == "pushed" { begin.yield() } }
        _ = await begun.first { true }
        async let second = build(push("bbbb")) { if $0.contains("another loopd") { isWaiting.yield() } }
        _ = await waiting.first { true }
        try tree.write("go", "")
        #expect(try await first.reference == "localhost:5000/web:loopd-aaaa")
        #expect(try await second.reference == "localhost:5000/web:loopd-bbbb")
    }

    @Test("a build that waits ends when it is obsolete, and one that was killed keeps nobody waiting")
    func waits() async throws {
        let (waiting, isWaiting) = AsyncStream<Void>.makeStream()
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let first = Task { try await build("echo runs; exec sleep 1000") { if $0 == "runs" { begin.yield() } } }
        _ = await begun.first { true }
        let second = Task { try await build(push("bbbb")) { if $0.contains("another loopd") { isWaiting.yield() } } }
        _ = await waiting.first { true }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        first.cancel()
        _ = await first.result
        #expect(try await build(push("cccc")).reference == "localhost:5000/web:loopd-cccc")
    }

    @Test("projects, images and places to remember things have names of their own")
    func names() {
        let turns = [("web", "/a", "/s"), ("api", "/a", "/s"), ("web", "/b", "/s"), ("web", "/a", "/t")].map {
            BuildTurns(of: $0, in: $1, stateDirectory: "\(tree.path)\($2)").name
        }
        #expect(Set(turns).count == turns.count)
        #expect(BuildTurns(of: "web", in: "/a", stateDirectory: "\(tree.path)/s").name == turns[0])
    }
}
