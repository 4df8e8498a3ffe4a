import Glibc
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("A program on this machine", .turn)
struct HostProcessTests {
    @Test("runs in its folder with its variables; its own process is named, and both its outputs are shown")
    func starts() async throws {
        let script = "echo $$; pwd; printf 'a\\r\\n'; echo unfinished | tr -d '\\n'; echo $COLOUR >&2; exec sleep 1000"
        let host = try HostFixture(["sh", "-c", script], environment: ["COLOUR": "blue"])
        #expect(host.process.state == .down)
        host.process.start()
        try await host.untilUp()
        try await host.printed("blue")
        try await host.printed("a")
        let pid = try #require(host.pids.first)
        #expect(host.lines.contains("\(pid)") && host.lines.contains(host.folder.path))
        await host.end()
        #expect(host.lines.contains("unfinished"))
        #expect(kill(pid, 0) != 0)
        #expect(host.process.state == .down)
    }

    @Test(
        "an end by itself is told once with its reason, and the program stays down until it is asked for again",
        arguments: [
            ("exit 3", "exit code 3", false), ("kill -SEGV $$", "signal 11 (Segmentation fault)", false),
            ("exit 0", "exit code 0", true),
        ])
    func ends(script: String, status: String, isSuccess: Bool) async throws {
        let host = try HostFixture(["sh", "-c", "echo last; \(script)"])
        for round in 1...2 {
            host.process.restart(firstEvent: monotonicNow())
            let ends = try await host.found { events in
                let ends = events.filter { if case .hostEnded = $0 { true } else { false } }
                return ends.count == round ? ends : nil
            }
            guard case .hostEnded(status, isSuccess, _)? = ends.last else {
                Issue.record("\(ends)")
                continue
            }
            // All that it said comes before its end.
            let lastLine = host.log.all.lastIndex(of: .hostOutput(line: "last")) ?? .max
            #expect(lastLine < host.log.all.lastIndex(of: ends[round - 1]) ?? 0)
            try await host.untilEnded()
        }
        #expect(host.pids.count == 2)
        await host.end()
    }

