import Glibc
import Reactor
import Testing
import Wire

@Suite("Staging and committing files")
struct CommitTests {
    @Test("content is acknowledged with its hash, stays out of sight, and lands with mode and time")
    func place() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            #expect(opened.kind == .created)
            #expect(opened.isSameMount)
            #expect(opened.obstacle == 0)
            let content = [UInt8]("print('hello')\n")
            let staged = try await client.stage(7, "x/y.py", content, in: opened.destination)
            #expect(staged == Staged(stage: 7, sha256: sha256(content), size: UInt64(content.count)))
            #expect(Disk.names(folder + "/app").isEmpty)
            let results = try await client.commit(
                [
                    .makeFolder(path: [UInt8]("x"), mode: 0o750),
                    .place(stage: 7, path: [UInt8]("x/y.py"), mode: 0o755, modified: 1_234_567_890_123_456_789),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, 0])
            #expect(Disk.bytes(folder + "/app/x/y.py") == content)
            #expect(Disk.mode(folder + "/app/x") == 0o750)
            let status = try #require(Disk.status(folder + "/app/x/y.py"))
            #expect(status.st_mode & 0o777 == 0o755)
            #expect(status.st_mtim.tv_sec == 1_234_567_890)
            #expect(status.st_mtim.tv_nsec == 123_456_789)
            #expect(results[1].stamp.inode == status.st_ino)
            #expect(results[1].stamp.modified == 1_234_567_890_123_456_789)
            try await client.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    struct Content: Sendable, CustomTestStringConvertible {
        let name: [UInt8]
        let content: [UInt8]
        var testDescription: String { "\(name.text.debugDescription), \(content.count) bytes" }
    }

