import Glibc
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

/// In processes of their own, whose memory, children and descriptors are nobody else's.
@Suite("A program on this machine, seen from outside", .turn)
struct HostIsolationTests {
    @Test("kill -9 of loopd takes the program with it, and all that it has started")
    func killed() async throws {
        let folder = try ScratchTree()
        let (path, port) = (folder.path, try freePort())
        await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String, port = port as UInt16] in
            let script = "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & exec PROBE serve \(port)"
            let host = try HostFixture(
                ["sh", "-c", script], ports: [port], grace: .milliseconds(200), environment: ["MARK": path])
            host.process.start()
            try await host.untilUp()
            // Nobody else would.
            rmdir(host.folder.path)
            guard HostFixture.processes(with: "MARK=\(path)").count >= 3 else { exit(1) }
            kill(getpid(), SIGKILL)
        }
        while !HostFixture.processes(with: "MARK=\(path)").isEmpty { try await Task.sleep(for: .milliseconds(10)) }
        #expect(try ListeningPorts.now().address(of: port) == nil)
    }

    private final class Taken: Sendable {
        let lines = Atomic(0)
        let bytes = Atomic(0)
        let peak = Atomic(0)
    }

    @Test("100 MB of output need no more memory than a little, however slowly they are taken")
    func floods() async throws {
        await #expect(processExitsWith: .success) {
            let folder = try ScratchTree()
            var host = Host(
                command: ["sh", "-c", "yes 0123456789012345678901234567890 | head -c 100000000; exec sleep 1000"],
                directory: folder.path)
            host.grace = .seconds(1)
            let taken = Taken()
            let process = HostProcess(
                host, leash: Built.leash, ports: [], input: false, debug: false,
                environment: { ProcessEnvironment.inherited },
                emit: { event in
                    guard case .hostOutput(let line) = event else { return }
                    taken.bytes.add(line.utf8.count + 1, ordering: .relaxed)
                    if taken.lines.add(1, ordering: .relaxed).newValue % 100_000 == 0 {
                        usleep(20_000)
                        taken.peak.store(ProcessTable.memory(of: getpid()).now, ordering: .relaxed)
                    }
                })
            let running = Task { await process.run() }
            let before = ProcessTable.memory(of: getpid()).now
            process.start()
            // The last line is cut off within.
            while taken.bytes.load(ordering: .relaxed) < 99_999_970 { try await Task.sleep(for: .milliseconds(10)) }
            #expect(taken.peak.load(ordering: .relaxed) - before < 24 << 20)
            running.cancel()
            await running.value
        }
    }

    @Test(
        "after any restarts, stops and crashes one program of the last generation runs, and nothing else is left"
    )
    func storm() async throws {
        let seed = UInt64.random(in: 0..<1 << 32)
        print("a storm of restarts, seed \(seed)")
        await #expect(processExitsWith: .success) { [seed = seed as UInt64] in
            var generator = SeededGenerator(seed: seed)
            let folder = try ScratchTree()
            let port = try freePort()
            let mark = "MARK=\(folder.path)"
            let programs = [
                "exec PROBE serve \(port)", "exec PROBE serve \(port) 3", "exit 1", "kill -9 $$",
                "trap '' TERM; PROBE serve \(port)", "setsid PROBE serve \(port) & wait",
                "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' & exec PROBE serve \(port)",
            ].map { $0.replacing("PROBE", with: Built.probe) }
            let host = try HostFixture(
                ["sh", "program"], ports: [port], grace: .milliseconds(60), in: folder,
                environment: ["MARK": folder.path])
            func quiet() async throws {
                try folder.write("program", programs[0])
                host.process.restart(firstEvent: monotonicNow())
                try await host.untilUp()
                let pid = try #require(host.pids.last)
                #expect(try await HostFixture.answer(at: port) == "\(pid)\n")
                // The leash and the program.
                #expect(HostFixture.processes(with: mark).count == 2, "seed \(seed)")
            }
            // What is opened once is open from here on.
            try await quiet()
            await host.process.stop()
            let before = SocketDirectory.names(in: "/proc/self/fd").count
            for _ in 0..<8 {
                for _ in 0..<Int.random(in: 1...12, using: &generator) {
                    try folder.write("program", programs[Int.random(in: 0..<programs.count, using: &generator)])
                    switch Int.random(in: 0..<10, using: &generator) {
                    case 0: await host.process.stop()
                    case 1: host.process.start()
                    case 2: if let pid = host.pids.last { kill(pid, SIGKILL) }
                    default: host.process.restart(firstEvent: monotonicNow())
                    }
                    let pause = Int.random(in: 0...30, using: &generator)
                    try await Task.sleep(for: .milliseconds(pause))
                }
                try await quiet()
            }
            await host.process.stop()
            #expect(HostFixture.processes(with: mark).isEmpty, "seed \(seed)")
            #expect(try ListeningPorts.now().address(of: port) == nil)
            // Nor are there dead children that nobody has reaped: this process has no others.
            #expect(RunningProcess.tree(of: getpid()).count == 1, "seed \(seed)")
            // The last one's are closed in a moment by whoever has reaped it.
            try await within(.seconds(60), "no descriptor is left, seed \(seed)") {
                while SocketDirectory.names(in: "/proc/self/fd").count != before {
                    try await Task.sleep(for: .milliseconds(5))
                }
            }
            await host.end()
        }
    }
}
