import Glibc
import Reactor
import Testing

@Suite("The leash")
struct LeashTests {
    private func start(_ script: String, grace: Int = 200, options: [String] = []) async throws -> Child {
        var launch = Launch([Built.leash] + options + ["--grace-ms", "\(grace)", "--", "sh", "-c", script])
        launch.standardInput = .pipe
        return try await Child.spawn(launch)
    }

    private func numbers(_ child: Child, count: Int) async throws -> [Int32] {
        var text = ""
        while let bytes = try await child.standardOutput?.read(), !bytes.isEmpty {
            text += bytes.text
            let numbers = text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            if numbers.count >= count, text.hasSuffix("\n") { return numbers }
        }
        Issue.record("only \(text)")
        return []
    }

    @Test("the exit code is passed on, and standard input is empty")
    func exitCode() async throws {
        let child = try await start("cat; echo out; exit 7")
        #expect(try await child.standardOutput?.read() == [UInt8]("out\n"))
        #expect(await child.wait() == .exited(7))
    }

    @Test("a program's death by a signal becomes the leash's own")
    func signalDeath() async throws {
        #expect(try await start("kill -KILL $$").wait() == .signalled(SIGKILL))
        #expect(try await start("kill -SEGV $$").wait() == .signalled(SIGSEGV))
    }

    @Test("a program that does not exist is 127, a wrong command line 2")
    func mistakes() async throws {
        var launch = Launch([Built.leash, "--", "/no/such/program"])
        launch.standardInput = .pipe
        #expect(try await Child.spawn(launch).wait() == .exited(127))
        for arguments in [[], ["sh"], ["--"], ["--grace-ms", "x", "--", "sh"], ["--grace-ms"]] {
            #expect(try await Child.run(Launch([Built.leash] + arguments)).status == .exited(2))
        }
    }

    @Test(
        "with --group what the program leaves behind stays when it ends by itself, and ends with it when it is let go")
    func groupOnly() async throws {
        let left = try await start("sleep 1000 & echo $!", options: ["--group"])
        let server = try await numbers(left, count: 1)
        #expect(await left.wait() == .exited(0))
        let pid = try #require(server.first)
        #expect(kill(pid, 0) == 0)
        kill(pid, SIGKILL)

        let held = try await start(
            "trap '' TERM; sleep 1000 & echo $!; while :; do sleep 1; done", options: ["--group"])
        let child = try #require(try await numbers(held, count: 1).first)
        held.standardInput?.close()
        #expect(await held.wait() == .signalled(SIGKILL))
        // Dead, though perhaps not yet reaped by whoever adopted it.
        let state = Disk.bytes("/proc/\(child)/stat").map(\.text)
        #expect(state == nil || state?.contains(") Z ") == true)
    }

    @Test("TERM and INT are forwarded to the group", arguments: [SIGTERM, SIGINT])
    func forwarded(_ number: Int32) async throws {
        let child = try await start(
            "trap 'echo got; exit 5' \(number); echo $$; while :; do sleep 1000 & wait; done", grace: 5000)
        _ = try await numbers(child, count: 1)
        child.signal(number)
        #expect(try await child.standardOutput?.read() == [UInt8]("got\n"))
        #expect(await child.wait() == .exited(5))
    }

    @Test("when the pipe closes, everything ends: the group, and who left it and ignores TERM")
    func pipeCloses() async throws {
        let child = try await start(
            """
            trap '' TERM
            setsid sh -c 'trap "" TERM; echo $$; while :; do sleep 1; done' &
            sh -c 'echo $$; exec sleep 1000' &
            echo $$
            while :; do sleep 1; done
            """)
        let pids = try await numbers(child, count: 3)
        #expect(pids.allSatisfy(isAlive))
        child.standardInput?.close()
        #expect(await child.wait() == .signalled(SIGKILL))
        #expect(!pids.contains(where: isAlive))
    }

