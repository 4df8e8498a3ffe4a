import Glibc
import Reactor
import Testing
import Wire

@Suite("Restarts in place", .timeLimit(.minutes(5)))
struct RestartTests {
    @Test("a restart replaces the whole group, in the same container, at once")
    func replaces() async throws {
        try await Supervised.run("sleep 1000 & echo $$ $!; wait") { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            let old = try await supervised.printed().split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
            #expect(old.count == 2)
            _ = try await following.untilRunning(starts: 1)
            let clock = ContinuousClock()
            var pid: Int32 = 0
            let took = try await clock.measure { pid = try await client.restart() }
            print("supervisor: restarted a shell with a child in \(took)")
            #expect(!old.contains(where: isAlive) && !old.contains(pid) && isAlive(pid))
            #expect(try await following.next() == .stopping)
            #expect(try await following.next() == .starting)
            #expect(try await following.next() == .running(pid: UInt32(pid), starts: 2))
            try await client.end()
        }
    }

    @Test("what ignores SIGTERM is killed after the grace, with all its children and what they are forking")
    func kills() async throws {
        let script = """
            trap '' TERM
            for i in 1 2 3; do sh -c 'while :; do sh -c "sleep 0.1"; done' & echo $!; done
            echo $$
            while :; do sleep 1000; done
            """
        try await Supervised.run(script) { supervised, _ in
            let client = try await supervised.connect()
            let old = try await numbers(4, from: supervised)
            let pid = try await client.restart(grace: 50)
            #expect(!old.contains(where: isAlive) && isAlive(pid))
            try await client.end()
        }
    }

    @Test("children that ignore SIGTERM end with a main process that does not")
    func killsLeftovers() async throws {
        let script = """
            for i in 1 2 3; do sh -c 'trap "" TERM; echo $$; exec sleep 1000' & done
            exec sleep 1000
            """
        try await Supervised.run(script) { supervised, _ in
            let client = try await supervised.connect()
            let old = try await numbers(3, from: supervised)
            _ = try await client.restart()
            #expect(!old.contains(where: isAlive))
            try await client.end()
        }
    }

    @Test("a stopped service is restarted without waiting for the grace")
    func restartsStopped() async throws {
        try await Supervised.run("exec sleep 1000") { supervised, _ in
            let client = try await supervised.connect()
            let old = try await client.follow().untilRunning().pid
            kill(old, SIGSTOP)
            _ = try await client.restart(grace: .max)
            #expect(!isAlive(old))
            try await client.end()
        }
    }

    @Test("restarts asked for while one is under way are answered by one more")
    func joins() async throws {
        let script = "trap 'read x; exit' TERM; echo ready; while :; do sleep 1000 & wait; done"
        try await Supervised.run(script) { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            #expect(try await supervised.printed() == "ready\n")
            var streams: [UInt32] = []
            for _ in 0..<20 {
                let stream = await client.newStream()
                try await client.send(.service(.restart(graceMilliseconds: .max)), on: stream)
                streams.append(stream)
            }
            try await following.until(.stopping)
            // All twenty have come when this is answered.
            _ = try await client.service(.state)
            try await supervised.child.standardInput?.write([10])
            for stream in streams {
                guard case .serviceState(.running(_, starts: 2))? = await client.receive(on: stream) else {
                    Issue.record("not answered by the second start")
                    return
                }
            }
            try await client.end()
        }
    }

    @Test("a program that was renamed over, deleted, broken and mended is what the next restart makes of it")
    func swaps() async throws {
        try await withFolder { folder in
            let program = folder + "/program"
            func put(_ text: String, mode: UInt32 = 0o755) {
                Disk.write(folder + "/new", text, mode: mode)
                rename(folder + "/new", program)
            }
            put("#!/bin/sh\necho one; exec sleep 1000\n")
            let supervised = try await Supervised.start([program], in: folder)
            defer { supervised.child.signal(SIGKILL) }
            #expect(try await supervised.printed() == "one\n")
            let client = try await supervised.connect()
            let following = try await client.follow()
            put("#!/bin/sh\necho two; exec sleep 1000\n")
            _ = try await client.restart()
            #expect(try await supervised.printed() == "two\n")
            for (spoil, code, exit, word) in [
                ({ _ = unlink(program) }, ENOENT, 127, "no such program"),
                ({ put("echo no interpreter\n") }, ENOEXEC, 126, "#!"),
                ({ put("#!/no/such/interpreter\n") }, ENOENT, 127, "interpreter"),
                ({ put("#!/bin/sh\n", mode: 0o644) }, EACCES, 126, "not executable"),
            ] as [(() -> Void, Int32, Int32, String)] {
                spoil()
                let failure = try await client.refusal(.restart(graceMilliseconds: 60_000))
                #expect(failure.code == code && failure.path.text == program)
                #expect(failure.text.text.contains(word), "\(failure.text.text)")
                #expect(try await following.untilEnded() == .code(exit))
            }
            put("#!/bin/sh\necho three; exec sleep 1000\n")
            _ = try await client.restart()
            #expect(try await supervised.printed() == "three\n")
            // With nobody who follows, a program that cannot be started is the container's end.
            put("#!/no/such/interpreter\n")
            try await client.send(.service(.unfollow), on: following.stream)
            #expect(try await client.refusal(.restart(graceMilliseconds: 60_000)).code == ENOENT)
            #expect(await supervised.child.wait() == .exited(127))
            try await client.end()
        }
    }

