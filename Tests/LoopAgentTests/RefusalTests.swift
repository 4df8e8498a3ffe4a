import CAgent
import Glibc
import Reactor
import Testing
import Wire

/// Kernels, profiles and file systems that lack something: seccomp answers in their place.
@Suite("Calls that are refused")
struct RefusalTests {
    private func refusing(_ calls: String) -> [String] { [Built.probe, "refuse", calls] }

    @Test("the kernel's own resolution is used where there is one")
    func resolution() throws {
        let fd = cagent_open_within(AT_FDCWD, ".", CAGENT_HANDLE | CAGENT_DIRECTORY, CAGENT_BENEATH)
        guard fd >= 0 else {
            #expect([ENOSYS, EPERM].contains(errno))
            return
        }
        close(fd)
    }

    @Test(
        "files land whole where the kernel or a profile lacks a call, and where a file system keeps no modes",
        arguments: [
            "openat2=\(ENOSYS)", "openat2=\(EPERM)", "renameat2=\(EINVAL)", "renameat2=\(ENOSYS),openat2=\(ENOSYS)",
            "flock=\(ENOLCK)", "flock=\(ENOSYS)", "fchmod=\(EPERM),fchmodat=\(EPERM),utimensat=\(EPERM)",
            "utimensat=\(ENOSYS),fchownat=\(EPERM),fallocate=\(EOPNOTSUPP)",
        ])
    func lands(_ calls: String) async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/old", "old")
            let client = try await HelperClient.connect(wrapper: refusing(calls))
            let opened = try await client.open(folder + "/app")
            #expect(opened.obstacle == 0)
            for (number, path) in ["old", "new", "deep/er"].enumerated() {
                _ = try await client.stage(UInt32(number), path, [UInt8](path), in: opened.destination)
            }
            let results = try await client.commit(
                [
                    .makeFolder(path: [UInt8]("deep"), mode: 0o750),
                    .place(stage: 0, path: [UInt8]("old"), mode: 0o755, modified: 7),
                    .place(stage: 1, path: [UInt8]("new"), mode: 0o600, modified: 7),
                    .place(stage: 2, path: [UInt8]("deep/er"), mode: 0o644, modified: 7),
                    .link(path: [UInt8]("link"), target: [UInt8]("new")),
                ], in: opened.destination)
            #expect(results.map(\.code) == [0, 0, 0, 0, 0])
            for path in ["old", "new", "deep/er"] { #expect(Disk.text(folder + "/app/" + path) == path) }
            let touches = try await client.commit(
                [.touch(path: [UInt8]("old"), mode: 0o700, modified: 8)], in: opened.destination)
            #expect(touches.map(\.code) == [0])
            try await client.end()
            #expect(Disk.names(folder) == ["app"])
        }
    }

    @Test("content that a network file system drops when it is closed is not acknowledged")
    func lateFailure() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.connect(wrapper: refusing("close=\(EDQUOT)"))
            let opened = try await client.open(folder + "/app")
            let answer = try await client.tryStage(1, [UInt8]("a"), [UInt8]("content"), in: opened.destination)
            guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
            #expect(failure.code == EDQUOT)
            #expect(Disk.names(opened.staging.text) == ["lock"])
            try await client.end()
        }
    }

    @Test(
        "a file is replaced with its owner kept where only giving away is allowed",
        .enabled(if: geteuid() == 0, "needs root"))
    func fewCapabilities() async throws {
        try await withFolder { folder in
            chmod(folder, 0o777)
            Disk.makeFolder(folder + "/app")
            Disk.write(folder + "/app/a", "old")
            chown(folder + "/app/a", 1234, 4321)
            let client = try await HelperClient.connect(
                wrapper: ["setpriv", "--bounding-set=-all,+chown", "--inh-caps=-all"])
            let opened = try await client.open(folder + "/app")
            let result = try await client.put("a", "new", mode: 0o755, in: opened.destination)
            #expect(result.code == 0)
            #expect(result.flags.isEmpty)
            let status = try #require(Disk.status(folder + "/app/a"))
            #expect(status.st_uid == 1234)
            #expect(status.st_mode & 0o7777 == 0o755)
            #expect(status.st_mtim.tv_sec == 1)
            try await client.end()
        }
    }
}
