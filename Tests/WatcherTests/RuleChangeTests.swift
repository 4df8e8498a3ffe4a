import Glibc
import Testing

@testable import Watcher

@Suite("Ignore files while watching", .timeLimit(.minutes(5)))
struct RuleChangeTests {
    @Test("an edited ignore file takes a folder in that was left out")
    func takenIn() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.write(".gitignore", "out/\n")
            try $0.folders("out/deep")
        }) { folder, disk in
            try disk.write("out/deep/file")
            #expect(try await folder.changes().isEmpty)
            try disk.write(".gitignore", "other/\n")
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("out/deep/file", "again")
            #expect(try await folder.changes().names == ["out/deep/file"])
        }
    }

    @Test("a new ignore file in a folder holds for that folder only")
    func leftOut() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("a/out")
            try $0.folders("b/out")
        }) { folder, disk in
            try disk.write("a/.loopignore", "out/\n*.tmp\n")
            #expect(try await folder.changes().names == ["a/**"])
            for name in ["a/out/f", "a/f.tmp", "b/out/f", "b/f.tmp"] { try disk.write(name) }
            #expect(try await folder.changes().names == ["b/out/f", "b/f.tmp"])
            try disk.remove("a/.loopignore")
            #expect(try await folder.changes().names == ["a/**"])
            try disk.write("a/out/f", "again")
            #expect(try await folder.changes().names == ["a/out/f"])
        }
    }

    @Test("an ignore file saved without a change costs nothing but its own path")
    func unchanged() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.write(".gitignore", "out/\n")
            try $0.folder("a")
            try $0.write("a/.gitignore", "x\n")
        }) { folder, disk in
            try disk.write(".gitignore", "out/\n")
            try disk.write("a/.gitignore", "x\n")
            #expect(try await folder.changes().names == [".gitignore", "a/.gitignore"])
        }
    }

    @Test(
        "ignore files above the root and the repository's own exclude hold from when they are edited",
        arguments: ["../.gitignore", "../.loopignore", "../.git/info/exclude"])
    func above(file: String) async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folders("../.git/info")
            try $0.write(file, "*.old\n")
            try $0.folder("out")
        }) { folder, disk in
            let rules = try IgnoreRules(root: disk.path)
            try disk.write("a.old")
            #expect(try await folder.changes().isEmpty)
            try disk.write(file, "out/\n")
            #expect(try await folder.changes().rescan == [.root])
            let fresh = rules.reread()
            #expect(fresh.isIgnored(RelativePath("out"), isDirectory: true))
            #expect(!fresh.isIgnored(RelativePath("a.old"), isDirectory: false))
            try disk.write("out/file")
            try disk.write("a.old", "again")
            #expect(try await folder.changes().names == ["a.old"])
            // Replaced as editors do it.
            try disk.write("../.git/new", "*.new\n")
            try disk.move("../.git/new", file)
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("a.new")
            try disk.write("out/file", "again")
            #expect(try await folder.changes().names == ["out/file"])
            try disk.remove(file)
            #expect(try await folder.changes().rescan == [.root])
        }
    }

    @Test("a folder that becomes a repository has other files above it that count")
    func becomesRepository() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folder("../.git")
            try $0.write("../.gitignore", "*.log\n")
        }) { folder, disk in
            try disk.write("a.log")
            #expect(try await folder.changes().isEmpty)
            try disk.folder(".git")
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("a.log", "again")
            #expect(try await folder.changes().names == ["a.log"])
        }
    }

    @Test("the ignore file of a folder counts whose predecessor somebody still holds open")
    func heldOpen() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.folder("a")
            try $0.write("a/.gitignore", "old\n")
        }) { folder, disk in
            let held = try disk.open("a", flags: O_RDONLY | O_DIRECTORY)
            defer { close(held) }
            try disk.shell("rm -r a && mkdir a && echo one > a/.gitignore")
            _ = try await folder.changes()
            try disk.write("a/.gitignore", "two\n")
            #expect(try await folder.changes().names == ["a/**"])
            for name in ["a/one", "a/two", "a/old"] { try disk.write(name) }
            #expect(try await folder.changes().names == ["a/one", "a/old"])
        }
    }

    @Test("patterns of the options win over every ignore file")
    func options() async throws {
        var options = WatchOptions()
        options.ignore = ["target/", "!wanted.log"]
        try await WatchedFolder.ready(
            options,
            prepare: {
                try $0.write(".gitignore", "*.log\n!target/\n")
                try $0.folder("target")
            }
        ) { folder, disk in
            for name in ["target/f", "a.log", "wanted.log"] { try disk.write(name) }
            #expect(try await folder.changes().names == ["wanted.log"])
        }
    }

    @Test("a pattern that no path can match is refused")
    func refused() {
        #expect(throws: WatchError.self) {
            var options = WatchOptions()
            options.ignore = ["a\0b"]
            _ = try Watcher(root: "/tmp", options: options)
        }
    }

    @Test("a folder moved to where it is not ignored is watched from then on")
    func movedOutOfIgnored() async throws {
        try await WatchedFolder.ready(prepare: {
            try $0.write(".gitignore", "/a/build\n")
            try $0.folders("a/build/x")
            try $0.folder("b")
        }) { folder, disk in
            try disk.move("a/build", "b/build")
            #expect(try await folder.changes().names == ["b/build/**"])
            try disk.write("b/build/x/file")
            #expect(try await folder.changes().names == ["b/build/x/file"])
            try disk.move("b/build", "a/build")
            #expect(try await folder.changes().names == ["b/build/**"])
            try disk.write("a/build/x/file")
            #expect(try await folder.changes().isEmpty)
        }
    }
}
