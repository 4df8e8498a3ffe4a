import Glibc
import Reactor
import Testing

/// Swift Testing has a type of the same name, for exit tests.
private typealias Ending = Reactor.ExitStatus

@Suite("Children", .timeLimit(.minutes(5)))
struct ChildTests {
    private func shell(_ script: String) -> Launch { Launch(["sh", "-c", script]) }

    @Test(
        "how a program ended is told exactly",
        arguments: [
            ("exit 0", Ending.exited(0)), ("exit 3", .exited(3)), ("exit 255", .exited(255)),
            ("kill -9 $$", .signalled(SIGKILL)), ("kill -15 $$", .signalled(SIGTERM)), ("exec true", .exited(0)),
        ])
    func exitCodes(script: String, status: Reactor.ExitStatus) async throws {
        #expect(try await Child.run(shell(script)).status == status)
    }

    @Test("a shell's code for a signal is 128 and its number")
    func shellCodes() {
        #expect(Ending.exited(7).shellCode == 7)
        #expect(Ending.signalled(SIGKILL).shellCode == 137)
        #expect(!Ending.exited(1).isSuccess && Ending.exited(0).isSuccess)
    }

    @Test("both outputs are collected apart, however much there is")
    func outputs() async throws {
        let output = try await Child.run(
            shell("head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2"), limit: 2_500_000)
        #expect(output.standardOutput.count == 2_500_000)
        #expect(output.standardError.count == 2_000_000)
        #expect(output.status.isSuccess)
    }

    @Test("input reaches the program, and a program that does not read it is no error")
    func input() async throws {
        let bytes = [UInt8](repeating: 65, count: 1_000_000)
        #expect(try await Child.run(Launch(["cat"]), input: bytes).standardOutput == bytes)
        #expect(try await Child.run(Launch(["true"]), input: bytes).status.isSuccess)
    }

    @Test("a standard input that is a pipe without input stays open until the program ends")
    func heldInput() async throws {
        // `cat` would end with 0 at the end of its input; 124 says that it had to be ended.
        var launch = Launch(["timeout", "0.1", "cat"])
        launch.standardInput = .pipe
        #expect(try await Child.run(launch).status == .exited(124))
    }

    @Test("the end is seen although a process left behind holds the pipes")
    func grandchild() async throws {
        let output = try await Child.run(shell("sleep 3600 & echo $!; exit 4"))
        #expect(output.status == .exited(4))
        let left = try #require(Int32(output.text.dropLast()))
        #expect(kill(left, SIGKILL) == 0)
    }

    @Test("a program that is not there is an error that names it")
    func missing() async throws {
        let error = await #expect(throws: SystemError.self) { try await Child.run(Launch(["no-such-program"])) }
        #expect(error?.code == ENOENT)
        #expect(error?.description.contains("no-such-program") == true)
        await #expect(throws: SystemError.self) { try await Child.run(Launch([])) }
    }

    @Test("nothing is inherited but what is named")
    func inheritance() async throws {
        let (left, right) = try Stream.pair()
        var launch = shell("ls /proc/self/fd; pwd; echo \"$A-$HOME\"; grep SigBlk /proc/self/status")
        launch.environment = ["A": "b c", "PATH": "/usr/bin:/bin"]
        launch.directory = "/usr"
        let lines = try await Child.run(launch).text.split(separator: "\n").map(String.init)
        // ls itself holds 3, the folder it lists.
        #expect(lines == ["0", "1", "2", "3", "/usr", "b c-", "SigBlk:\t0000000000000000"])
        withExtendedLifetime((left, right)) {}
    }

    @Test("signals that the parent ignores are at their default in the child")
    func signals() async throws {
        // SIGPIPE is ignored here, since streams exist.
        let output = try await Child.run(shell("yes | head -n 1 >/dev/null; grep SigIgn /proc/self/status"))
        let ignored = try #require(UInt64(output.text.dropFirst("SigIgn:\t".count).dropLast(), radix: 16))
        // posix_spawn itself ignores the two signals that glibc keeps for its threads, 32 and 33.
        #expect(ignored & ~0x1_8000_0000 == 0)
    }

