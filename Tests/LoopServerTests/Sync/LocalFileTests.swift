import Glibc
import Reactor
import Testing
import Watcher

@testable import LoopServer

@Suite("A local file on its way") struct LocalFileTests {
    let folder: ScratchTree
    let tree: LocalTree
    let path = RelativePath("file")

    init() throws {
        folder = try ScratchTree()
        tree = LocalTree(root: folder.path)
    }

    private func opened(_ size: Int) throws -> LocalFile {
        try folder.write("file", [UInt8](repeating: 7, count: size))
        return try LocalFile(path, in: tree, expected: try #require(tree.entry(path)))
    }

    @Test("is read in pieces and hashed on the way", arguments: [0, 1, 4096, 1_000_001])
    func reads(size: Int) throws {
        let file = try opened(size)
        var bytes: [UInt8] = []
        while bytes.count < size { bytes += try file.read(at: Int64(bytes.count), limit: 65_536) }
        #expect(bytes == [UInt8](repeating: 7, count: size))
        #expect(file.digest == SHA256Digest(of: bytes))
    }

    struct Change: CustomTestStringConvertible, Sendable {
        let testDescription: String
        let act: @Sendable (ScratchTree) throws -> Void
    }

    static let changes = [
        Change(testDescription: "longer", act: { try append($0, 9) }),
        Change(testDescription: "cut", act: { truncate("\($0.path)/file", 10) }),
        Change(
            testDescription: "another time",
            act: {
                let times = [timespec(tv_sec: 1, tv_nsec: 1), timespec(tv_sec: 1, tv_nsec: 1)]
                utimensat(AT_FDCWD, "\($0.path)/file", times, 0)
            }),
    ]

    private static func append(_ folder: ScratchTree, _ count: Int) throws {
        let file = open("\(folder.path)/file", O_WRONLY | O_APPEND)
        let bytes = [UInt8](repeating: 1, count: count)
        #expect(write(file, bytes, count) == count)
        close(file)
    }

    @Test("that changes while it is read is noticed at its end at the latest", arguments: changes)
    func noticesChanges(change: Change) throws {
        let file = try opened(100_000)
        _ = try file.read(at: 0, limit: 50_000)
        try change.act(folder)
        #expect(throws: SourceChanged.self) { try file.read(at: 50_000, limit: 50_000) }
    }

    @Test("that is another one, gone, a link, a folder or a pipe by now is not sent, and holds nobody up")
    func refusesOthers() throws {
        try folder.write("file", "one")
        let expected = try #require(tree.entry(path))
        let name = folder.path + "/file"
        let replacements: [(String, () throws -> Void)] = [
            ("gone", {}),
            ("another", { try folder.write("file", "two") }),
            ("link", { symlink("/etc/passwd", name) }),
            ("folder", { mkdir(name, 0o755) }),
            ("pipe", { mkfifo(name, 0o600) }),
        ]
        // Its inode must not be given to one of the others.
        rename(name, folder.path + "/kept")
        for (kind, make) in replacements {
            try make()
            #expect(throws: SourceChanged.self, "\(kind)") { try LocalFile(path, in: tree, expected: expected) }
            if unlink(name) != 0 { rmdir(name) }
        }
    }

    @Test("what is behind a file or a link in a folder's place is gone")
    func followsNothing() throws {
        try folder.write("real/x", "one")
        symlink("real", folder.path + "/link")
        try folder.write("file", "two")
        #expect(tree.isGone(RelativePath("link/x")))
        #expect(tree.isGone(RelativePath("file/x")))
        #expect(tree.isGone(RelativePath("nothing/x")))
        #expect(!tree.isGone(RelativePath("link")))
        #expect(!tree.isGone(RelativePath("real/x")))
    }

    @Test("a program's output is cut into lines, however it comes")
    func splits() {
        var lines = LineSplitter()
        #expect(lines.feed(Array("a\nb".utf8)) == ["a"])
        #expect(lines.feed(Array("c\n\nd".utf8)) == ["bc", ""])
        #expect(lines.feed(Array("e\nf\ng\n".utf8)) == ["de", "f", "g"])
        #expect(lines.feed(Array("h".utf8)) == [])
        #expect(lines.finish() == "h")
        #expect(lines.finish() == nil)
        #expect(lines.feed([UInt8](repeating: 65, count: 70_000)).map(\.utf8.count) == [70_000])
    }
}
