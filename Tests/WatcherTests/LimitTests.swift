import Glibc
import Testing

@testable import Watcher

@Suite("Lost events and limits", .timeLimit(.minutes(5)))
struct LimitTests {
    @Test("an overflow of the kernel's queue becomes a rescan, and new folders are watched after it")
    func overflow() async throws {
        let queued = try #require(Inotify.setting("max_queued_events"))
        try await Disk.withFolder { disk in
            // The events are taken from the kernel by this test itself, so that the queue overflows for sure.
            let rules = try IgnoreRules(root: disk.path)
            let inotify = try Inotify()
            var folders = FolderWatches(rules: rules, inotify: inotify)
            folders.attachRoot()
            let names = ["a", "b"].map { disk.at($0) }
            let rounds = queued + 100
            for round in 0..<rounds { close(open(names[round % 2], O_WRONLY | O_CREAT | O_TRUNC, 0o644)) }
            try disk.folder("unseen")
            var settling = Settling(WatchOptions())
            var news = EventNews()
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 8)
            defer { buffer.deallocate() }
            var records: [Inotify.Record] = []
            while inotify.read(buffer, { records.append($0) }) {}
            for record in records { folders.take(record, at: 0, into: &settling, news: &news, finished: { _ in }) }
            #expect(news.overflowed)
            #expect(settling.settle(at: 1_000_000_000)?.rescan == [.root])
        }
    }

    @Test("a flood loses nothing: whatever was dropped is covered by a rescan")
    func flood() async throws {
        try await WatchedFolder.ready { folder, disk in
            let writer = Task.detached {
                for round in 0..<60_000 {
                    close(open(disk.at("f\(round % 7)"), O_WRONLY | O_CREAT | O_TRUNC, 0o644))
                    if round % 6_000 == 0 { try disk.folders("d\(round)/e") }
                }
                for round in stride(from: 0, to: 60_000, by: 6_000) { try disk.write("d\(round)/e/last") }
            }
            try await writer.value
            let changes = try await folder.changes()
            for number in 0..<7 { #expect(changes.covers(RelativePath("f\(number)"))) }
            for round in stride(from: 0, to: 60_000, by: 6_000) {
                #expect(changes.covers(RelativePath("d\(round)/e/last")))
            }
            for round in stride(from: 0, to: 60_000, by: 6_000) { try disk.write("d\(round)/e/after") }
            let after = try await folder.changes()
            for round in stride(from: 0, to: 60_000, by: 6_000) {
                #expect(after.covers(RelativePath("d\(round)/e/after")))
            }
        }
    }

    @Test("the watch limit is named with the need and the command, and what is watched stays watched")
    func watchLimit() async throws {
        try await WatchedFolder.with(
            limit: 4,
            prepare: { disk in
                for number in 0..<10 { try disk.folder("d\(number)") }
            }
        ) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            let expected = WatchLimit(setting: "fs.inotify.max_user_watches", value: 4, needed: 11)
            #expect(folder.notices == [.limitReached(expected), .ready(folders: 4)])
            #expect(
                expected.description
                    == "fs.inotify.max_user_watches (4) is used up; 11 needed here, beside this user's other programs: "
                    + "sudo sysctl fs.inotify.max_user_watches=8192")
            try folder.disk.write("file")
            #expect(try await folder.changes().names == ["file"])
            try folder.disk.folder("more")
            try await folder.wait { event in
                if case .limitReached(let limit) = event { limit.needed == 12 } else { false }
            }
        }
    }

    @Test("a watch that comes free goes to a folder that was refused", arguments: 0..<6)
    func freedWatch(kept: Int) async throws {
        try await WatchedFolder.ready(
            limit: 4,
            prepare: { disk in
                for number in 0..<6 { try disk.folders("d\(number)") }
                try disk.folders("d\(kept)/e")
            }
        ) { folder, disk in
            for number in 0..<6 where number != kept { try disk.removeFolder("d\(number)") }
            _ = try await folder.changes()
            // The place of a removed folder may come free only with its batch.
            let changes = try await folder.changes()
            try disk.write("d\(kept)/e/file")
            try disk.write("d\(kept)/file")
            #expect(try await folder.changes().names == ["d\(kept)/e/file", "d\(kept)/file"], "\(changes)")
            #expect(folder.notices.last { !$0.isHint } == .limitLifted)
        }
    }

    @Test(
        "the command asks for twice the need and never for less than now",
        arguments: [
            (WatchLimit(setting: "fs.inotify.max_user_watches", value: 8_192, needed: 9_000), 32_768),
            (WatchLimit(setting: "fs.inotify.max_user_watches", value: 524_288, needed: 10), 1_048_576),
            (WatchLimit(setting: "fs.inotify.max_user_watches", value: nil, needed: 10), 8_192),
            (WatchLimit(setting: "fs.inotify.max_user_instances", value: 128, needed: 1), 512),
            (WatchLimit(setting: "fs.inotify.max_user_instances", value: 512, needed: 1), 1_024),
        ])
    func command(limit: WatchLimit, proposal: Int) {
        #expect(limit.command == "sudo sysctl \(limit.setting)=\(proposal)")
    }

    @Test("200,000 ignored files cost no watch and no event", .timeLimit(.minutes(5)))
    func ignoredFiles() async throws {
        try await WatchedFolder.with(prepare: { disk in
            try disk.write(".gitignore", "node_modules/\n*.log\n!keep.log\n")
            for number in 0..<200 { try disk.folders("node_modules/p\(number)/lib") }
            try disk.folder("logs")
        }) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            #expect(folder.notices.contains(.ready(folders: 2)))
            let names = (0..<1_000).map { "f\($0)".utf8CString }
            for number in 0..<200 {
                let lib = try folder.disk.open("node_modules/p\(number)/lib", flags: O_RDONLY | O_DIRECTORY)
                for name in names {
                    _ = name.withUnsafeBufferPointer { file in
                        file.baseAddress.map { mknodat(lib, $0, S_IFREG | 0o644, 0) }
                    }
                }
                close(lib)
            }
            try folder.disk.write("logs/a.log")
            try folder.disk.write("logs/keep.log")
            #expect(try await folder.changes().names == ["logs/keep.log"])
        }
    }
}
