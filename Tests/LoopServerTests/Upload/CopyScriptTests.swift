import Glibc
import Reactor
import Testing
import Wire

@testable import LoopServer

@Suite("The script of kubectl cp", .turn) struct CopyScriptTests {
    let folder: ScratchTree

    init() throws {
        folder = try ScratchTree()
        try folder.folder("to")
        try folder.folder("staged")
    }

    var target: String { folder.path + "/to" }

    /// Runs operations; the contents of `place` are its own path.
    func run(_ operations: [FileOperation], _ shell: TestedShell, damaged: Bool = false) async throws
        -> [OperationResult]
    {
        var script = CopyScript(target: target)
        for (number, operation) in operations.enumerated() {
            var digest: SHA256Digest?
            if case .place(_, let path, _, _) = operation {
                try folder.write("staged/\(number)", damaged ? [1] : path, mode: 0o600)
                digest = SHA256Digest(of: path)
            }
            script.add(operation, number: number, digest: digest)
        }
        unlink(folder.path + "/staged/apply")
        try script.write(to: folder.path + "/staged/apply")
        let output = try await Child.run(
            Launch(shell.command + [folder.path + "/staged/apply", folder.path + "/staged"]))
        return CopyScript.results(output.text, count: operations.count)
    }

    func place(_ path: String) -> FileOperation {
        .place(stage: 1, path: Array(path.utf8), mode: 0o755, modified: 1_000_000_000_000_000_000)
    }

    static let names = [
        "plain", "with space", "new\nline", "quote'd", "\"double\"", "$(touch owned)", "`id`", "back\\slash", "-rf",
        "*", "deep/er/file", "tab\there", "#", "a;b", "\u{e4}\u{1F600}", "OK 0",
    ]

    @Test("files with odd names land with mode and time", arguments: TestedShell.all)
    func places(shell: TestedShell) async throws {
        let results = try await run(CopyScriptTests.names.map(place), shell)
        #expect(results.map(\.code) == CopyScriptTests.names.map { _ in 0 })
        for name in CopyScriptTests.names {
            #expect(folder.read("to/\(name)") == name)
            var status = stat()
            stat("\(target)/\(name)", &status)
            #expect(status.st_mode & 0o777 == 0o755)
            #expect(status.st_mtim.tv_sec == 1_000_000_000)
        }
        let removed = try await run(
            CopyScriptTests.names.map { .remove(path: Array($0.utf8), recursive: false) }, shell)
        #expect(removed.allSatisfy { $0.code == 0 })
        #expect(ScratchTree.snapshot(target).keys.sorted() == ["deep", "deep/er"])
    }

    @Test("a name that is not UTF-8 stays as it is", arguments: TestedShell.all)
    func keepsBytes(shell: TestedShell) async throws {
        let name: [UInt8] = [0x61, 0xFF, 0xFE, 0x27, 0x0A]
        let results = try await run([.place(stage: 1, path: name, mode: 0o644, modified: 0)], shell)
        #expect(results.map(\.code) == [0])
        var status = stat()
        let path = Array((target + "/").utf8CString.dropLast()) + name.map { CChar(bitPattern: $0) } + [0]
        #expect(stat(path, &status) == 0)
    }

    @Test("folders, links, times and removals", arguments: TestedShell.all)
    func operates(shell: TestedShell) async throws {
        try folder.write("to/file", "x")
        try folder.write("to/was-file", "x")
        try folder.write("to/kept/theirs", "x")
        try folder.write("to/tree/a/b", "x")
        symlink("nowhere", target + "/old-link")
        let results = try await run(
            [
                .makeFolder(path: Array("new/deep".utf8), mode: 0o750),
                .makeFolder(path: Array("was-file".utf8), mode: 0o755),
                .link(path: Array("links/l".utf8), target: Array("-to 'x".utf8)),
                .link(path: Array("old-link".utf8), target: Array("file".utf8)),
                .touch(path: Array("file".utf8), mode: 0o700, modified: 5_000_000_000),
                .touch(path: Array("missing".utf8), mode: 0o700, modified: 5_000_000_000),
                .remove(path: Array("kept".utf8), recursive: false),
                .remove(path: Array("tree".utf8), recursive: true),
                .remove(path: Array("missing".utf8), recursive: false),
            ], shell)
        #expect(results.map { $0.code == 0 } == [true, true, true, true, true, false, true, true, true])
        let found = ScratchTree.snapshot(target)
        #expect(found["new/deep"] == "folder" && found["was-file"] == "folder")
        #expect(found["links/l"] == "link to -to 'x")
        #expect(found["old-link"] == "link to file")
        #expect(found["kept/theirs"] != nil && found["tree"] == nil)
        var status = stat()
        stat(target + "/file", &status)
        #expect(status.st_mode & 0o777 == 0o700 && status.st_mtim.tv_sec == 5)
    }

    @Test("nothing is written into a folder in a file's place, or behind a link", arguments: TestedShell.all)
    func staysInside(shell: TestedShell) async throws {
        try folder.folder("outside")
        try folder.folder("to/folder")
        symlink("../outside", target + "/out")
        symlink("../outside", target + "/replaced")
        let results = try await run(
            [
                place("folder"), place("out/file"), place("replaced"),
                .link(path: Array("folder".utf8), target: Array("x".utf8)),
                .makeFolder(path: Array("out/new".utf8), mode: 0o755),
                .remove(path: Array("out/x".utf8), recursive: true),
            ], shell)
        #expect(results.map { $0.code == 0 } == [false, false, true, false, false, true])
        #expect(results[0].code == EISDIR)
        #expect(results[1].code == EXDEV)
        #expect(ScratchTree.snapshot(folder.path + "/outside").isEmpty)
        #expect(ScratchTree.snapshot(target + "/folder").isEmpty)
        #expect(folder.read("to/replaced") == "replaced")
    }

    @Test("content that arrived damaged is not put in place", arguments: TestedShell.all)
    func checks(shell: TestedShell) async throws {
        let results = try await run([place("a")], shell, damaged: true)
        #expect(results.map(\.code) == [EIO])
        #expect(folder.read("to/a") == nil)
    }

    @Test("an operation that the shell did not get to has failed")
    func countsMissing() {
        let results = CopyScript.results("OK 1\nnoise\nNO 7 x\nNO 0 mv: No space left on device\n", count: 3)
        #expect(results.map(\.code) == [ENOSPC, 0, EIO])
    }
}
