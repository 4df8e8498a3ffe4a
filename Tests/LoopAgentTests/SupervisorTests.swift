import Glibc
import Reactor
import Testing
import Wire

@Suite("The supervisor", .timeLimit(.minutes(5)))
struct SupervisorTests {
    private static let idle = "exec sleep 1000"

    @Test(
        "while nobody follows, the service's end is the container's",
        arguments: [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 128 + 9), ("kill -SEGV $$", 128 + 11)])
    func passesEnd(_ script: String, _ code: Int32) async throws {
        try await Supervised.run(script) { supervised, _ in
            #expect(await supervised.child.wait() == .exited(code))
        }
    }

    @Test("input, output, environment, folder and arguments are the service's, and it leads a group of its own")
    func inherits() async throws {
        try await withFolder { folder in
            let script = "cat; pwd; echo $A \"$1\"; echo oops >&2; echo $$ $(cut -d ' ' -f 5 /proc/$$/stat)"
            let supervised = try await Supervised.start(
                ["sh", "-c", script, "sh", "a b"], in: folder,
                environment: ["PATH": "/usr/bin:/bin", "A": "b"], directory: "/usr")
            try await supervised.child.standardInput?.write([UInt8]("in\n"))
            supervised.child.standardInput?.close()
            #expect(await supervised.child.wait() == .exited(0))
            let lines = try await supervised.printed().split(separator: "\n")
            try #require(lines.count == 4)
            #expect(lines[..<3] == ["in", "/usr", "b a b"])
            let numbers = lines[3].split(separator: " ")
            #expect(numbers.count == 2 && numbers[0] == numbers[1])
            #expect(try await supervised.child.standardError?.read().text == "oops\n")
        }
    }

    @Test("a program that cannot be started ends the container as a shell does, with a line that says why")
    func cannotStart() async throws {
        try await withFolder { folder in
            Disk.write(folder + "/text", "echo hi\n", mode: 0o755)
            Disk.write(folder + "/orphan", "#!/no/such/interpreter\n", mode: 0o755)
            Disk.write(folder + "/plain", "#!/bin/sh\n")
            for (program, code, word) in [
                ("/no/such", 127, "/no/such: no such program"), ("no-such", 127, "no-such: no such program"),
                (folder + "/orphan", 127, "interpreter"), (folder + "/text", 126, "#!"),
                (folder + "/plain", 126, "not executable"),
            ] {
                let supervised = try await Supervised.start([program], in: folder)
                #expect(await supervised.child.wait() == .exited(Int32(code)))
                let line = try await supervised.child.standardError?.read().text ?? ""
                #expect(line.contains(word) && line.hasPrefix("loopd: ") && line.hasSuffix("\n"), "\(line)")
            }
        }
    }

    @Test(
        "signals reach the service's main process",
        arguments: [SIGHUP, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGCONT, 37] as [Int32])
    func forwards(_ number: Int32) async throws {
        let script = "trap 'echo got; exit 5' \(number); echo ready; while :; do sleep 1000 & wait; done"
        try await Supervised.run(script) { supervised, _ in
            let ready = try await supervised.printed()
            #expect(ready == "ready\n")
            supervised.child.signal(number)
            #expect(try await supervised.printed() == "got\n")
            #expect(await supervised.child.wait() == .exited(5))
        }
    }

    @Test(
        "a stop signal from outside waits for the service and ends with its code, also while it is followed",
        arguments: [SIGTERM, SIGINT, SIGQUIT])
    func stops(_ number: Int32) async throws {
        let script = "trap 'echo got; read x; exit 6' \(number); echo ready; while :; do sleep 1000 & wait; done"
        try await Supervised.run(script) { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            #expect(try await supervised.printed() == "ready\n")
            supervised.child.signal(number)
            #expect(try await supervised.printed() == "got\n")
            #expect(try await client.refusal(.restart(graceMilliseconds: 0)).code == ESHUTDOWN)
            try await supervised.child.standardInput?.write([10])
            #expect(try await following.untilEnded() == .code(6))
            #expect(await supervised.child.wait() == .exited(6))
            guard case .failure(let failure)? = await client.receive(on: following.stream) else {
                Issue.record("the stream goes on without a supervisor")
                return
            }
            #expect(failure.operation == .service)
            try await client.end()
        }
    }

    @Test("while somebody follows, the service's end is a state, and a restart starts it again")
    func outlives() async throws {
        try await Supervised.run("[ -e $F/end ] && exit 3; echo $$; exec sleep 1000") { supervised, folder in
            let client = try await supervised.connect()
            let following = try await client.follow()
            let first = try await following.untilRunning()
            #expect(first.starts == 1)
            #expect(try await supervised.printed() == "\(first.pid)\n")
            Disk.write(folder + "/end", "")
            _ = try await client.restart()
            #expect(try await following.untilEnded() == .code(3))
            #expect(try await client.service(.state) == .ended(.code(3), starts: 2))
            #expect(isAlive(supervised.child.pid))
            unlink(folder + "/end")
            let pid = try await client.restart()
            #expect(try await following.untilRunning(starts: 3).pid == pid)
            #expect(try await supervised.printed() == "\(pid)\n")
            #expect(kill(pid, SIGKILL) == 0)
            #expect(try await following.untilEnded() == .signal(SIGKILL))
            try await client.end()
            #expect(await supervised.child.wait() == .exited(128 + SIGKILL))
        }
    }

    @Test("a service whose program is yet to be brought waits for its first follower, a while or until a stop signal")
    func waitsForFirst() async throws {
        try await withFolder { folder in
            let program = folder + "/program"
            let patient = try await Supervised.start([program], in: folder, options: ["--patience", "3600"])
            defer { patient.child.signal(SIGKILL) }
            let client = try await patient.connect()
            let following = try await client.follow()
            #expect(try await following.untilEnded() == .code(127))
            Disk.write(program, "#!/bin/sh\nexec sleep 1000\n", mode: 0o755)
            _ = try await client.restart()
            kill(try await client.restart(), SIGKILL)
            #expect(try await following.untilEnded() == .signal(SIGKILL))
            // From now on the last follower's end is the container's, as ever.
            try await client.end()
            #expect(await patient.child.wait() == .exited(128 + SIGKILL))
        }
        try await withFolder { folder in
            let impatient = try await Supervised.start(["/none"], in: folder, options: ["--patience", "1"])
            #expect(await impatient.child.wait() == .exited(127))
            let stopped = try await Supervised.start(["/none"], in: folder, options: ["--patience", "3600"])
            let client = try await stopped.connect()
            stopped.child.signal(SIGTERM)
            #expect(await stopped.child.wait() == .exited(127))
            client.child.signal(SIGKILL)
        }
    }

    @Test("a held service is down until it is released")
    func holds() async throws {
        try await Supervised.run(SupervisorTests.idle) { supervised, _ in
            let client = try await supervised.connect()
            let refusal = try await client.refusal(.hold(graceMilliseconds: 60_000))
            #expect(refusal.code == EPERM)
            let following = try await client.follow()
            let first = try await following.untilRunning()
            #expect(try await client.service(.hold(graceMilliseconds: 60_000)) == .held)
            #expect(!isAlive(first.pid))
            try await following.until(.held)
            #expect(try await client.service(.hold(graceMilliseconds: 60_000)) == .held)
            #expect(try await client.service(.restart(graceMilliseconds: 60_000)) == .held)
            #expect(try await client.refusal(.signal(SIGHUP)).code == ESRCH)
            guard case .running(let pid, 2) = try await client.service(.release) else { throw Unexpected(message: nil) }
            #expect(isAlive(Int32(pid)))
            // Not held any more: nothing to release.
            #expect(try await client.service(.release) == .running(pid: pid, starts: 2))
            try await client.end()
            #expect(isAlive(Int32(pid)))
        }
    }

    @Test("a stop signal ends at once what is held or has ended")
    func stopsWithoutService() async throws {
        try await Supervised.run(SupervisorTests.idle) { supervised, _ in
            let client = try await supervised.connect()
            _ = try await client.follow()
            try await client.service(.hold(graceMilliseconds: 60_000))
            supervised.child.signal(SIGTERM)
            #expect(await supervised.child.wait() == .exited(128 + SIGTERM))
            try await client.end()
        }
        try await Supervised.run(SupervisorTests.idle) { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            kill(try await following.untilRunning().pid, SIGUSR1)
            _ = try await following.untilEnded()
            supervised.child.signal(SIGTERM)
            #expect(await supervised.child.wait() == .exited(128 + SIGUSR1))
            try await client.end()
        }
    }

    /// The ways in which the last follower can go.
    enum Parting: CaseIterable { case unfollows, hangsUp, isKilled, isSilent }

    @Test("when who holds a service goes, it is started again, whoever else follows it", arguments: Parting.allCases)
    func handsBack(_ parting: Parting) async throws {
        try await Supervised.run("echo $$; exec sleep 1000") { supervised, _ in
            let client = try await supervised.connect()
            let other = try await supervised.connect()
            _ = try await other.follow()
            let watcher = try await supervised.connect()
            let watching = try await watcher.follow()
            let following = try await client.follow()
            try await client.service(.hold(graceMilliseconds: 60_000))
            _ = try await supervised.printed()
            // Whoever else there is has no say in it.
            #expect(try await watcher.service(.release) == .held)
            try await other.end()
            #expect(try await client.service(.state) == .held)
            try await part(following, parting)
            let pid = try #require(Int32(try await supervised.printed().dropLast()))
            #expect(try await watching.untilRunning(starts: 2).pid == pid)
            #expect(isAlive(pid))
            try await watcher.end()
        }
    }

    @Test("a service that two hold is down until neither does")
    func holdsTwice() async throws {
        try await Supervised.run(SupervisorTests.idle) { supervised, _ in
            let first = try await supervised.connect()
            let following = try await first.follow()
            let second = try await supervised.connect()
            #expect(try await second.refusal(.hold(graceMilliseconds: 60_000)).code == EPERM)
            _ = try await second.follow()
            for client in [first, second] {
                #expect(try await client.service(.hold(graceMilliseconds: 60_000)) == .held)
            }
            try await first.send(.service(.unfollow), on: following.stream)
            #expect(try await first.service(.state) == .held)
            // Who follows again does not hold again.
            _ = try await first.follow()
            guard case .running(let pid, 2) = try await second.service(.release) else { throw Unexpected(message: nil) }
            #expect(isAlive(Int32(pid)))
            #expect(try await first.service(.hold(graceMilliseconds: 60_000)) == .held)
            try await first.end()
            try await second.end()
        }
    }

    @Test(
        "when the last follower goes, a service that has ended takes the container with it", arguments: Parting.allCases
    )
    func ends(_ parting: Parting) async throws {
        try await Supervised.run(SupervisorTests.idle) { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            kill(try await following.untilRunning().pid, SIGKILL)
            _ = try await following.untilEnded()
            try await part(following, parting)
            #expect(await supervised.child.wait() == .exited(128 + SIGKILL))
        }
    }

    private func part(_ following: Following, _ parting: Parting) async throws {
        let client = following.client
        switch parting {
        case .unfollows: try await client.send(.service(.unfollow), on: following.stream)
        case .hangsUp: await client.hangUp()
        case .isKilled: client.child.signal(SIGKILL)
        case .isSilent:
            // A second follow with the shortest heartbeat, and then not a word.
            try await client.send(.service(.follow(heartbeatSeconds: 1)), on: client.newStream())
            #expect(await client.child.wait() == .exited(0))
        }
    }

    @Test("only the service's own three descriptors are open in it, also after a restart that others watch")
    func keepsDescriptors() async throws {
        try await Supervised.run("exec sleep 1000") { supervised, _ in
            let client = try await supervised.connect()
            let first = try await client.follow().untilRunning().pid
            #expect(await eventually { Disk.names("/proc/\(first)/fd") == ["0", "1", "2"] })
            let second = try await client.restart()
            #expect(await eventually { Disk.names("/proc/\(second)/fd") == ["0", "1", "2"] })
            try await client.end()
        }
    }

    @Test("orphans are reaped")
    func reaps() async throws {
        let script = "for i in 1 2 3 4 5; do sh -c '(sleep 0.01; sleep 0.01) & echo $!'; done; exec sleep 1000"
        try await Supervised.run(script) { supervised, _ in
            var text = ""
            while text.filter({ $0 == "\n" }).count < 5 { text += try await supervised.printed() }
            let orphans = text.split(separator: "\n").compactMap { Int32($0) }
            #expect(orphans.count == 5)
            // Not even a zombie stays.
            for orphan in orphans { #expect(await eventually { kill(orphan, 0) < 0 }) }
        }
    }

    @Test("as process 1 it reaps, forwards, restarts and ends as elsewhere", .enabled(if: geteuid() == 0, "needs root"))
    func isProcessOne() async throws {
        let script = "trap 'exit 9' TERM; echo $$ $PPID; while :; do sleep 1000 & wait; done"
        let wrapper = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
        try await Supervised.run(script, wrapper: wrapper) { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            let first = try await following.untilRunning().pid
            #expect(try await supervised.printed() == "\(first) 1\n")
            let second = try await client.restart()
            #expect(try await supervised.printed() == "\(second) 1\n")
            try await client.service(.signal(SIGTERM))
            #expect(try await following.untilEnded() == .code(9))
            try await client.end()
            #expect(await supervised.child.wait() == .exited(9))
        }
    }

    @Test("a service on a terminal is in its foreground")
    func takesTerminal() async throws {
        try await withFolder { folder in
            let command = "\(Built.helper) supervise --state \(folder) -- sh -c 'read x; echo got $x'"
            var launch = Launch(["script", "-qec", command, "/dev/null"])
            launch.standardInput = .pipe
            let child = try await Child.spawn(launch)
            try await child.standardInput?.write([UInt8]("hello\n"))
            #expect(await child.wait() == .exited(0))
            #expect(try await child.standardOutput?.read().text.contains("got hello") == true)
        }
    }

    @Test("a dead supervisor's socket is replaced, a live one's is not, and the service runs without one all the same")
    func socket() async throws {
        try await Supervised.run("echo first; exec sleep 1000") { supervised, folder in
            let client = try await supervised.connect()
            try await client.end()
            #expect(Disk.mode(folder + "/s") == 0o600)
            let second = try await Supervised.start(["echo", "second"], in: folder)
            #expect(await second.child.wait() == .exited(0))
            #expect(try await second.printed() == "second\n")
            #expect(try await second.child.standardError?.read().text.contains("another supervisor") == true)
            supervised.child.signal(SIGKILL)
            _ = await supervised.child.wait()
            #expect(Disk.exists(folder + "/s"))
            let third = try await Supervised.start(["sleep", "1000"], in: folder)
            let next = try await third.connect()
            try await next.end()
            third.child.signal(SIGTERM)
            #expect(await third.child.wait() == .exited(128 + SIGTERM))
            #expect(!Disk.exists(folder + "/s"))

            let nowhere = try await Supervised.start(["echo", "runs"], in: folder + "/missing")
            #expect(await nowhere.child.wait() == .exited(0))
            #expect(try await nowhere.printed() == "runs\n")
        }
    }

    @Test("without a supervisor there is no capability, and every request is refused with a reason")
    func missing() async throws {
        try await withFolder { folder in
            let client = try await HelperClient.start(["serve", "--state", folder])
            #expect(try await !client.greet().capabilities.contains(.service))
            let failure = try await client.refusal(.state)
            #expect(failure.code == ENOENT && failure.operation == .service)
            #expect(failure.text.text.contains("dev mode"))
            try await client.end()
        }
    }

    @Test(
        "a command line that makes no sense is refused",
        arguments: [[], ["--"], ["--state"], ["sleep", "1"], ["--patience", "--", "x"]])
    func refusesNonsense(_ arguments: [String]) async throws {
        #expect(try await Child.run(Launch([Built.helper, "supervise"] + arguments)).status == .exited(2))
    }
}
