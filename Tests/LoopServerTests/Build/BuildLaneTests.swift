import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("A build", .turn) struct BuildLaneTests {
    let folder: ScratchTree
    let log = EventLog()

    init() throws { folder = try ScratchTree() }

    /// The leash that the build made, beside the test bundle.
    static var leash: String {
        get throws { String(try LocalContainer.helper.dropLast("LoopAgent".count)) + "Leash" }
    }

    private final class Finished: Sendable {
        let firstEvents = Mutex<[UInt64]>([])
    }
    private let finished = Finished()

    private func lane(_ command: [String], environment: [String: String] = [:]) throws -> BuildLane {
        var build = Build(name: "web/rules[0]", command: command, directory: folder.path, root: folder.path)
        build.environment = environment
        let (log, finished) = (log, finished)
        return BuildLane(build, leash: try BuildLaneTests.leash, grace: 300) {
            log.add(LoopEvent($0))
        } onSuccess: { firstEvent, ended, _ in
            #expect(ended >= firstEvent)
            finished.firstEvents.withLock { $0.append(firstEvent) }
            return true
        }
    }

    /// Runs the lane while `body` works with it.
    private func running(_ lane: BuildLane, _ body: () async throws -> Void) async rethrows {
        let run = Task { await lane.run() }
        try await body()
        run.cancel()
        await run.value
    }

    private var failures: [LoopEvent.Failure] {
        log.all.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }
    }

    private var printed: [String] {
        log.all.compactMap { if case .buildOutput(let line) = $0 { line } else { nil } }
    }

    @Test("runs in its folder with its variables, says what it prints, and hands over what it made")
    func succeeds() async throws {
        let lane = try lane(
            ["sh", "-c", "pwd; echo $COLOUR >&2; echo made >out"], environment: ["COLOUR": "blue"])
        await running(lane) {
            await lane.trigger(firstEvent: 7)
            await lane.untilIdle()
        }
        #expect(finished.firstEvents.withLock { $0 } == [7])
        #expect(folder.read("out") == "made\n")
        #expect(Set(printed) == [folder.path, "blue"])
        #expect(log.all.first == .building(name: "web", again: false))
        #expect(lane.hasSucceeded)
    }

    @Test("a failure shows the end of what it said, and the next change builds again")
    func fails() async throws {
        let lane = try lane(["sh", "-c", "for i in $(seq 30); do echo line $i; done; test -e good"])
        try await running(lane) {
            await lane.trigger(firstEvent: 1)
            await lane.untilIdle()
            #expect(!lane.hasSucceeded)
            let failure = try #require(failures.first)
            #expect(failure.summary == "build web failed: exit code 1")
            #expect(failure.details.last == "line 30")
            #expect(failure.details.count <= 20)
            try folder.write("good", "")
            await lane.trigger(firstEvent: 2)
            await lane.untilIdle()
        }
        #expect(finished.firstEvents.withLock { $0 } == [2])
        #expect(lane.hasSucceeded)
    }

    @Test("a program that is not there is named")
    func missing() async throws {
        let lane = try lane(["no-such-compiler"])
        await running(lane) {
            await lane.trigger(firstEvent: 1)
            await lane.untilIdle()
        }
        #expect(failures.map(\.summary) == ["build web: there is no program no-such-compiler"])
    }

    @Test("a newer change ends what runs, with all that it started, and counts from the first change on")
    func startsOver() async throws {
        // A build that ignores SIGTERM, and a child of it in the background.
        let lane = try lane([
            "sh", "-c",
            "trap '' TERM; if test -e second; then exit 0; fi; sleep 1000 & echo $!; while :; do sleep 1; done",
        ])
        try await running(lane) {
            await lane.trigger(firstEvent: 5)
            while printed.isEmpty { await Task.yield() }
            let grandchild = try #require(Int32(printed[0]))
            try folder.write("second", "")
            await lane.trigger(firstEvent: 9)
            await lane.untilIdle()
            // Gone, or dead and not yet reaped by whoever adopted it.
            let state = ScratchTree.contents("/proc/\(grandchild)/stat").map { String(decoding: $0, as: UTF8.self) }
            #expect(state == nil || state?.contains(") Z ") == true)
        }
        #expect(finished.firstEvents.withLock { $0 } == [5])
        #expect(log.all.contains(.building(name: "web", again: true)))
        #expect(failures.isEmpty)
    }

    @Test("of fifty changes during a build at most two builds finish, and the last one has the last content")
    func coalesces() async throws {
        try folder.write("in", "0")
        let lane = try lane([
            "sh", "-c", "read -r x <in; until test -e go; do sleep 0.05; done; echo $x >out",
        ])
        try await running(lane) {
            for number in 1...50 {
                try folder.write("in", "\(number)\n")
                await lane.trigger(firstEvent: UInt64(number))
            }
            // No build is over before the last change, however long the machine takes for fifty.
            try folder.write("go", "")
            await lane.untilIdle()
        }
        #expect(folder.read("out") == "50\n")
        #expect(finished.firstEvents.withLock { $0 }.count <= 2)
    }

    @Test("what a program had printed when it ended is told, however late it is read")
    func printedBefore() async throws {
        var launch = Launch(["sh", "-c", "seq 5000; printf end; seq 5000 >&2"])
        launch.standardOutput = .pipe
        launch.standardError = .pipe
        let child = try await Child.spawn(launch)
        _ = await child.wait()
        var lines: [String] = []
        await child.print(hasAnswer: false) { if case .line(let line) = $0 { lines.append(line) } }
        #expect(lines.count == 10_001 && lines.contains("end"), "\(lines.count)")
    }

    @Test("what a build leaves running neither holds it up nor is ended with it")
    func leavesServers() async throws {
        let lane = try lane(["sh", "-c", "sleep 1000 & echo $!"])
        try await running(lane) {
            await lane.trigger(firstEvent: 1)
            await lane.untilIdle()
            let server = try #require(Int32(printed.first ?? ""))
            #expect(kill(server, 0) == 0)
            kill(server, SIGKILL)
        }
        #expect(finished.firstEvents.withLock { $0 } == [1])
    }

    @Test("the end of the session ends a build")
    func ends() async throws {
        let lane = try lane(["sh", "-c", "echo $$; exec sleep 1000"])
        var pid: Int32 = 0
        try await running(lane) {
            await lane.trigger(firstEvent: 1)
            while printed.isEmpty { await Task.yield() }
            pid = try #require(Int32(printed[0]))
        }
        #expect(kill(pid, 0) != 0)
        #expect(finished.firstEvents.withLock { $0 }.isEmpty)
    }
}
