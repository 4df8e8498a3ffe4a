import Glibc
import Testing

@testable import Watcher

@Suite("Files and folders that come, go and move", .timeLimit(.minutes(5)))
struct FolderScenarioTests {
    @Test("atomic move: a file renamed over another is one change")
    func atomicMove() async throws {
        try await WatchedFolder.ready(prepare: { try $0.write("a") }) { folder, disk in
            try disk.write("../new", "new")
            try disk.move("../new", "a")
            #expect(try await folder.changes().names == ["a"])
            #expect(folder.notices.contains(.finished(RelativePath("a"))) || folder.batches == 1)
        }
    }

    @Test("non-atomic move: a copy followed by a removal names both")
    func nonAtomicMove() async throws {
        try await WatchedFolder.ready(prepare: { try $0.write("a") }) { folder, disk in
            try disk.write("b")
            try disk.remove("a")
            #expect(try await folder.changes().names == ["a", "b"])
        }
    }

    @Test("a rename within the tree names both paths in one batch")
    func rename() async throws {
        try await WatchedFolder.ready(WatchedFolder.patient, prepare: { try $0.write("a") }) { folder, disk in
            try disk.move("a", "b")
            #expect(try await folder.batch().names == ["a", "b"])
        }
    }

    @Test("a rename within the tree waits for no successor of the old name")
    func renameIsWhole() async throws {
        var options = WatchOptions()
        (options.pairWait, options.maxWait) = (.seconds(3_000), .seconds(4_000))
        try await WatchedFolder.ready(options, prepare: { try $0.write("a") }) { folder, disk in
            try disk.move("a", "b")
            #expect(try await folder.batch().names == ["a", "b"])
        }
    }

    @Test("remove then add is one change")
    func removeThenAdd() async throws {
        try await WatchedFolder.ready(WatchedFolder.patient, prepare: { try $0.write("a") }) { folder, disk in
            try disk.remove("a")
            try disk.write("a", "again")
            #expect(try await folder.batch().names == ["a"])
        }
    }

