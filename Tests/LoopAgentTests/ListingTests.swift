import Glibc
import Reactor
import Testing
import Wire

@Suite("Listings and digests")
struct ListingTests {
    @Test(
        "a tree is listed whole, with kinds, targets and without skipped names or loopd's own", arguments: resolutions)
    func tree(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            for path in ["", "/a", "/a/b", "/node_modules", "/.loopd-0123456789ab"] { Disk.makeFolder(app + path) }
            for path in ["/a/b/file", "/node_modules/x", "/.loopd-0123456789ab/y"] { Disk.write(app + path, "12345") }
            Disk.makeLink(app + "/a/link", to: "nowhere")
            mkfifo(app + "/pipe", 0o600)
            let client = try await HelperClient.connect(arguments: arguments)
            let opened = try await client.open(app)
            let (entries, failures) = try await client.list(
                List(destination: opened.destination, skip: [[UInt8]("node_modules")]))
            #expect(failures.isEmpty)
            #expect(entries.map(\.path.text) == ["a", "a/b", "a/b/file", "a/link", "pipe"])
            #expect(entries.map(\.kind) == [.folder, .folder, .file, .link, .other])
            #expect(entries[3].target.text == "nowhere")
            let status = try #require(Disk.status(app + "/a/b/file"))
            #expect(entries[2].stamp.size == 5)
            #expect(entries[2].stamp.inode == status.st_ino)
            #expect(
                entries[2].stamp.modified == Int64(status.st_mtim.tv_sec) * 1_000_000_000
                    + Int64(status.st_mtim.tv_nsec))
            #expect(
                entries[2].stamp.changed == Int64(status.st_ctim.tv_sec) * 1_000_000_000 + Int64(status.st_ctim.tv_nsec)
            )
            #expect(entries[2].mode == 0o644)
            try await client.end()
        }
    }

    @Test("named paths are looked at alone, and what is not there is absent")
    func paths() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            for path in ["", "/a", "/a/b"] { Disk.makeFolder(app + path) }
            Disk.write(app + "/a/file", "x")
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            let asked = ["a", "a/file", "gone", "a/file/below"].map { [UInt8]($0) }
            let flat = try await client.list(List(destination: opened.destination, paths: asked, isRecursive: false))
            #expect(flat.entries.map(\.path.text) == ["a", "a/file", "a/file/below", "gone"])
            #expect(flat.entries.map(\.kind) == [.folder, .file, .absent, .absent])
            let deep = try await client.list(List(destination: opened.destination, paths: [[UInt8]("a")]))
            #expect(deep.entries.map(\.path.text) == ["a", "a/b", "a/file"])
            try await client.end()
        }
    }

    @Test("a listing far larger than any buffer arrives whole while pings are answered")
    func many() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            for part in 0..<20 {
                Disk.makeFolder(app + "/\(part)")
                for file in 0..<500 {
                    Disk.write(app + "/\(part)/a-rather-long-name-that-fills-the-pipe-soon-\(file)", [])
                }
                // Others wait for the thread, too: a helper that is not greeted in time gives up.
                await Task.yield()
            }
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            let (entries, _) = try await client.list(List(destination: opened.destination))
            #expect(entries.count == 20 + 20 * 500)
            #expect(Set(entries.map(\.path)).count == entries.count)
            try await client.end()
        }
    }

    @Test("digests go on after what cannot be read")
    func digests() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(app + "/folder")
            Disk.write(app + "/empty", [])
            let content = [UInt8](repeating: 42, count: 1_000_003)
            Disk.write(app + "/large", content)
            Disk.makeLink(app + "/link", to: "large")
            mkfifo(app + "/pipe", 0o600)
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            let names = ["empty", "missing", "folder", "link", "pipe", "large"].map { [UInt8]($0) }
            let (digests, failures) = try await client.digest(names, in: opened.destination)
            #expect(digests.map(\.path.text) == ["empty", "large"])
            #expect(digests.map(\.sha256) == [sha256([]), sha256(content)])
            #expect(failures.map(\.path.text) == ["missing", "folder", "link", "pipe"])
            #expect(failures.map(\.code) == [ENOENT, EINVAL, ELOOP, EINVAL])
            #expect(failures.allSatisfy { !$0.isFinal })
            try await client.end()
        }
    }

    @Test("requests on a destination that is not open fail one by one")
    func unknownDestination() async throws {
        let client = try await HelperClient.connect()
        let messages: [Message] = [
            .list(List(destination: 9)), .digestRequest(DigestRequest(destination: 9, paths: [])),
            .stage(Stage(destination: 9, stage: 1, sizeHint: 0, path: [])),
            .commit(Commit(destination: 9, generation: 1, operations: [])),
        ]
        for message in messages {
            guard case .failure(let failure)? = try await client.ask(message) else {
                Issue.record("\(message) was accepted")
                continue
            }
            #expect(failure.code == EBADF)
            #expect(failure.isFinal)
        }
        try await client.end()
    }
}