    @Test("stopped processes are woken to see SIGTERM, long before the grace")
    func wakesStopped() async throws {
        let child = try await start(
            """
            setsid sh -c 'trap "echo asked; exit" TERM; echo $$; kill -STOP $$; while :; do sleep 0.05; done' &
            trap 'echo got; exit 5' TERM
            echo $$
            kill -STOP $$
            while :; do sleep 0.05; done
            """, grace: 3_600_000)
        for pid in try await numbers(child, count: 2) {
            #expect(await eventually { Disk.text("/proc/\(pid)/stat")?.contains(") T ") == true })
        }
        child.standardInput?.close()
        var text = ""
        while let bytes = try await child.standardOutput?.read(), !bytes.isEmpty { text += bytes.text }
        #expect(text.split(separator: "\n").sorted() == ["asked", "got"])
        #expect(await child.wait() == .exited(5))
    }

    @Test("what a program leaves behind when it ends by itself is ended too")
    func leftovers() async throws {
        let child = try await start(
            "trap 'exit 4' USR1; P=$$ setsid sh -c 'echo $$; kill -USR1 $P; exec sleep 1000' & wait")
        let pids = try await numbers(child, count: 1)
        #expect(await child.wait() == .exited(4))
        #expect(!pids.contains(where: isAlive))
    }

    @Test("kill -9 of the holder leaves nothing")
    func holderKilled() async throws {
        // The holder: a shell whose pipe to the leash closes with its death.
        let script = """
            { while :; do sleep 1000; done; } | setsid \(Built.leash) --grace-ms 200 -- sh -c \
            'trap "" TERM; (trap "" TERM; while :; do sleep 1; done) & echo $$ $!; while :; do sleep 1; done' &
            wait
            """
        var launch = Launch(["sh", "-c", script])
        launch.standardInput = .pipe
        let holder = try await Child.spawn(launch)
        let pids = try await numbers(holder, count: 2)
        #expect(pids.allSatisfy(isAlive))
        holder.signal(SIGKILL, toGroup: true)
        for pid in pids { #expect(await eventually { !isAlive(pid) }) }
    }

    @Test(
        "SIGTERM comes once, to what has left the group when its parent has ended, and long before the grace"
    )
    func asksOnce() async throws {
        let child = try await start(
            """
            setsid sh -c 'trap "echo asked; exit" TERM; echo $$; while :; do sleep 0.05; done' &
            trap 'echo got; n=0' TERM
            echo $$
            while [ -z "$n" ]; do sleep 0.05; done
            while [ $n -lt 8 ]; do sleep 0.05; n=$((n + 1)); done
            """, grace: 3_600_000)
        _ = try await numbers(child, count: 2)
        child.standardInput?.close()
        var text = ""
        while let bytes = try await child.standardOutput?.read(), !bytes.isEmpty { text += bytes.text }
        #expect(text == "got\nasked\n")
        #expect(await child.wait() == .exited(0))
    }

    @Test("with --report the holder is told the program's pid, or why there is none")
    func reports() async throws {
        func report(_ command: [String]) async throws -> (child: Child, number: Int32) {
            var launch = Launch([Built.leash, "--hold-fd", "3", "--report", "--"] + command)
            launch.hasChannel = true
            let child = try await Child.spawn(launch)
            let bytes = try #require(try await child.channel?.read())
            try #require(bytes.count == 4)
            return (child, bytes.withUnsafeBytes { $0.loadUnaligned(as: Int32.self) })
        }
        let (child, pid) = try await report(["sh", "-c", "echo $$; exec sleep 1000"])
        #expect(try await numbers(child, count: 1) == [pid])
        child.channel?.close()
        #expect(await child.wait() == .signalled(SIGTERM))
        let (missing, failure) = try await report(["/no/such/program"])
        #expect(failure == -ENOENT)
        #expect(await missing.wait() == .exited(127))
        #expect(try await missing.standardError?.read() == [])
    }

    @Test("another descriptor may be the one that is held")
    func holdDescriptor() async throws {
        let script =
            "exec \(Built.leash) --hold-fd 3 --grace-ms 200 -- sh -c 'cat; echo $$; sleep 1000' 3<&0 0</dev/null"
        var launch = Launch(["sh", "-c", script])
        launch.standardInput = .pipe
        let child = try await Child.spawn(launch)
        let pids = try await numbers(child, count: 1)
        child.standardInput?.close()
        #expect(await child.wait() == .signalled(SIGTERM))
        #expect(!pids.contains(where: isAlive))
    }
}
