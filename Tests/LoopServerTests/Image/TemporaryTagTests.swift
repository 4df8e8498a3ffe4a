import OCI
import Reactor
import TestCluster
import Testing

@testable import LoopServer

/// A folder as a double of a registry that deletes nothing: a file for each tag, with the digest in it.
@Suite("Temporary names of images by any command", .timeLimit(.minutes(1)))
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
                image: Image("web", .command(recipe)), command: recipe, project: tree.path, engine: nil,
                access: access, leash: Built.leash)
        }
    }

    private static func read(_ path: String) throws -> String { String(decoding: try Disk.read(path), as: UTF8.self) }

    /// The files that stand for tags.
    private func tags() async throws -> [String] {
        try await Child.run(Launch(["ls", tree.path])).text.split(separator: "\n").map { String($0) }
    }

    private func build(_ script: String) async throws -> BuiltImage {
        try await builder(script).build(to: .registry(RegistryNames(push: "localhost:5000"))) { _ in }
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
}
