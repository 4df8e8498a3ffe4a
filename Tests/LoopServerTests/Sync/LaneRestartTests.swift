import Glibc
import Reactor
import Testing
import Watcher

@testable import LoopServer

@Suite("A service that is restarted in place", .turn) struct LaneRestartTests {
    /// A service that notes its content and its process id, and then waits.
    private static func script(_ word: String, then last: String = "exec sleep 100000") -> String {
        "#!/bin/sh\necho \(word) $$ >>\"$(dirname \"$0\")/../../ran\"\n\(last)\n"
    }

    /// A lane whose container runs `srv/app/tool` under a real supervisor, and what lies there at first.
    private func fixture(
        _ initial: String? = script("old"), then: [Step] = [.restart(.process)], hooks: Hooks? = nil
    ) async throws -> LaneFixture {
        let fixture = try LaneFixture(then: then, hooks: hooks)
        if let initial { try fixture.container.write("srv/app/tool", initial, mode: 0o755) }
        try fixture.project.write("app/tool", LaneRestartTests.script("new"), mode: 0o755)
        try await fixture.local.supervise(
            [fixture.container.path + "/srv/app/tool"], state: fixture.container.path + "/state")
        try await runs("old", fixture)
        return fixture
    }

    /// The words that services have noted, in order.
    private func ran(_ fixture: LaneFixture) -> [(word: String, pid: UInt32)] {
        (fixture.container.read("ran") ?? "").split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            return words.count == 2 ? (String(words[0]), UInt32(words[1]) ?? 0) : nil
        }
    }

    /// Waits until a service with this word has been started last.
    private func runs(_ word: String, _ fixture: LaneFixture) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while ran(fixture).last?.word != word {
            try #require(
                ContinuousClock.now < deadline,
                "\(word) does not run; ran: \(ran(fixture)), said: \(fixture.events.all)")
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    private func save(_ text: String, _ fixture: LaneFixture) async throws {
        try fixture.project.write("app/tool", text, mode: 0o755)
        await fixture.settle(["app/tool"])
    }

    @Test("what a first comparison changed is taken up by one restart, each save by one, and nothing else by any")
    func restarts() async throws {
        let fixture = try await fixture()
        await fixture.start()
        try await runs("new", fixture)
        #expect(fixture.events.restarted == [ran(fixture)[1].pid])
        try await save(LaneRestartTests.script("newer"), fixture)
        try await runs("newer", fixture)
        #expect(fixture.events.restarted == ran(fixture).dropFirst().map(\.pid))
        // Another connection finds everything as it should be.
        fixture.local.killHelpers()
        try await fixture.until("second connection") { _ in
            fixture.events.all.count { if case .connected = $0 { true } else { false } } == 2
        }
        await fixture.lane.untilConverged()
        #expect(ran(fixture).map(\.word) == ["old", "new", "newer"])
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("a container that has everything is not restarted")
    func equal() async throws {
        let fixture = try await fixture(LaneRestartTests.script("old"))
        try fixture.project.write("app/tool", LaneRestartTests.script("old"), mode: 0o755)
        var status = stat()
        #expect(stat(fixture.container.path + "/srv/app/tool", &status) == 0)
        var times = [status.st_mtim, status.st_mtim]
        utimensat(AT_FDCWD, fixture.project.path + "/app/tool", &times, 0)
        await fixture.start()
        #expect(fixture.events.restarted.isEmpty)
        #expect(ran(fixture).map(\.word) == ["old"])
        await fixture.lane.end()
    }

    @Test("saves during a restart lead to one more, which runs the last content")
    func coalesces() async throws {
        let hooks = Hooks()
        let fixture = try await fixture(hooks: hooks)
        let (began, gate, first) = (Gate(), Gate(), Once())
        hooks.before { call in
            guard call == .restart, first.take() else { return }
            began.signal()
            await gate.pass()
        }
        await fixture.lane.survey()
        await fixture.lane.setInstances([LaneFixture.instance()])
        await began.pass()
        for number in 1...50 {
            try fixture.project.write("app/tool", LaneRestartTests.script("save-\(number)"), mode: 0o755)
            await fixture.lane.settle(ChangeSet(paths: [RelativePath("app/tool")]))
        }
        await fixture.lane.untilQuiet()
        gate.signal()
        await fixture.lane.untilConverged()
        try await runs("save-50", fixture)
        #expect(fixture.events.restarted.count == 2)
        await fixture.lane.end()
    }

    @Test("a program that dies at once is told with its exit code and last lines, and the next save heals it")
    func dies() async throws {
        let fixture = try await fixture()
        await fixture.start()
        try await save(LaneRestartTests.script("broken", then: "exit 3"), fixture)
        try await fixture.until("end") { if case .failed = $0 { true } else { false } }
        let failure = try #require(fixture.events.failed.first)
        #expect(failure.summary.hasPrefix("web-1: the service ended with exit code 3"), "\(failure.summary)")
        #expect(failure.details == fixture.pods.lines)
        #expect(failure.nextStep == "it stays down until the next change")
        try await save(LaneRestartTests.script("healed"), fixture)
        try await runs("healed", fixture)
        #expect(fixture.events.failed.count == 1)
        await fixture.lane.end()
    }

    @Test("a service that ends by itself is told: by a signal as a failure, without one as an end; each once")
    func endsByItself() async throws {
        let fixture = try await fixture()
        await fixture.start()
        try await runs("new", fixture)
        kill(pid_t(try #require(ran(fixture).last).pid), SIGSEGV)
        try await fixture.until("end") { if case .failed = $0 { true } else { false } }
        #expect(fixture.events.failed[0].summary.hasPrefix("web-1: the service ended by signal SEGV "))
        try await save(LaneRestartTests.script("short", then: "exit 0"), fixture)
        try await fixture.until("notice") { if case .notice = $0 { true } else { false } }
        let notices = fixture.events.all.compactMap { if case .notice(let text) = $0 { text } else { nil } }
        #expect(notices[0].hasPrefix("web-1: the service has ended (exit code 0)"), "\(notices)")
        #expect(notices.count == 1)
        #expect(fixture.events.failed.count == 1)
        // Nobody follows any more: the container ends as it would have without loopd.
        await fixture.lane.end()
        #expect(await fixture.local.supervisorEnd() == .exited(0))
    }

    @Test("a program that cannot be started is one line with the reason")
    func cannotStart() async throws {
        let fixture = try await fixture()
        await fixture.start()
        try await save("#!/no/such/interpreter\n", fixture)
        try await fixture.until("refusal") { if case .failed = $0 { true } else { false } }
        #expect(await !fixture.lane.isWhole)
        try await save(LaneRestartTests.script("healed"), fixture)
        try await runs("healed", fixture)
        let failures = fixture.events.failed
        #expect(failures.count == 1, "\(failures)")
        #expect(failures[0].summary.hasPrefix("web-1: cannot start the service again: "))
        await fixture.lane.end()
    }

    @Test("a restart whose answer is lost is made again: the way was cut after the request, or the helper killed in it")
    func owed() async throws {
        for isKilled in [false, true] {
            let hooks = Hooks()
            let fixture = try await fixture(hooks: hooks)
            await fixture.start()
            try await runs("new", fixture)
            let (first, local) = (Once(), fixture.local)
            let lose: Hooks.Body = { call in
                guard call == .restart, first.take() else { return }
                local.killHelpers()
                if !isKilled { throw LinkError.disconnected("cut") }
            }
            if isKilled { hooks.before(lose) } else { hooks.after(lose) }
            try await save(LaneRestartTests.script("newer"), fixture)
            try await runs("newer", fixture)
            #expect(hooks.calls.count { $0 == .restart } == 3, "\(hooks.calls)")
            #expect(fixture.events.restarted.count == 2)
            #expect(await fixture.lane.isWhole)
            await fixture.lane.end()
        }
    }

    @Test("a supervisor that ends takes the way with it; what comes up in its place is compared and restarted")
    func supervisorDies() async throws {
        let fixture = try await fixture()
        await fixture.start()
        try await runs("new", fixture)
        fixture.local.killSupervisor()
        _ = await fixture.local.supervisorEnd()
        try await fixture.local.supervise(
            [fixture.container.path + "/srv/app/tool"], state: fixture.container.path + "/state")
        try await fixture.until("second connection") { _ in
            fixture.events.all.count { if case .connected = $0 { true } else { false } } >= 2
        }
        try await save(LaneRestartTests.script("newer"), fixture)
        try await runs("newer", fixture)
        await fixture.lane.end()
    }

    @Test("a loopd that is killed between a commit and its steps leaves them to the next one")
    func killedBeforeSteps() async throws {
        let scratch = (try ScratchTree(), try ScratchTree(), try ScratchTree())
        try scratch.0.write("app/a", "1")
        let mark = scratch.1.path + "/mark"
        let step = Step.exec(["sh", "-c", "echo ran >>\(mark); exec sleep 100000"])
        let first = try LaneFixture(then: [step], reusing: scratch)
        await first.lane.survey()
        await first.lane.setInstances([LaneFixture.instance()])
        try await first.until("landed") { if case .landed = $0 { true } else { false } }
        // The step's own program writes it, and says so nowhere else.
        while first.container.read("mark") != "ran\n" { try await Task.sleep(for: .milliseconds(2)) }
        // As after a kill: nothing is said and nothing noted any more, and the kernel drops the journal's lock.
        await first.lane.setInstances([])
        first.local.killHelpers()
        unlink(scratch.2.path + "/journal.lock")
        let second = try LaneFixture(then: [.exec(["sh", "-c", "echo again >>\(mark)"])], reusing: scratch)
        await second.start()
        #expect(second.container.read("mark") == "ran\nagain\n")
        unlink(scratch.2.path + "/journal.lock")
        let third = try LaneFixture(then: [.exec(["sh", "-c", "echo never >>\(mark)"])], reusing: scratch)
        await third.start()
        #expect(third.container.read("mark") == "ran\nagain\n")
        for fixture in [first, second, third] { await fixture.lane.end() }
    }

    @Test("a signal reaches the service, which goes on")
    func signal() async throws {
        let trap = "trap 'echo hup $$ >>\"$(dirname \"$0\")/../../ran\"' HUP; while :; do sleep 0.01; done"
        let fixture = try await fixture(
            LaneRestartTests.script("old", then: trap), then: [.restart(.signal(SIGHUP))])
        let pid = try #require(ran(fixture).first).pid
        await fixture.start()
        try await runs("hup", fixture)
        #expect(ran(fixture).allSatisfy { $0.pid == pid })
        #expect(fixture.events.all.contains { if case .signalled("web-1", "HUP", _) = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("without a supervisor one line says what to do, and files go on landing")
    func noSupervisor() async throws {
        let fixture = try LaneFixture(then: [.restart(.process)])
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        try fixture.project.write("app/a.txt", "two")
        await fixture.settle(["app/a.txt"])
        try await fixture.untilEqual()
        #expect(fixture.events.failed.count == 1)
        #expect(fixture.events.failed[0].nextStep?.contains("\"dev\": true") == true)
        #expect(await !fixture.lane.isWhole)
        await fixture.lane.end()
    }
}
