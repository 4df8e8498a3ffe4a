import Glibc
import Reactor
import Testing
import Wire

/// Mounts are made in a mount namespace of the helper's own; its `/proc/<pid>/root` shows them.
@Suite("Mounts", .enabled(if: geteuid() == 0, "mounting needs root"))
struct MountTests {
    private func connect(_ folder: String, _ setUp: String) async throws -> HelperClient {
        try await HelperClient.connect(
            wrapper: ["unshare", "-m", "sh", "-ec", "cd \"$1\"; shift; \(setUp); exec \"$@\"", "sh", folder])
    }

    @Test("a file that is itself a mount is written in place, with a warning")
    func fileInFolder() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/config", "below")
            Disk.write(folder + "/source", "a longer old content")
            let client = try await connect(folder, "mount --bind source app/config")
            let opened = try await client.open(folder + "/app")
            let result = try await client.put("config", "new", mode: 0o755, in: opened.destination)
            #expect(result.code == 0)
            #expect(result.flags == .writtenInPlace)
            #expect(Disk.text(folder + "/source") == "new")
            #expect(Disk.mode(folder + "/source") == 0o755)
            #expect(Disk.text(folder + "/app/config") == "below")
            try await client.end()
            #expect(Disk.names(folder) == ["app", "source"])
        }
    }

    @Test("a mounted file is a destination of its own")
    func fileAsDestination() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/config", "below")
            Disk.write(folder + "/source", "old")
            let client = try await connect(folder, "mount --bind source app/config")
            let opened = try await client.open(folder + "/app/config")
            #expect(opened.kind == .file)
            let result = try await client.put("", "new", in: opened.destination)
            #expect(result.code == 0)
            #expect(result.flags == .writtenInPlace)
            #expect(Disk.text(folder + "/source") == "new")
            #expect(try await client.list(List(destination: opened.destination)).entries.map(\.kind) == [.file])
            try await client.end()
            #expect(Disk.names(folder + "/app") == ["config"])
        }
    }

    @Test("a folder of the destination that is a mount of its own gets its files by rename too")
    func nestedMount() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.makeFolder(folder + "/app/data")
            let client = try await connect(folder, "mount -t tmpfs tmpfs app/data; echo old > app/data/old")
            let opened = try await client.open(folder + "/app")
            let content = [UInt8](repeating: 5, count: 100_000)
            _ = try await client.stage(1, "data/new", content, in: opened.destination)
            _ = try await client.stage(2, "data/old", content, in: opened.destination)
            let results = try await client.commit(
                [
                    .place(stage: 1, path: [UInt8]("data/new"), mode: 0o750, modified: 5),
                    .place(stage: 2, path: [UInt8]("data/old"), mode: 0o750, modified: 5),
                    .link(path: [UInt8]("data/link"), target: [UInt8]("new")),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, 0, 0])
            #expect(results.allSatisfy { $0.flags.isEmpty })
            let data = "/proc/\(client.child.pid)/root\(folder)/app/data"
            #expect(Disk.names(data) == ["link", "new", "old"])
            #expect(Disk.bytes(data + "/new") == content)
            #expect(Disk.bytes(data + "/old") == content)
            #expect(Disk.mode(data + "/new") == 0o750)
            #expect(Disk.status(data + "/new")?.st_mtim.tv_nsec == 5)
            #expect(Disk.link(data + "/link") == "new")
            try await client.end()
        }
    }

    @Test("a program that runs is not overwritten in place: text file busy, and the others land")
    func textBusy() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/tool", "below")
            Disk.write(folder + "/source", try #require(Disk.bytes("/bin/sleep")), mode: 0o755)
            let client = try await connect(folder, "mount --bind source app/tool")
            let running = try await Child.spawn(Launch([folder + "/source", "1000"]))
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "tool", [UInt8]("new"), in: opened.destination)
            _ = try await client.stage(2, "other", [UInt8]("other"), in: opened.destination)
            let results = try await client.commit(
                [
                    .place(stage: 1, path: [UInt8]("tool"), mode: 0o755, modified: 0),
                    .place(stage: 2, path: [UInt8]("other"), mode: 0o644, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [ETXTBSY, 0])
            #expect(results[0].text.text.contains("busy"))
            running.signal(SIGKILL)
            _ = await running.wait()
            try await client.end()
        }
    }

    @Test("a destination that is a mount of its own is staged in a hidden folder inside")
    func ownMount() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            let client = try await connect(folder, "mount -t tmpfs tmpfs app")
            let opened = try await client.open(folder + "/app")
            #expect(opened.staging.text == folder + "/app/.loopd")
            #expect(opened.isSameMount)
            #expect(try await client.put("a", "x", in: opened.destination).flags.isEmpty)
            let listed = try await client.list(List(destination: opened.destination)).entries
            #expect(listed.map(\.path.text) == ["a"])
            try await client.close(opened.destination)
            #expect(Disk.names("/proc/\(client.child.pid)/root\(folder)/app") == ["a"])
            try await client.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("a mounted file keeps its content where the disk has no room for the new one")
    func fullInPlace() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/config", "below")
            let client = try await connect(
                folder,
                "mkdir small && mount -t tmpfs -o size=64k tmpfs small && echo whole >small/config"
                    + " && mount --bind small/config app/config")
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "config", [UInt8](repeating: 1, count: 100_000), in: opened.destination)
            let results = try await client.commit(
                [.place(stage: 1, path: [UInt8]("config"), mode: 0o644, modified: 0)], in: opened.destination)
            #expect(results.map(\.code) == [ENOSPC])
            #expect(Disk.text("/proc/\(client.child.pid)/root\(folder)/app/config") == "whole\n")
            try await client.end()
        }
    }

    @Test("what a helper that was killed left in a folder that is a mount is replaced the next time")
    func leftBeside() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.makeFolder(folder + "/app/data")
            Disk.makeFolder(folder + "/volume")
            let client = try await connect(folder, "mount --bind volume app/data")
            let opened = try await client.open(folder + "/app")
            _ = try await client.put("data/a", "first", in: opened.destination)
            // What a kill in the middle of a copy leaves has the name that every copy has.
            let hash = opened.staging.text.split(separator: "/").last.map(String.init) ?? ""
            let left = folder + "/volume/\(hash)-\(geteuid()).new"
            Disk.write(left, "half of")
            #expect(try await client.put("data/b", "second", in: opened.destination).code == 0)
            #expect(Disk.names(folder + "/volume") == ["a", "b"])
            #expect(Disk.text(folder + "/volume/b") == "second")
            try await client.end()
        }
    }

    @Test("a full disk fails the file that did not fit, and the others land")
    func full() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            let client = try await connect(folder, "mount -t tmpfs -o size=512k tmpfs app")
            let opened = try await client.open(folder + "/app")
            _ = try await client.stage(1, "small", [UInt8]("fits"), in: opened.destination)
            let large = [UInt8](repeating: 1, count: 1 << 20)
            let answer = try await client.tryStage(2, [UInt8]("large"), large, in: opened.destination)
            guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
            #expect(failure.code == ENOSPC)
            #expect(failure.path.text == "large")
            _ = try await client.stage(3, "other", [UInt8](repeating: 2, count: 100_000), in: opened.destination)
            let results = try await client.commit(
                [
                    .place(stage: 1, path: [UInt8]("small"), mode: 0o644, modified: 0),
                    .place(stage: 2, path: [UInt8]("large"), mode: 0o644, modified: 0),
                    .place(stage: 3, path: [UInt8]("other"), mode: 0o644, modified: 0),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, ENOENT, 0])
            try await client.end()
        }
    }

    @Test("a read-only destination says so when it is opened, and lists all the same")
    func readOnly() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/a", "x")
            let client = try await connect(folder, "mount --bind . . && mount -o remount,bind,ro \"$PWD\"")
            let opened = try await client.open(folder + "/app")
            #expect(opened.obstacle == EROFS)
            #expect(opened.staging.isEmpty)
            #expect(try await client.list(List(destination: opened.destination)).entries.map(\.path.text) == ["a"])
            let answer = try await client.tryStage(1, [UInt8]("b"), [1], in: opened.destination)
            guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
            #expect(failure.code == EROFS)
            #expect(failure.uid == geteuid())
            #expect(failure.mode == 0o755)
            try await client.end()
        }
    }

    @Test("a user without the right to write gets a failure with user and mode")
    func otherUser() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            chmod(folder, 0o755)
            // Where the test's own build lies may be closed to others.
            let helper = folder + "/LoopAgent"
            // Written by another process: what this one writes, a child of another test may hold open at its start.
            #expect(await (try Child.spawn(Launch(["cp", Built.helper, helper]))).wait().isSuccess)
            let client = try await HelperClient.connect(
                wrapper: ["setpriv", "--reuid=12345", "--regid=12345", "--clear-groups"], helper: helper)
            let opened = try await client.open(folder + "/app")
            #expect(opened.obstacle == EACCES)
            #expect(opened.uid == 12345)
            #expect(opened.owner == 0)
            #expect(opened.mode == 0o755)
            let answer = try await client.tryStage(1, [UInt8]("b"), [1], in: opened.destination)
            guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
            #expect(failure.code == EACCES)
            #expect(failure.uid == 12345)
            #expect(failure.mode == 0o755)
            try await client.end()
        }
    }
}