    @Test("what cannot be started is named with what to do, and the next change tries again")
    func cannotStart() async throws {
        let folder = try ScratchTree()
        try folder.write("plain", "#!/bin/sh\n")
        try folder.write("odd", "#!/no/such/shell -x\n", mode: 0o755)
        for (command, summary, step) in [
            ("no-such-program", "there is no program \"no-such-program\"", "install it, or correct \"command\""),
            ("./nothing", "there is no program \"./nothing\"", "install it"),
            ("./plain", "./plain is not executable", "chmod +x \(folder.path)/plain"),
            ("./odd", "./odd is there, but not what runs it: /no/such/shell", "install that"),
        ] {
            let host = try HostFixture([command], in: folder)
            host.process.restart()
            let failure = try await host.found { events in
                events.lazy.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }.first
            }
            #expect(failure.summary == summary)
            #expect(failure.nextStep?.hasPrefix(step) == true, "\(failure)")
            try await host.until { $0 == .failed }
            #expect(host.log.all.count == 1, "\(host.log.all)")
            await host.end()
        }
        let host = try HostFixture(["true"], in: folder) { $0.directory = "/no/such/folder" }
        host.process.restart()
        _ = try await host.found { events in
            events.first {
                if case .failed(let failure) = $0 {
                    failure.summary.contains("no folder /no/such/folder")
                } else {
                    false
                }
            }
        }
        await host.end()
    }

    @Test("is ready when it listens at its port, and never before; the time is from the change")
    func ready() async throws {
        let port = try HostFixture.freePort()
        let host = try HostFixture(["PROBE", "serve", "\(port)", "50"], ports: [port])
        #expect(await !host.process.untilUp(limit: .milliseconds(1)))
        let changed = monotonicNow() - 5_000_000_000
        host.process.restart(firstEvent: changed)
        #expect(await host.process.untilUp(limit: .seconds(120)))
        #expect(host.process.state == .up([port]))
        let pid = try #require(host.pids.first)
        #expect(try await HostFixture.answer(at: port) == "\(pid)\n")
        let milliseconds = try await host.found { events in
            events.lazy.compactMap { if case .hostReady([port], let time) = $0 { time } else { nil } }.first
        }
        #expect(milliseconds > 5000)
        #expect(try ListeningPorts.now().address(of: port) == "127.0.0.1")
        await host.process.stop()
        #expect(host.process.state == .down)
        await #expect(throws: (any Error).self) { try await HostFixture.answer(at: port) }
        await host.end()
    }

    @Test("a program that listens at some of its ports only is ready with those")
    func someOfThem() async throws {
        let (port, other) = (try HostFixture.freePort(), try HostFixture.freePort())
        let host = try HostFixture(["PROBE", "serve", "\(port)"], ports: [other, port])
        host.process.start()
        try await host.untilUp()
        #expect(host.process.state == .up([port]))
        await host.end()
    }

    @Test("a program that listens elsewhere is told once where, and one that listens nowhere once that it does not")
    func wrongPort() async throws {
        let (port, other) = (try HostFixture.freePort(), try HostFixture.freePort())
        let patience = HostReadiness.Patience(elsewhere: .milliseconds(20), nowhere: .milliseconds(60))
        // The server is a child of the program in a session of its own.
        let host = try HostFixture(
            ["sh", "-c", "setsid PROBE serve \(other) & wait"], ports: [port], patience: patience
        ) { $0.ports = [HostPort(container: 80, host: port)] }
        host.process.start()
        let told = try await host.found { events in
            events.lazy.compactMap { if case .notice(let text) = $0, text.contains(", not at") { text } else { nil } }
                .first
        }
        #expect(told.hasPrefix("the program listens at \(other), not at \(port)"))
        #expect(told.hasSuffix("{\"container\": 80, \"host\": \(other)}"))
        #expect(host.process.state == .starting)
        await host.end()

        let silent = try HostFixture(["sleep", "1000"], ports: [port], patience: patience)
        silent.process.start()
        _ = try await silent.found { events in
            events.first { $0 == .notice("the program runs, and does not listen at \(port) yet") }
        }
        await silent.end()
        #expect(silent.notices.count == 1)
    }

    @Test("a port that another process has is told with that process, and nothing is started until it is free")
    func taken() async throws {
        let port = try HostFixture.freePort()
        let other = try await Child.spawn(Launch([Built.probe, "serve", "\(port)"]))
        while try ListeningPorts.now().address(of: port) == nil { try await Task.sleep(for: .milliseconds(5)) }
        let host = try HostFixture(["PROBE", "serve", "\(port)"], ports: [port])
        host.process.restart()
        let failure = try await host.found { events in
            events.lazy.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }.first
        }
        #expect(failure.summary == "port \(port) is taken by Probe (process \(other.pid))")
        #expect(failure.nextStep?.hasPrefix("end it (kill \(other.pid))") == true)
        try await host.until { $0 == .failed }
        #expect(host.pids.isEmpty)
        await other.terminate(grace: .seconds(60))
        host.process.restart()
        try await host.untilUp()
        await host.end()
    }

    @Test("restarts while one is under way become one, which counts from the first change that nobody has seen")
    func coalesces() async throws {
        let port = try HostFixture.freePort()
        let script = """
            test -e good && exec PROBE serve \(port)
            trap 'sleep 0.5; exit' TERM
            echo waits
            while :; do sleep 0.05; done
            """
        let host = try HostFixture(["sh", "-c", script], ports: [port])
        let changed = monotonicNow()
        host.process.restart(firstEvent: changed - 7_000_000_000)
        try await host.printed("waits")
        try host.folder.write("good", "")
        for back in 1...20 { host.process.restart(firstEvent: changed - UInt64(back)) }
        try await host.untilUp()
        #expect(host.pids.count == 2)
        let milliseconds = try await host.found { events in
            events.lazy.compactMap { if case .hostReady(_, let time) = $0 { time } else { nil } }.first
        }
        #expect(milliseconds > 7000)
        #expect(host.pids.first.map { kill($0, 0) } == -1)
        // What was seen does not count again.
        host.process.restart(firstEvent: monotonicNow())
        let second = try await host.found { events in
            let times = events.compactMap { if case .hostReady(_, let time) = $0 { time } else { nil } }
            return times.count == 2 ? times[1] : nil
        }
        #expect(second < Double(monotonicNow() - changed) / 1e6)
        #expect(host.log.all.contains { if case .hostStarted(_, _, true) = $0 { true } else { false } })
        await host.end()
    }

    @Test("what does not end when it is asked to is killed after the grace, also what has left its group")
    func grace() async throws {
        let script = """
            trap '' TERM
            setsid sh -c 'trap "" TERM; while :; do sleep 0.1; done' &
            echo up
            while :; do sleep 0.1; done
            """
        let folder = try ScratchTree()
        let host = try HostFixture(
            ["sh", "-c", script], grace: .milliseconds(100), in: folder, environment: ["MARK": folder.path])
        host.process.start()
        try await host.printed("up")
        #expect(HostFixture.processes(with: "MARK=\(folder.path)").count >= 3)
        await host.process.stop()
        #expect(HostFixture.processes(with: "MARK=\(folder.path)").isEmpty)
        await host.end()
    }

    @Test("a program may end in its own time, and what it says meanwhile is shown")
    func gracefully() async throws {
        let script = "trap 'echo draining; sleep 0.3; echo drained; exit 0' TERM; echo up; while :; do sleep 0.05; done"
        let host = try HostFixture(["sh", "-c", script])
        host.process.start()
        try await host.printed("up")
        host.process.restart()
        try await host.printed("up", times: 2)
        // The shell names the death of its child.
        let lines = host.lines.filter { $0 != "Terminated" }
        #expect(lines == ["up", "draining", "drained", "up"])
        // It was asked to: that is nothing to tell.
        #expect(!host.log.all.contains { if case .hostEnded = $0 { true } else { false } })
        await host.end()
    }

    @Test(
        "what is typed reaches the program, its end closes the program's input, and a new one gets its own")
    func terminal() async throws {
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(master) }
        var (lock, number): (Int32, UInt32) = (0, 0)
        // TIOCSPTLCK and TIOCGPTN, which C spells as macros: unlocks the other end, and tells its number.
        try #require(ioctl(master, 0x4004_5431, &lock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        let slave = open("/dev/pts/\(number)", O_RDWR | O_NOCTTY | O_CLOEXEC)
        defer { close(slave) }
        try #require(isatty(slave) == 1)
        let host = try HostFixture(
            ["sh", "-c", "echo up; while read -r line; do echo \"got $line\"; done; echo over; exec sleep 1000"],
            input: true, terminal: slave)
        func type(_ text: String) { _ = write(master, text, text.utf8.count) }
        host.process.start()
        try await host.printed("up")
        type("hello\n")
        try await host.printed("got hello")
        type("\u{4}")
        try await host.printed("over")
        #expect(host.process.isUp)
        host.process.restart()
        try await host.printed("up", times: 2)
        type("again\n")
        try await host.printed("got again")
        // The terminal's own open file still waits: that the shell shares.
        #expect(fcntl(slave, F_GETFL) & O_NONBLOCK == 0)
        await host.end()
    }

    @Test("without a terminal the program's input stays open and empty")
    func noTerminal() async throws {
        let host = try HostFixture(["sh", "-c", "echo up; read -r line; echo over"])
        host.process.start()
        try await host.printed("up")
        #expect(host.process.isUp)
        await host.process.stop()
        #expect(!host.lines.contains("over"))
        await host.end()
    }

    @Test("the figures of a restart, beside a bare start")
    func figures() async throws {
        let port = try HostFixture.freePort()
        func untilAccepted(since began: UInt64, _ isNew: (String) -> Bool) async throws -> Double {
            while true {
                if let answer = try? await HostFixture.answer(at: port), isNew(answer) {
                    return Double(monotonicNow() - began) / 1e6
                }
                try await Task.sleep(for: .microseconds(200))
            }
        }
        var (bare, restarted) = ([Double](), [Double]())
        for _ in 0..<50 {
            let began = monotonicNow()
            let child = try await Child.spawn(Launch([Built.probe, "serve", "\(port)", "5"]))
            bare.append(try await untilAccepted(since: began) { $0 == "\(child.pid)\n" })
            await child.terminate(grace: .seconds(60))
        }
        let host = try HostFixture(["PROBE", "serve", "\(port)", "5"], ports: [port])
        host.process.start()
        try await host.untilUp()
        for _ in 0..<50 {
            let old = try #require(host.pids.last)
            let began = monotonicNow()
            host.process.restart(firstEvent: began)
            restarted.append(try await untilAccepted(since: began) { !$0.isEmpty && $0 != "\(old)\n" })
            try await host.untilUp()
        }
        let known = host.log.all.compactMap { if case .hostReady(_, let time) = $0 { time } else { nil } }.dropFirst()
        func middle(_ times: some Collection<Double>) -> String { Figures.duration(milliseconds: times.sorted()[25]) }
        print("listening after 5 ms: bare \(middle(bare)), restarted \(middle(restarted)), known \(middle(known))")
        await host.end()
        #expect(Set(host.pids).count == 51)
    }
}