    @Test("a folder renamed twice is known by its last name")
    func renameTwice() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/sub") }) { folder, disk in
            try disk.move("a", "b")
            try disk.move("b", "c")
            #expect(try await folder.changes().names == ["a/**", "b/**", "c/**"])
            try disk.write("c/sub/file")
            #expect(try await folder.changes().names == ["c/sub/file"])
        }
    }

    @Test("the prefix of a deep folder is renamed: what is below follows")
    func renamePrefix() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b/c/d") }) { folder, disk in
            try disk.move("a", "z")
            _ = try await folder.changes()
            try disk.write("z/b/c/d/file")
            #expect(try await folder.changes().names == ["z/b/c/d/file"])
        }
    }

    @Test("two folders exchange their names")
    func exchange() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("a/ofA")
            try $0.folders("b/ofB")
        }) { folder, disk in
            try disk.move("a", "t")
            try disk.move("b", "a")
            try disk.move("t", "b")
            #expect(try await folder.changes().names.isSuperset(of: ["a/**", "b/**"]))
            try disk.write("a/ofB/file")
            try disk.write("b/ofA/file")
            #expect(try await folder.changes().names == ["a/ofB/file", "b/ofA/file"])
        }
    }

    @Test("two folders change places in one step")
    func exchangeAtOnce() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("a/ofA")
            try $0.folders("b/ofB")
        }) { folder, disk in
            try disk.exchange("a", "b")
            #expect(try await folder.changes().names == ["a/**", "b/**"])
            for name in ["a/ofB/file", "b/ofA/file", "a/file", "b/file"] { try disk.write(name) }
            #expect(try await folder.changes().names == ["a/ofB/file", "b/ofA/file", "a/file", "b/file"])
        }
    }

    @Test("a folder moved over an empty one is watched in its place")
    func moveOver() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("a/sub")
            try $0.folder("b")
        }) { folder, disk in
            try disk.move("a", "b")
            #expect(try await folder.changes().names == ["a/**", "b/**"])
            try disk.write("b/sub/file")
            try disk.write("b/file")
            #expect(try await folder.changes().names == ["b/sub/file", "b/file"])
        }
    }

    @Test("a folder moved out and in again under the name of one that left meanwhile")
    func moveInUnderAnothersName() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("a/sub")
            try $0.folders("b/sub")
        }) { folder, disk in
            try disk.move("a", "../out")
            try disk.move("b", "a")
            try disk.move("../out", "b")
            _ = try await folder.changes()
            for name in ["a/sub/file", "b/sub/file"] { try disk.write(name) }
            #expect(try await folder.changes().names == ["a/sub/file", "b/sub/file"])
        }
    }

    @Test("a folder moved out of the tree is forgotten")
    func moveOut() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b") }) { folder, disk in
            try disk.move("a", "../out")
            #expect(try await folder.changes().names == ["a/**"])
            try disk.write("../out/b/file")
            try disk.write("../out/file")
            #expect(try await folder.changes().isEmpty)
        }
    }

    @Test("a folder moved out and in again is watched under its new name only")
    func moveOutAndIn() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b") }) { folder, disk in
            try disk.move("a", "../out")
            try disk.move("../out", "c")
            #expect(try await folder.changes().names == ["a/**", "c/**"])
            try disk.write("c/b/file")
            #expect(try await folder.changes().names == ["c/b/file"])
        }
    }

    @Test("a deep tree moved in at once is reported whole and watched to its depth")
    func deepTreeMovedIn() async throws {
        try await WatchedFolder.ready { folder, disk in
            let deep = (0..<40).map { "level\($0)" }.joined(separator: "/")
            try disk.folders("../in/\(deep)")
            try disk.write("../in/\(deep)/file")
            try disk.move("../in", "in")
            let changes = try await folder.changes()
            #expect(changes.names == ["in/**"])
            #expect(changes.covers(RelativePath("in/\(deep)/file")))
            try disk.write("in/\(deep)/file", "again")
            #expect(try await folder.changes().names == ["in/\(deep)/file"])
        }
    }

    @Test("a folder created and filled faster than its watch loses nothing")
    func newFolderRace() async throws {
        try await WatchedFolder.ready { folder, disk in
            try disk.shell(
                "for i in 1 2 3 4 5 6 7 8 9; do mkdir -p n$i/x/y/z; echo 1 > n$i/x/f; echo 2 > n$i/x/y/z/g; done")
            let changes = try await folder.changes()
            for number in 1...9 {
                #expect(changes.covers(RelativePath("n\(number)/x/f")))
                #expect(changes.covers(RelativePath("n\(number)/x/y/z/g")))
            }
            for number in 1...9 { try disk.write("n\(number)/x/y/z/g", "later") }
            #expect(try await folder.changes().names == Set((1...9).map { "n\($0)/x/y/z/g" }))
        }
    }

    @Test("a removed tree is reported, and its successor of the same name is watched")
    func removeTree() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b/c") }) { folder, disk in
            try disk.shell("rm -r a; mkdir -p a/b/c")
            #expect(try await folder.changes().names == ["a/**"])
            try disk.write("a/b/c/file")
            #expect(try await folder.changes().names == ["a/b/c/file"])
        }
    }

    @Test("a file deleted while it is open is heard of once")
    func deletedWhileOpen() async throws {
        try await WatchedFolder.ready { folder, disk in
            let descriptor = try disk.open("a")
            try disk.append("one", to: descriptor)
            try disk.remove("a")
            #expect(try await folder.changes().names == ["a"])
            try disk.append("two", to: descriptor)
            close(descriptor)
            #expect(try await folder.changes().isEmpty)
        }
    }

    @Test("dangling and cyclic links are reported and not followed")
    func links() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folder("../elsewhere")
            try $0.folder("real")
            try $0.link("real/up", to: "..")
            try $0.link("out", to: "../elsewhere")
            try $0.link("dangling", to: "nowhere")
            try $0.link("self", to: "self")
        }) { folder, disk in
            try disk.write("../elsewhere/file")
            #expect(try await folder.changes().isEmpty)
            try disk.link("new", to: "nowhere")
            try disk.remove("self")
            #expect(try await folder.changes().names == ["new", "self"])
            try disk.write("real/file")
            #expect(try await folder.changes().names == ["real/file"])
        }
    }

    @Test("mode and time alone are touches")
    func attributes() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.write("a")
            try $0.write("b")
        }) { folder, disk in
            try disk.mode("a", 0o755)
            try disk.shell("touch -d 2001-01-01 b")
            #expect(try await folder.changes().names == ["a", "b"])
        }
    }

    @Test("a second name of a file is reported without waiting for a write")
    func hardLink() async throws {
        try await WatchedFolder.ready(WatchedFolder.patient, prepare: { try $0.write("a") }) { folder, disk in
            try disk.shell("ln a b")
            #expect(try await folder.batch().unfinished.isEmpty)
        }
    }

    @Test("a writer through a mapping is reported when it closes")
    func mappedWriter() async throws {
        try await WatchedFolder.ready(prepare: { try $0.write("a", String(repeating: "x", count: 4_096)) }) {
            folder, disk in
            let descriptor = try disk.open("a", flags: O_RDWR)
            let memory = mmap(nil, 4_096, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0)
            let bytes = try #require(memory)
            bytes.storeBytes(of: 7, as: UInt8.self)
            munmap(bytes, 4_096)
            close(descriptor)
            #expect(try await folder.changes().names == ["a"])
        }
    }

    @Test("two files at once are one batch")
    func twoFiles() async throws {
        try await WatchedFolder.ready(WatchedFolder.patient) { folder, disk in
            try disk.write("a")
            try disk.write("b")
            #expect(try await folder.batch().names == ["a", "b"])
        }
    }

    @Test("events while nobody listens merge into one batch")
    func eventsWhileTheActionRuns() async throws {
        try await WatchedFolder.ready { folder, disk in
            for round in 0..<20 { try disk.write("f\(round % 4)", "\(round)") }
            _ = try await folder.changes()
            for round in 0..<5 { try disk.write("g\(round)") }
            #expect(try await folder.changes().names == Set((0..<5).map { "g\($0)" }))
        }
    }

    @Test("names with spaces, line ends and bytes that are not UTF-8 arrive as they are")
    func oddNames() async throws {
        try await WatchedFolder.ready { folder, disk in
            try disk.write("with space")
            try disk.write("line\nend")
            try disk.shell(#"touch "$(printf 'b\377d')""#)
            let changes = try await folder.changes()
            #expect(changes.paths.contains(RelativePath(bytes: [0x62, 0xff, 0x64])))
            #expect(changes.names == ["with space", "line\\x0aend", "b\\xffd"])
        }
    }

    @Test("a finished write is hinted at before its batch settles")
    func hint() async throws {
        var options = WatchOptions()
        options.debounce = .seconds(20)
        options.maxWait = .seconds(40)
        try await WatchedFolder.ready(options) { folder, disk in
            try disk.write("a")
            #expect(try await folder.next() == .finished(RelativePath("a")))
        }
    }
}