    @Test("a descriptor of the caller's becomes the child's standard output, and stays the caller's")
    func descriptor() async throws {
        let (left, right) = try Stream.pair()
        var launch = shell("echo hello")
        launch.standardOutput = try right.withDescriptor { .descriptor($0) }
        let child = try await Child.spawn(launch)
        #expect(await child.wait() == .exited(0))
        #expect(try await left.read() == Array("hello\n".utf8))
        try await right.write([1])
        #expect(try await left.read() == [1])
    }

    @Test("a channel is the child's descriptor 3, goes both ways, and ends when either side closes it")
    func channel() async throws {
        var launch = shell("ls /proc/self/fd; echo hello >&3; cat <&3; exec 3>&-; sleep 3600")
        launch.hasChannel = true
        let child = try await Child.spawn(launch)
        let channel = try #require(child.channel)
        #expect(try await channel.read() == Array("hello\n".utf8))
        // ls itself holds 4, the folder it lists.
        #expect(try await child.standardOutput?.read() == Array("0\n1\n2\n3\n4\n".utf8))
        try await channel.write(Array("line\n".utf8))
        #expect(try await child.standardOutput?.read() == Array("line\n".utf8))
        channel.shutdownWrite()
        #expect(try await channel.read() == [])
        child.signal(SIGKILL, toGroup: true)
        #expect(await child.wait() == .signalled(SIGKILL))
        #expect(try await Child.run(shell("true")).status.isSuccess)
    }

    @Test("a signal reaches the child; later ones do nothing")
    func signal() async throws {
        let child = try await Child.spawn(Launch(["sleep", "3600"]))
        child.signal(SIGINT)
        async let first = child.wait()
        async let second = child.wait()
        #expect(await [first, second] == [.signalled(SIGINT), .signalled(SIGINT)])
        child.signal(SIGINT)
        child.signal(SIGINT, toGroup: true)
        #expect(await child.wait() == .signalled(SIGINT))
    }

    @Test("terminating ends the whole group, also what ignores SIGTERM")
    func terminateGroup() async throws {
        // The inner shell ignores SIGTERM and outlives its parent, which does not.
        let child = try await Child.spawn(
            shell("sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1; done' & wait"))
        let printed = try #require(try await child.standardOutput?.read())
        let inner = try #require(Int32(String(decoding: printed, as: UTF8.self).dropLast()))
        await child.terminate(grace: .seconds(3600))
        #expect(await child.wait() == .signalled(SIGTERM))
        try await expectEnd(of: inner)
    }

    @Test("a program that ignores SIGTERM gets SIGKILL after the grace")
    func grace() async throws {
        let child = try await Child.spawn(shell("trap '' TERM; echo ready; while :; do sleep 1; done"))
        _ = try await child.standardOutput?.read()
        await child.terminate(grace: .milliseconds(20))
        #expect(await child.wait() == .signalled(SIGKILL))
    }

    @Test("cancelling a run ends its group and throws")
    func cancelled() async throws {
        let (left, right) = try Stream.pair()
        var launch = shell("sleep 3600 & echo $! >&0; wait")
        launch.standardInput = try right.withDescriptor { .descriptor($0) }
        let running = Task { [launch] in try await Child.run(launch) }
        let inner = try #require(Int32(String(decoding: try await left.read(), as: UTF8.self).dropLast()))
        running.cancel()
        await #expect(throws: CancellationError.self) { try await running.value }
        try await expectEnd(of: inner)
    }

    @Test("many short programs at once are all reaped")
    func many() async throws {
        try await withThrowingTaskGroup(of: Ending.self) { group in
            for index in 0..<40 { group.addTask { try await Child.run(shell("exit \(index)")).status } }
            var codes: Set<Int32> = []
            for try await status in group { codes.insert(status.shellCode) }
            #expect(codes == Set(0..<40))
        }
    }

    /// Waits until a process that is not ours to wait for is gone.
    private func expectEnd(of pid: Int32) async throws {
        let stream = "/proc/\(pid)/status"
        while access(stream, F_OK) == 0 {
            // Whoever adopted it may take a while to reap it: dead is enough.
            let output = try await Child.run(Launch(["cat", stream]))
            if output.text.contains("State:\tZ") { return }
        }
    }
}
