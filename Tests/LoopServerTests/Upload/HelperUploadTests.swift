import Glibc
import Testing

@testable import LoopServer

@Suite("Bringing the helper into a container", .turn) struct HelperUploadTests {
    let folder: ScratchTree
    let program: HelperProgram

    init() throws {
        folder = try ScratchTree()
        program = try HelperProgram.built
    }

    func upload(_ exec: LocalExec) -> HelperUpload {
        HelperUpload(exec: exec, pod: "pod", container: "app", program: program, generation: 1)
    }

    func exec(_ shell: TestedShell) -> LocalExec { LocalExec(programs: ["sh": shell.command]) }

    /// The helper's place below a folder of the test.
    func place(_ name: String) -> String { "\(folder.path)/\(name)/\(program.folder)/helper" }

    @Test("a shell takes it, the next session uses what is there, and leaving removes it", arguments: TestedShell.all)
    func comesAndGoes(shell: TestedShell) async throws {
        try folder.folder("a")
        let upload = upload(exec(shell))
        let first = try await upload.byShell(places: [folder.path + "/a"])
        #expect(first.path == place("a"))
        #expect(ScratchTree.contents(first.path) == program.bytes)
        var before = stat()
        var after = stat()
        stat(first.path, &before)
        await first.link.end()
        let second = try await upload.byShell(places: [folder.path + "/a"])
        stat(second.path, &after)
        #expect(before.st_ino == after.st_ino)
        await second.link.end(removingHelper: true, limit: .seconds(30))
        #expect(ScratchTree.snapshot(folder.path + "/a").isEmpty)
    }

    @Test("places that are missing or no folders are passed over", arguments: TestedShell.all)
    func passesOver(shell: TestedShell) async throws {
        try folder.folder("a b")
        try folder.write("file", "x")
        let places = ["/no/such/folder", folder.path + "/file", "/proc/1", folder.path + "/a b"]
        let helper = try await upload(exec(shell)).byShell(places: places)
        #expect(helper.path == place("a b"))
        await helper.link.end()
    }

    @Test("what is damaged, empty or not the helper at all is replaced", arguments: TestedShell.all)
    func replacesDamaged(shell: TestedShell) async throws {
        let version = "#!/bin/sh\n[ \"$1\" = version ] && echo \"helper \(program.digest.hex)\"; exit 0\n"
        for content in [[], Array(program.bytes.prefix(100_000)), Array("no program".utf8), Array(version.utf8)] {
            // The one from before may still be ending: a running program cannot be written.
            unlink(place("a"))
            try folder.write("a/\(program.folder)/helper", content, mode: 0o755)
            let helper = try await upload(exec(shell)).byShell(places: [folder.path + "/a"])
            #expect(ScratchTree.contents(helper.path) == program.bytes)
            await helper.link.end()
        }
    }

    @Test(
        "a noexec mount and a full one are left for the next place, and say why where there is none",
        .enabled(if: geteuid() == 0, "mounting needs root"), arguments: TestedShell.all)
    func findsRoom(shell: TestedShell) async throws {
        for name in ["noexec", "full", "good"] { try folder.folder(name) }
        let script = """
            mount -t tmpfs -o noexec tmpfs "$1/noexec"; mount -t tmpfs -o size=64k tmpfs "$1/full"; shift; exec "$@"
            """
        var exec = exec(shell)
        exec.wrapper = ["unshare", "-m", "sh", "-ec", script, "sh", folder.path]
        let places = ["noexec", "full", "good"].map { "\(folder.path)/\($0)" }
        let helper = try await upload(exec).byShell(places: places)
        #expect(helper.path == place("good"))
        await helper.link.end(removingHelper: true, limit: .seconds(30))
        await #expect(throws: RungFailed.self) { try await upload(exec).byShell(places: [places[0]]) }
        do {
            _ = try await upload(exec).byShell(places: [places[0]])
        } catch let failed as RungFailed {
            #expect(failed.description == "\(places[0]) is mounted noexec")
        }
        do {
            _ = try await upload(exec).byShell(places: [places[1]])
            Issue.record("there was room")
        } catch let failed as RungFailed {
            #expect(failed.description.contains("of \(program.bytes.count) bytes fit"))
        }
    }

    @Test("without a shell it is said that there is none")
    func needsShell() async throws {
        await #expect(throws: ExecEnd.self) { try await upload(LocalExec(missing: ["sh"])).byShell(places: ["/tmp"]) }
    }

    @Test(
        "tar alone brings it, also one that reads on until the end of file", arguments: [["tar"], ["busybox", "tar"]])
    func unpacks(tar: [String]) async throws {
        try folder.folder("a")
        let exec = LocalExec(programs: ["tar": tar], missing: ["sh"])
        let helper = try await upload(exec).byTar(places: ["/no/such/folder", folder.path + "/a"])
        #expect(helper.path == place("a"))
        #expect(ScratchTree.contents(helper.path) == program.bytes)
        await helper.link.end()
        // The next session finds it; and something else under its name is replaced.
        let again = try await upload(LocalExec(missing: ["sh", "tar"])).byTar(places: [folder.path + "/a"])
        await again.link.end()
        unlink(place("a"))
        try folder.write("a/\(program.folder)/helper", "#!/bin/sh\nexit 0\n", mode: 0o755)
        let replaced = try await upload(exec).byTar(places: [folder.path + "/a"])
        #expect(ScratchTree.contents(replaced.path) == program.bytes)
        await replaced.link.end()
    }

    @Test("without tar it is said that there is none")
    func needsTar() async throws {
        try folder.folder("a")
        await #expect(throws: ExecEnd.self) {
            try await upload(LocalExec(missing: ["tar"])).byTar(places: [folder.path + "/a"])
        }
    }

    @Test(
        "the script's lines are read, and everything else is not",
        arguments: [
            ("HAVE /a b", UploadScript.Line.have(path: "/a b")), ("NEED /x", .need(path: "/x")),
            ("DONE /x", .done(path: "/x")), ("LOST /x why not", .lost(path: "/x", reason: "why not")),
            ("LOST /x", .lost(path: "/x", reason: "")), ("NONE it is so", .none(reason: "it is so")),
            ("motd: welcome", nil), ("", nil), ("HAVE", nil),
        ] as [(String, UploadScript.Line?)])
    func readsLines(text: String, line: UploadScript.Line?) {
        #expect(UploadScript.Line(text) == line)
    }
}
