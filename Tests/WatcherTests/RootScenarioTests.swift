import Glibc
import Testing

@testable import Watcher

@Suite("Roots that are missing, go away and come back", .timeLimit(.minutes(5)))
struct RootScenarioTests {
    @Test("a root that does not exist yet is waited for, however deep it is")
    func notYetThere() async throws {
        try await WatchedFolder.with(root: "root/deep/down/here") { folder in
            try await folder.wait { $0 == .rootVanished }
            try folder.disk.folders("deep/down/here")
            try await folder.wait { $0 == .rootRestored }
            #expect(try await folder.batch().rescan == [.root])
            try folder.disk.write("deep/down/here/file")
            #expect(try await folder.batch().names.contains("file"))
        }
    }

    @Test("a deleted root is said so, and watched again when it is back")
    func deleted() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b") }) { folder, disk in
            try disk.shell("rm -r '\(disk.path)'")
            try await folder.wait { $0 == .rootVanished }
            try Disk(path: "/").shell("mkdir -p '\(disk.path)/a'")
            try await folder.wait { $0 == .rootRestored }
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("a/file")
            #expect(try await folder.changes().names == ["a/file"])
        }
    }

    @Test("a root that is deleted while somebody is in it, and made again")
    func deletedInUse() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("a/b") }) { folder, disk in
            // As a shell's working directory does: the kernel tells of the folder's own removal only when nobody holds it.
            let held = open(disk.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { close(held) }
            try Disk(path: "/").shell("rm -r '\(disk.path)'")
            try await folder.wait { $0 == .rootVanished }
            try Disk(path: "/").shell("mkdir -p '\(disk.path)/a'")
            try await folder.wait { $0 == .rootRestored }
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("a/file")
            #expect(try await folder.changes().names == ["a/file"])
        }
    }

    @Test("a root replaced by another folder of its name is watched instead of the old one")
    func replaced() async throws {
        try await WatchedFolder.ready(prepare: { try $0.folders("../other/new") }) { folder, disk in
            try disk.parent.move("root", "old")
            try disk.parent.move("other", "root")
            try await folder.wait { $0 == .rootRestored }
            #expect(folder.notices.suffix(2) == [.rootVanished, .rootRestored])
            #expect(try await folder.changes().rescan == [.root])
            try disk.write("../old/file")
            try disk.write("new/file")
            #expect(try await folder.changes().names == ["new/file"])
        }
    }

    @Test("a folder above the root is replaced")
    func replacedAbove() async throws {
        try await WatchedFolder.with(root: "root/above/here", prepare: { try $0.folders("above/here") }) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            try folder.disk.move("above", "before")
            try await folder.wait { $0 == .rootVanished }
            try folder.disk.folders("above/here")
            try await folder.wait { $0 == .rootRestored }
            try folder.disk.write("above/here/file")
            try await folder.wait { event in
                if case .settled(let changes) = event { changes.covers(RelativePath("file")) } else { false }
            }
        }
    }

    @Test("a root that is a link is followed, also when it is pointed elsewhere")
    func linkedRoot() async throws {
        try await WatchedFolder.with(
            root: "root/current",
            prepare: {
                try $0.folder("one")
                try $0.folder("two")
                try $0.link("current", to: "one")
            }
        ) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            try folder.disk.write("one/file")
            #expect(try await folder.batch().names == ["file"])
            try folder.disk.shell("ln -s two next && mv -T next current")
            try await folder.wait { $0 == .rootRestored }
            #expect(try await folder.batch().rescan == [.root])
            try folder.disk.write("two/file")
            #expect(try await folder.batch().names == ["file"])
        }
    }

    @Test("a root that was away for a moment is compared wholly")
    func awayForAMoment() async throws {
        try await WatchedFolder.ready { folder, disk in
            try disk.parent.move("root", "away")
            try disk.parent.move("away", "root")
            #expect(try await folder.changes().rescan == [.root])
        }
    }

    @Test("a root that is a link to the folder around it")
    func linkToParent() async throws {
        try await WatchedFolder.ready(root: "root/self", prepare: { try $0.link("self", to: ".") }) { folder, disk in
            try disk.write("file")
            #expect(try await folder.changes().names == ["file"])
        }
    }

    @Test("a folder that could not be read is watched once it can be")
    func permissionGranted() async {
        await #expect(processExitsWith: .success) {
            // Root may read everything: another user's eyes are needed, for this process alone.
            if getuid() == 0 { #expect(seteuid(65_534) == 0) }
            defer { seteuid(getuid()) }
            try await WatchedFolder.ready(prepare: {
                try $0.folders("closed/inner")
                try $0.mode("closed", 0)
            }) { folder, disk in
                let closed = UnreadableFolder(path: RelativePath("closed"), code: EACCES)
                #expect(folder.notices.contains(.unreadable(closed)))
                try disk.mode("closed", 0o755)
                #expect(try await folder.changes().covers(RelativePath("closed/inner")))
                try disk.write("closed/inner/file")
                #expect(try await folder.changes().names == ["closed/inner/file"])
            }
        }
    }

    @Test(
        "an unmounted root is said so, and watched again when it is mounted", .enabled(if: RootScenarioTests.canMount))
    func unmounted() async throws {
        try await WatchedFolder.with(
            root: "root/mount",
            prepare: {
                try $0.folder("mount")
                try $0.shell("mount -t tmpfs none mount && mkdir mount/a")
            }
        ) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            try folder.disk.shell("umount mount")
            try await folder.wait { $0 == .rootVanished }
            try await folder.wait { $0 == .rootRestored }
            try folder.disk.write("mount/file")
            try await folder.wait { event in
                if case .settled(let changes) = event { changes.covers(RelativePath("file")) } else { false }
            }
        }
    }

    @Test("permission denied on the root or on a subfolder is named, and the rest is watched")
    func permissionDenied() async {
        await #expect(processExitsWith: .success) {
            try await WatchedFolder.with(prepare: {
                try $0.folders("open")
                try $0.folders("closed/inner")
                try $0.mode("closed", 0)
                try $0.shell("chmod 777 . .. open")
            }) { folder in
                // Root may read everything: another user's eyes are needed, for this process alone.
                if getuid() == 0 { #expect(seteuid(65_534) == 0) }
                defer { seteuid(getuid()) }
                let watcher = try Watcher(root: folder.disk.path)
                defer { watcher.stop() }
                try watcher.start()
                var events = watcher.events.makeAsyncIterator()
                let closed = UnreadableFolder(path: RelativePath("closed"), code: EACCES)
                #expect(await events.next() == .unreadable(closed))
                #expect(await events.next() == .ready(folders: 2))
                #expect(closed.description == "cannot watch closed: Permission denied")

                let root = try Watcher(root: folder.disk.at("closed"))
                defer { root.stop() }
                try root.start()
                var rootEvents = root.events.makeAsyncIterator()
                #expect(await rootEvents.next() == .unreadable(UnreadableFolder(path: .root, code: EACCES)))
            }
        }
    }

    @Test("stopping twice, before the start, or with events pending ends the stream and leaves no descriptor")
    func stop() async throws {
        try await Disk.withFolder { disk in
            for round in 0..<20 {
                let watcher = try Watcher(root: disk.path)
                if round % 4 != 0 { try watcher.start() }
                if round % 2 == 0 { try disk.write("pending-\(round)") }
                watcher.stop()
                watcher.stop()
                try watcher.start()
                for await event in watcher.events {
                    if case .limitReached = event { Issue.record("a stopped watcher needs nothing") }
                }
            }
        }
    }

    @Test("a watcher that nobody holds any more ends its stream")
    func released() async throws {
        try await Disk.withFolder { disk in
            var watcher: Watcher? = try Watcher(root: disk.path)
            try watcher?.start()
            var events = try #require(watcher?.events).makeAsyncIterator()
            _ = await events.next()
            watcher = nil
            while await events.next() != nil {}
        }
    }

    /// Mounting needs root, and a kernel that lets it.
    private static var canMount: Bool {
        guard getuid() == 0 else { return false }
        let probe = Disk(path: "/tmp")
        return (try? probe.shell("d=$(mktemp -d) && mount -t tmpfs none $d && umount $d; r=$?; rmdir $d; exit $r"))
            != nil
    }
}