    @Test("a program that is still open for writing is waited for, and not for long")
    func busy() async throws {
        try await withFolder { folder in
            let program = folder + "/program"
            #expect(try await Child.run(Launch(["cp", "/bin/sleep", program])).status == .exited(0))
            let supervised = try await Supervised.start([program, "1000"], in: folder)
            defer { supervised.child.signal(SIGKILL) }
            let client = try await supervised.connect()
            _ = try await client.follow().untilRunning()
            // A new file, because what runs cannot be opened for writing.
            #expect(try await Child.run(Launch(["cp", "/bin/sleep", folder + "/new"])).status == .exited(0))
            let holder = open(folder + "/new", O_WRONLY | O_CLOEXEC)
            rename(folder + "/new", program)
            #expect(try await client.refusal(.restart(graceMilliseconds: 60_000)).code == ETXTBSY)
            close(holder)
            // Other tests' children may hold it for a moment.
            #expect(await eventually { (try? await client.restart()) != nil })
            try await client.end()
        }
    }

    @Test("a working folder that was replaced is the new program's")
    func followsFolder() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/work")
            let supervised = try await Supervised.start(
                ["sh", "-c", "ls; exec sleep 1000"], in: folder, directory: folder + "/work")
            defer { supervised.child.signal(SIGKILL) }
            let client = try await supervised.connect()
            Disk.makeFolder(folder + "/next")
            Disk.write(folder + "/next/here", "")
            #expect(rename(folder + "/work", folder + "/old") == 0 && rename(folder + "/next", folder + "/work") == 0)
            _ = try await client.restart()
            #expect(try await supervised.printed() == "here\n")
            try await client.end()
        }
    }

    @Test("a signal goes to the main process, and nonsense is refused")
    func signals() async throws {
        try await Supervised.run("trap 'echo hup' HUP; echo ready; while :; do sleep 1000 & wait; done") {
            supervised, _ in
            let client = try await supervised.connect()
            #expect(try await supervised.printed() == "ready\n")
            try await client.service(.signal(SIGHUP))
            #expect(try await supervised.printed() == "hup\n")
            for number: Int32 in [0, -9, 65, .max, .min] {
                #expect(try await client.refusal(.signal(number)).code == EINVAL)
            }
            try await client.end()
        }
    }

    @Test("content that is staged can be found before it lands, whatever links lead to it")
    func locates() async throws {
        try await withFolder { folder in
            Disk.makeFolder(folder + "/root")
            Disk.makeFolder(folder + "/root/srv")
            Disk.makeLink(folder + "/root/app", to: "/srv/deep")
            Disk.makeFolder(folder + "/root/srv/deep")
            let client = try await HelperClient.connect()
            for (root, path) in [("", folder + "/plain"), (folder + "/root", "/app")] {
                let opened = try await client.open(path, root: root)
                let missing = try await client.ask(.locate(Locate(destination: opened.destination, stage: 1)))
                guard case .failure(let failure)? = missing else { throw Unexpected(message: missing) }
                #expect(failure.operation == .locate && failure.code == ENOENT)
                _ = try await client.stage(1, "a", [1, 2, 3], in: opened.destination)
                let answer = try await client.ask(.locate(Locate(destination: opened.destination, stage: 1)))
                guard case .located(let place)? = answer else { throw Unexpected(message: answer) }
                #expect(Disk.bytes(root + place.text) == [1, 2, 3])
            }
            try await client.end()
        }
    }

    @Test("a thousand restarts leave neither descriptors nor memory behind")
    func leaksNothing() async throws {
        try await Supervised.run("exec sleep 1000") { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            for _ in 0..<50 { _ = try await client.restart() }
            let descriptors = Disk.names("/proc/\(supervised.child.pid)/fd")
            let before = try #require(resident(supervised.child.pid))
            let clock = ContinuousClock()
            let took = try await clock.measure { for _ in 0..<1000 { _ = try await client.restart() } }
            let after = try #require(resident(supervised.child.pid))
            print("supervisor: \(took / 1000) for each of 1,000 restarts, \(after) KB resident")
            #expect(try await following.untilRunning(starts: 1051).starts == 1051)
            #expect(Disk.names("/proc/\(supervised.child.pid)/fd") == descriptors)
            #expect(after <= before + 64 && after < 1024)
            #expect(try #require(resident(client.child.pid)) < 1024)
            try await client.end()
        }
    }

    private func numbers(_ count: Int, from supervised: Supervised) async throws -> [Int32] {
        var text = ""
        while text.filter({ $0 == "\n" }).count < count { text += try await supervised.printed() }
        return text.split(separator: "\n").compactMap { Int32($0) }
    }
}

/// Kilobytes resident, from `/proc/<pid>/status`.
func resident(_ pid: Int32, _ field: String = "VmRSS:") -> Int? {
    let line = Disk.text("/proc/\(pid)/status")?.split(separator: "\n").first { $0.hasPrefix(field) }
    return line.flatMap { Int($0.dropFirst(field.count).filter(\.isNumber)) }
}
