import Testing

@testable import Watcher

@Suite("Polling", .timeLimit(.minutes(5)))
struct PollTests {
    private static var options: WatchOptions {
        var options = WatchOptions()
        options.poll = .milliseconds(10)
        return options
    }

    @Test("created, written, removed and renamed paths are reported; ignored ones are not")
    func changes() async throws {
        try await WatchedFolder.ready(
            Self.options,
            prepare: {
                try $0.write(".gitignore", "*.log\n")
                try $0.folders("a/b")
                for name in ["a/b/f", "gone", "before"] { try $0.write(name) }
            }
        ) { folder, disk in
            try disk.write("a/b/f", "longer than before")
            try disk.write("a/new")
            try disk.write("x.log")
            try disk.remove("gone")
            try disk.move("before", "after")
            try disk.mode("a/b/f", 0o700)
            #expect(try await folder.changes().names == ["a/b/f", "a/new", "gone", "before", "after"])
        }
    }

    @Test("edited ignore files, above the root too, ask for a comparison of what they concern")
    func rules() async throws {
        try await WatchedFolder.ready(
            Self.options,
            prepare: {
                try $0.folders("../.git/info")
                try $0.folder("a")
                try $0.write("a/f")
            }
        ) { folder, disk in
            try disk.write("a/.gitignore", "f\n")
            #expect(try await folder.changes().rescan == [RelativePath("a")])
            try disk.write("../.git/info/exclude", "g\n")
            try await folder.wait { event in
                if case .settled(let changes) = event { changes.rescan == [.root] } else { false }
            }
        }
    }

    @Test("a root that comes later is ready then")
    func laterRoot() async throws {
        try await WatchedFolder.with(Self.options, root: "root/later") { folder in
            try await folder.wait { $0 == .rootVanished }
            try folder.disk.folder("later")
            try await folder.wait { $0 == .ready(folders: 1) }
            #expect(try await folder.batch().rescan == [.root])
        }
    }

    @Test("a root that goes and comes back is said so and compared wholly")
    func root() async throws {
        try await WatchedFolder.ready(Self.options) { folder, disk in
            try disk.parent.move("root", "away")
            try await folder.wait { $0 == .rootVanished }
            try disk.parent.move("away", "root")
            try await folder.wait { $0 == .rootRestored }
            #expect(try await folder.batch().rescan == [.root])
        }
    }

    @Test("stopping ends the stream")
    func stop() async throws {
        try await Disk.withFolder { disk in
            let watcher = try Watcher(root: disk.path, options: Self.options)
            try watcher.start()
            watcher.stop()
            for await _ in watcher.events {}
        }
    }
}