    @Test(
        "any name and any content",
        arguments: [
            Content(name: [UInt8]("empty"), content: []),
            Content(name: [UInt8]("with space"), content: [0]),
            Content(name: [UInt8]("line\nbreak"), content: [10]),
            Content(name: [0xFF, 0xFE, 0x2F, 0xC3, 0x28], content: [1, 2, 3]),
            Content(name: [UInt8]("-rf"), content: [UInt8](repeating: 7, count: 65537)),
            Content(name: [UInt8](repeating: 97, count: 255), content: [UInt8](repeating: 0, count: 1 << 20)),
        ])
    func names(_ sample: Content) async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let answer = try await client.tryStage(1, sample.name, sample.content, in: opened.destination)
            guard case .staged(let staged)? = answer else { throw Unexpected(message: answer) }
            #expect(staged.sha256 == sha256(sample.content))
            let results = try await client.commit(
                [.place(stage: 1, path: sample.name, mode: 0o644, modified: 0)], in: opened.destination)
            #expect(results.map(\.code) == [0])
            let digests = try await client.digest([sample.name], in: opened.destination).digests
            #expect(digests.map(\.sha256) == [sha256(sample.content)])
            let listed = try await client.list(List(destination: opened.destination)).entries.last
            #expect(listed?.path == sample.name)
            #expect(listed?.stamp.size == UInt64(sample.content.count))
            try await client.end()
        }
    }

    @Test("a file larger than the window arrives whole")
    func large() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            var generator = SeededGenerator(seed: 1)
            let content = [UInt8](unsafeUninitializedCapacity: 9 << 20) { bytes, count in
                let raw = UnsafeMutableRawBufferPointer(bytes)
                for offset in stride(from: 0, to: 9 << 20, by: 8) {
                    raw.storeBytes(of: generator.next(), toByteOffset: offset, as: UInt64.self)
                }
                count = 9 << 20
            }
            let staged = try await client.stage(1, "big", content, in: opened.destination)
            #expect(staged.sha256 == sha256(content))
            _ = try await client.commit(
                [.place(stage: 1, path: [UInt8]("big"), mode: 0o644, modified: 0)], in: opened.destination)
            #expect(Disk.bytes(folder + "/app/big") == content)
            try await client.end()
        }
    }

    @Test("content is consumed as it comes, so that a host that does not wait for grants loses nothing")
    func withoutGrants() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let request = Stage(destination: opened.destination, stage: 1, sizeHint: 0, path: [UInt8]("a"))
            let stream = await client.newStream()
            try await client.send(.stage(request), on: stream)
            let piece = [UInt8](repeating: 1, count: WireProtocol.maximumPayload)
            for _ in 0..<3 { try await client.send(.data(piece), on: stream) }
            try await client.send(.stageEnd(UInt64(3 * piece.count)), on: stream)
            let answer = await client.receive(on: stream)
            guard case .staged(let staged)? = answer else { throw Unexpected(message: answer) }
            #expect(staged.size == UInt64(3 * piece.count))
            #expect(staged.sha256 == sha256(piece + piece + piece))
            try await client.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("a size that is not what was announced is refused, and nothing of it stays")
    func wrongSize() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let stream = await client.newStream()
            let request = Stage(destination: opened.destination, stage: 1, sizeHint: 4, path: [UInt8]("a"))
            try await client.send(.stage(request), on: stream)
            try await client.send(.data([1, 2, 3]), on: stream)
            try await client.send(.stageEnd(4), on: stream)
            guard case .failure(let failure)? = await client.receive(on: stream) else {
                Issue.record("acknowledged")
                return
            }
            #expect(failure.code == EIO)
            #expect(failure.path == [UInt8]("a"))
            #expect(Disk.names(opened.staging.text) == ["lock"])
            try await client.end()
        }
    }

    @Test("a replaced file keeps its mode; its exec bits follow the source")
    func modeStays() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/secret", "old", mode: 0o640)
            Disk.write(folder + "/app/tool", "old", mode: 0o755)
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            #expect(opened.kind == .folder)
            #expect(try await client.put("secret", "new", mode: 0o755, in: opened.destination).code == 0)
            #expect(Disk.mode(folder + "/app/secret") == 0o750)
            #expect(try await client.put("tool", "new", mode: 0o644, in: opened.destination).code == 0)
            #expect(Disk.mode(folder + "/app/tool") == 0o644)
            #expect(Disk.text(folder + "/app/secret") == "new")
            try await client.end()
        }
    }

    @Test("a replaced file keeps its owner", .enabled(if: geteuid() == 0, "needs root"))
    func ownerStays() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/a", "old", mode: 0o600)
            chown(folder + "/app/a", 1234, 4321)
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let result = try await client.put("a", "new", in: opened.destination)
            #expect(result.flags.isEmpty)
            let status = try #require(Disk.status(folder + "/app/a"))
            #expect(status.st_uid == 1234)
            #expect(status.st_gid == 4321)
            #expect(status.st_mode & 0o777 == 0o600)
            try await client.end()
        }
    }

    @Test("what is made where a folder gives its group to what is in it gets that group", .enabled(if: geteuid() == 0))
    func groupIsInherited() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            chown(app, 0, 4321)
            chmod(app, 0o2775)
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            _ = try await client.stage(1, "a", [1], in: opened.destination)
            _ = try await client.stage(2, "made/b", [2], in: opened.destination)
            let operations: [FileOperation] = [
                .makeFolder(path: [UInt8]("made"), mode: 0o775),
                .place(stage: 1, path: [UInt8]("a"), mode: 0o644, modified: 0),
                .place(stage: 2, path: [UInt8]("made/b"), mode: 0o644, modified: 0),
                .touch(path: [UInt8]("made"), mode: 0o755, modified: 0),
            ]
            #expect(try await client.commit(operations, in: opened.destination).map(\.code) == [0, 0, 0, 0])
            for path in ["a", "made", "made/b"] { #expect(Disk.status(app + "/" + path)?.st_gid == 4321) }
            #expect(Disk.mode(app + "/made") == 0o2755)
            try await client.end()
        }
    }

    @Test("content that could not be placed does not stay staged")
    func failedContentGoes() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.makeFolder(folder + "/app/full")
            Disk.write(folder + "/app/full/foreign", "x")
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            #expect(try await client.put("full", "x", in: opened.destination).code == ENOTEMPTY)
            #expect(Disk.names(opened.staging.text) == ["lock"])
            try await client.end()
        }
    }

    @Test("a batch over many folders lands where few descriptors are allowed", arguments: resolutions)
    func fewDescriptors(_ arguments: [String]) async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect(
                arguments: arguments, wrapper: ["sh", "-c", "ulimit -n 16; exec \"$@\"", "sh"])
            let opened = try await client.open(folder + "/app")
            var operations: [FileOperation] = []
            for number in 0..<40 {
                let path = [UInt8]("in-\(number)/a")
                _ = try await client.stage(UInt32(number), path.text, path, in: opened.destination)
                operations.append(.place(stage: UInt32(number), path: path, mode: 0o644, modified: 0))
            }
            #expect(try await client.commit(operations, in: opened.destination).allSatisfy { $0.code == 0 })
            #expect(Disk.names(folder + "/app").count == 40)
            try await client.end()
        }
    }

    @Test("a file in a folder that another operation of the batch replaces lands in the new one")
    func folderIsReplaced() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(app + "/other")
            Disk.makeLink(app + "/link", to: "other")
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            for (number, path) in ["link/a", "link/b", "new/c"].enumerated() {
                _ = try await client.stage(UInt32(number), path, [UInt8](path), in: opened.destination)
            }
            let results = try await client.commit(
                [
                    .place(stage: 0, path: [UInt8]("link/a"), mode: 0o644, modified: 0),
                    .makeFolder(path: [UInt8]("link"), mode: 0o755),
                    .place(stage: 1, path: [UInt8]("link/b"), mode: 0o644, modified: 0),
                    .place(stage: 2, path: [UInt8]("new/c"), mode: 0o644, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, 0, 0, 0])
            #expect(Disk.names(app + "/link") == ["a", "b"])
            #expect(Disk.names(app + "/other").isEmpty)
            #expect(Disk.text(app + "/new/c") == "new/c")
            try await client.end()
        }
    }

    @Test("folders become files, files become folders, links become either, in one batch")
    func kindsChange() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(app + "/was-folder")
            Disk.write(app + "/was-folder/inner", "x")
            Disk.write(app + "/was-file", "x")
            Disk.makeLink(app + "/was-link", to: "was-file")
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            _ = try await client.stage(1, "was-folder", [UInt8]("file"), in: opened.destination)
            _ = try await client.stage(2, "was-file/inner", [UInt8]("inner"), in: opened.destination)
            _ = try await client.stage(3, "was-link", [UInt8]("plain"), in: opened.destination)
            let results = try await client.commit(
                [
                    .remove(path: [UInt8]("was-folder/inner"), recursive: false),
                    .remove(path: [UInt8]("was-folder"), recursive: false),
                    .place(stage: 1, path: [UInt8]("was-folder"), mode: 0o644, modified: 0),
                    .remove(path: [UInt8]("was-file"), recursive: false),
                    .makeFolder(path: [UInt8]("was-file"), mode: 0o755),
                    .place(stage: 2, path: [UInt8]("was-file/inner"), mode: 0o644, modified: 0),
                    .place(stage: 3, path: [UInt8]("was-link"), mode: 0o644, modified: 0),
                    .link(path: [UInt8]("new-link"), target: [UInt8]("was-link")),
                ], in: opened.destination)
            #expect(results.map(\.code) == [Int32](repeating: 0, count: 8))
            #expect(Disk.text(app + "/was-folder") == "file")
            #expect(Disk.text(app + "/was-file/inner") == "inner")
            #expect(Disk.link(app + "/was-link") == nil)
            #expect(Disk.text(app + "/was-link") == "plain")
            #expect(Disk.link(app + "/new-link") == "was-link")
            try await client.end()
        }
    }

    @Test("a folder with foreign files is not replaced by a file, and the rest of the batch lands")
    func foreignFilesStay() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            Disk.makeFolder(app)
            Disk.makeFolder(app + "/uploads")
            Disk.write(app + "/uploads/foreign", "x")
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            _ = try await client.stage(1, "uploads", [UInt8]("file"), in: opened.destination)
            _ = try await client.stage(2, "other", [UInt8]("other"), in: opened.destination)
            let results = try await client.commit(
                [
                    .place(stage: 1, path: [UInt8]("uploads"), mode: 0o644, modified: 0),
                    .place(stage: 2, path: [UInt8]("other"), mode: 0o644, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [ENOTEMPTY, 0])
            #expect(Disk.text(app + "/uploads/foreign") == "x")
            #expect(Disk.text(app + "/other") == "other")
            try await client.end()
        }
    }

    @Test("removal takes files, links, empty folders, and whole trees only when told so")
    func removal() async throws {
        try await withFolder { folder in
            let app = folder + "/app"
            for path in ["", "/empty", "/full", "/tree", "/tree/deep"] { Disk.makeFolder(app + path) }
            for path in ["/file", "/full/foreign", "/tree/a", "/tree/deep/b"] { Disk.write(app + path, "x") }
            Disk.makeLink(app + "/link", to: folder)
            let client = try await HelperClient.connect()
            let opened = try await client.open(app)
            let names = ["file", "link", "empty", "full", "never-there", "no/parent"]
            let results = try await client.commit(
                names.map { .remove(path: [UInt8]($0), recursive: false) }
                    + [.remove(path: [UInt8]("tree"), recursive: true)], in: opened.destination)
            #expect(results.map(\.code) == [0, 0, 0, ENOTEMPTY, 0, 0, 0])
            #expect(Disk.names(app) == ["full"])
            #expect(Disk.isFolder(folder))
            try await client.end()
        }
    }

    @Test("content that changed again is abandoned, and a number staged twice holds the later content")
    func abandon() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "a", [UInt8]("first"), in: opened.destination)
            _ = try await client.stage(1, "a", [UInt8]("second"), in: opened.destination)
            _ = try await client.stage(2, "b", [UInt8]("never"), in: opened.destination)
            try await client.send(.abandon(Abandon(destination: opened.destination, stage: 2)))
            let results = try await client.commit(
                [
                    .place(stage: 1, path: [UInt8]("a"), mode: 0o644, modified: 0),
                    .place(stage: 2, path: [UInt8]("b"), mode: 0o644, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, ENOENT])
            #expect(Disk.text(folder + "/app/a") == "second")
            #expect(Disk.names(folder + "/app") == ["a"])
            #expect(Disk.names(opened.staging.text) == ["lock"])
            try await client.end()
        }
    }

    @Test("a destination that was removed or replaced meanwhile is found again by its path")
    func replacedDestination() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "a", [UInt8]("one"), in: opened.destination)
            rename(folder + "/app", folder + "/moved")
            Disk.makeFolder(folder + "/app")
            let first = try await client.commit(
                [.place(stage: 1, path: [UInt8]("a"), mode: 0o644, modified: 0)], in: opened.destination)
            #expect(first.map(\.code) == [0])
            #expect(first.map(\.flags) == [.destinationReplaced])
            #expect(Disk.text(folder + "/app/a") == "one")
            #expect(try await client.put("c", "three", in: opened.destination).flags == [])
            await Disk.removeTree(folder + "/app")
            #expect(try await client.put("b", "two", in: opened.destination).code == 0)
            #expect(Disk.names(folder + "/app") == ["b"])
            #expect(Disk.names(folder + "/moved").isEmpty)
            try await client.end()
            #expect(Disk.names(folder) == ["app", "moved"])
        }
    }

    @Test("touch sets mode and time")
    func touch() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/a", "x")
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let results = try await client.commit(
                [
                    .touch(path: [UInt8]("a"), mode: 0o700, modified: -1_500_000_000),
                    .touch(path: [UInt8]("missing"), mode: 0o700, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, ENOENT])
            #expect(Disk.mode(folder + "/app/a") == 0o700)
            #expect(Disk.status(folder + "/app/a")?.st_mtim.tv_sec == -2)
            #expect(Disk.status(folder + "/app/a")?.st_mtim.tv_nsec == 500_000_000)
            try await client.end()
        }
    }

    @Test("a batch longer than a frame comes in several, and its results too")
    func longBatch() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect()
            let opened = try await client.open(folder + "/app")
            let stream = await client.newStream()
            for part in 0..<5 {
                let operations = (0..<700).map {
                    FileOperation.link(path: [UInt8]("link-\(part)-\($0)"), target: [UInt8]("nowhere"))
                }
                try await client.send(
                    .commit(
                        Commit(
                            destination: opened.destination, generation: 1, operations: operations, isLast: part == 4)),
                    on: stream)
            }
            var results = 0
            while case .committed(let committed)? = await client.receive(on: stream) {
                results += committed.results.filter { $0.code == 0 }.count
                if committed.isLast { break }
            }
            #expect(results == 3500)
            #expect(Disk.names(folder + "/app").count == 3500)
            try await client.end()
        }
    }
}
