import Glibc
import Reactor
import Synchronization
import Testing
import Watcher
import Wire

@testable import LoopServer

/// Lets a call fail once.
final class Once: Sendable {
    private let isLeft = Mutex(true)
    func take() -> Bool {
        isLeft.withLock { left in
            defer { left = false }
            return left
        }
    }
}

@Suite("A lane where something fails", .turn) struct LaneFailureTests {
    @Test("waiting for convergence ends when the task is cancelled, though no container ever comes")
    func waitingIsCancellable() async throws {
        let fixture = try LaneFixture()
        await fixture.lane.survey()
        let lane = fixture.lane
        let waiting = Task { await lane.untilConverged() }
        await Task.yield()
        waiting.cancel()
        await waiting.value
    }

    @Test("a deletion seen during the comparison survives the loss of the way before it was sent")
    func keepsDeletions() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/b.txt", "two")
        try fixture.container.write("srv/app/b.txt", "two")
        let (lane, gone, lost) = (fixture.lane, Once(), Once())
        let local = fixture.project.path + "/app/b.txt"
        hooks.after { call in
            guard case .list = call, gone.take() else { return }
            unlink(local)
            await lane.settle(ChangeSet(paths: [RelativePath("app/b.txt")]))
        }
        hooks.before { call in
            guard case .commit(["b.txt"]) = call, lost.take() else { return }
            throw LinkError.disconnected("cut")
        }
        await fixture.start()
        #expect(fixture.container.read("srv/app/b.txt") == nil)
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        await lane.end()
    }

    @Test("a batch is reported when the container that had not answered yet is gone")
    func reportsAfterLoss() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        let instances = [LaneFixture.instance(1), LaneFixture.instance(2)]
        await fixture.start(instances)
        let (lane, first, gate) = (fixture.lane, Once(), Gate())
        hooks.before { call in
            if case .commit = call, first.take() { await gate.pass() }
        }
        try fixture.project.write("app/a.txt", "three")
        await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
        // One of them has it; the other, which waits, is given up.
        while await lane.settled.isEmpty { await Task.yield() }
        let settled = await lane.settled
        // A batch under way there, and one that is still to come.
        try fixture.project.write("app/a.txt", "fours")
        await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
        while await lane.settled.isEmpty { await Task.yield() }
        await lane.setInstances(instances.filter { settled.contains($0.id) })
        while fixture.events.landed.filter({ !$0.isInitial }).count < 2 { await Task.yield() }
        #expect(fixture.events.landed.filter { !$0.isInitial }.map(\.pods) == [1, 1])
        await lane.end()
    }

    @Test("leaving says the last word before anything is dropped")
    func endsCleanly() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        await fixture.lane.end()
        #expect(hooks.calls.last == .end)
        #expect(!hooks.calls.contains(.drop))
    }

    @Test("content that was sent early for a file that did not change after all is given up")
    func abandonsUnneeded() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        // The same bytes with another time: only the time has to travel.
        try fixture.project.write("app/a.txt", "one")
        var times = [timespec(tv_sec: 1_000_000, tv_nsec: 5), timespec(tv_sec: 1_000_000, tv_nsec: 5)]
        utimensat(AT_FDCWD, fixture.project.path + "/app/a.txt", &times, 0)
        await fixture.lane.prepare(RelativePath("app/a.txt"))
        await fixture.settle(["app/a.txt"])
        #expect(hooks.calls.contains(.abandon))
        // And one that is gone before its batch.
        try fixture.project.write("app/b.txt", "two")
        await fixture.lane.prepare(RelativePath("app/b.txt"))
        unlink(fixture.project.path + "/app/b.txt")
        await fixture.settle(["app/b.txt"])
        #expect(hooks.calls.filter { $0 == .abandon }.count == 2)
        await fixture.lane.end()
    }

    @Test("what found no room lands when there is some, without a save")
    func findsRoom() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(then: [.exec(["true"])], hooks: hooks)
        let first = Once()
        hooks.before { call in
            guard case .stage = call, first.take() else { return }
            throw LinkError.refused(
                Failure(.stage, code: ENOSPC, path: [], uid: 0, text: Array("No space left on device".utf8)))
        }
        try fixture.project.write("app/a.txt", "one")
        await fixture.lane.survey()
        await fixture.lane.setInstances([LaneFixture.instance()])
        try await fixture.until("landed file") { if case .landed(let landed) = $0 { landed.files == 1 } else { false } }
        #expect(fixture.events.skipped.count == 1)
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        await fixture.lane.untilConverged()
        #expect(fixture.events.all.contains { if case .executed = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("steps whose connection is lost run on the next one")
    func owesSteps() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(then: [.exec(["echo", "ran"])], hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        let first = Once()
        hooks.before { call in
            if case .run = call, first.take() { throw LinkError.disconnected("cut") }
        }
        await fixture.start()
        let ran = fixture.events.all.filter { if case .executed(_, _, 0, _) = $0 { true } else { false } }
        #expect(ran.count == 1)
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("steps run again when a lost connection leaves open whether the batch was applied")
    func owesStepsAfterCommit() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(then: [.exec(["echo", "ran"])], hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        let first = Once()
        hooks.after { call in
            if case .commit = call, first.take() { throw LinkError.disconnected("cut") }
        }
        await fixture.start()
        #expect(fixture.events.all.contains { if case .executed(_, _, 0, _) = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("a blocked destination is told, is a failure, and heals with the next save after it can be written")
    func unblocks() async throws {
        let hooks = Hooks()
        hooks.opensWith = EROFS
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/b.txt", "two")
        await fixture.start()
        #expect(fixture.container.read("srv/app/a.txt") == nil)
        #expect(await !fixture.lane.isWhole)
        #expect(fixture.events.all.contains { if case .failed = $0 { true } else { false } })
        hooks.opensWith = 0
        try fixture.project.write("app/a.txt", "three")
        await fixture.settle(["app/a.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "three")
        #expect(fixture.container.read("srv/app/b.txt") == "two")
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("a file in the destination's place is told, and heals with the next save after it is gone")
    func fileInPlace() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        ScratchTree.remove(fixture.container.path + "/srv/app")
        try fixture.container.write("srv/app", "a file")
        try fixture.project.write("app/a.txt", "two")
        await fixture.settle(["app/a.txt"])
        while await fixture.lane.isWhole { await Task.yield() }
        await fixture.lane.untilConverged()
        #expect(
            fixture.events.all.contains {
                if case .failed(let failure) = $0 { failure.summary.hasSuffix("it is a file there") } else { false }
            })
        #expect(fixture.container.read("srv/app") == "a file")
        unlink(fixture.container.path + "/srv/app")
        try fixture.project.write("app/b.txt", "three")
        await fixture.settle(["app/b.txt"])
        try await fixture.untilEqual()
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("a file that could not be placed is tried again with the next batch, and told once")
    func retries() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        // The pod's own folder with a file is in the file's way.
        try fixture.container.write("srv/app/a.txt/theirs", "keep")
        await fixture.start()
        #expect(await !fixture.lane.isWhole)
        #expect(fixture.events.skipped.count >= 1)
        let told = fixture.events.skipped.count
        try fixture.project.write("app/b.txt", "two")
        await fixture.settle(["app/b.txt"])
        #expect(fixture.container.read("srv/app/b.txt") == "two")
        #expect(fixture.events.skipped.count == told)
        unlink(fixture.container.path + "/srv/app/a.txt/theirs")
        rmdir(fixture.container.path + "/srv/app/a.txt")
        try fixture.project.write("app/b.txt", "three")
        await fixture.settle(["app/b.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("a file that changes while it is read lands with its last content, and that is told")
    func tellsOfRestless() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        let project = fixture.project.path
        let rounds = Atomic<Int>(0)
        hooks.before { call in
            // Behind the engine's back, between its look and its reading.
            guard case .stage("b.txt") = call, rounds.add(1, ordering: .relaxed).newValue <= 2 else { return }
            let file = open("\(project)/app/b.txt", O_WRONLY | O_APPEND | O_CLOEXEC)
            #expect(write(file, "x", 1) == 1)
            close(file)
        }
        try fixture.project.write("app/b.txt", "two")
        await fixture.settle(["app/b.txt"])
        #expect(fixture.container.read("srv/app/b.txt") == "twoxx")
        #expect(fixture.events.landed.contains { $0.paths == ["b.txt"] })
        await fixture.lane.end()
    }

    @Test("a file that was passed over is sent when it is written again, though it looks the same")
    func paysOwed() async throws {
        let fixture = try LaneFixture()
        try fixture.container.write("srv/app/a.txt/theirs", "keep")
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        #expect(fixture.events.skipped.count == 1)
        unlink(fixture.container.path + "/srv/app/a.txt/theirs")
        rmdir(fixture.container.path + "/srv/app/a.txt")
        await fixture.settle(["app/a.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("a file that the pod removed comes back when only its time changed here")
    func restoresTouched() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        unlink(fixture.container.path + "/srv/app/a.txt")
        var times = [timespec(tv_sec: 1_000_000, tv_nsec: 5), timespec(tv_sec: 1_000_000, tv_nsec: 5)]
        utimensat(AT_FDCWD, fixture.project.path + "/app/a.txt", &times, 0)
        await fixture.settle(["app/a.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        #expect(fixture.events.skipped == [])
        await fixture.lane.end()
    }

    @Test("a save overtakes a large upload; what belongs to the large one's batch lands with it")
    func overtakes() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        let (gate, began) = (Gate(), Gate())
        hooks.before { call in
            guard case .stage("large.bin") = call else { return }
            began.signal()
            await gate.pass()
        }
        try fixture.project.write("app/large.bin", [UInt8](repeating: 7, count: 9 << 20))
        try fixture.project.write("app/mate.txt", "with it")
        let lane = fixture.lane
        await lane.settle(ChangeSet(paths: [RelativePath("app/large.bin"), RelativePath("app/mate.txt")]))
        await began.pass()
        try fixture.project.write("app/a.txt", "three")
        let committed = Gate()
        hooks.after { call in
            if case .commit(["a.txt"]) = call { committed.signal() }
        }
        await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
        await committed.pass()
        #expect(fixture.container.read("srv/app/a.txt") == "three")
        #expect(fixture.container.read("srv/app/mate.txt") == nil)
        // A later change of the batch's own files waits for it, and its last state lands.
        try fixture.project.write("app/mate.txt", "changed")
        await lane.settle(ChangeSet(paths: [RelativePath("app/mate.txt")]))
        gate.signal()
        await lane.untilConverged()
        #expect(fixture.container.read("srv/app/mate.txt") == "changed")
        #expect(hooks.calls.contains(.commit(["large.bin", "mate.txt"])))
        try await fixture.untilEqual()
        await lane.end()
    }

    @Test("saves overtake a large file of the first comparison, and what else that finds does, too")
    func overtakesComparison() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/large.bin", [UInt8](repeating: 7, count: 9 << 20))
        let (gate, committed) = (Gate(), Gate())
        hooks.before { call in
            if case .stage("large.bin") = call { await gate.pass() }
        }
        hooks.after { call in
            if case .commit(["a.txt"]) = call { committed.signal() }
        }
        let lane = fixture.lane
        await lane.survey()
        await lane.setInstances([LaneFixture.instance()])
        await committed.pass()
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        try fixture.project.write("app/a.txt", "three")
        await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
        await committed.pass()
        #expect(fixture.container.read("srv/app/a.txt") == "three")
        #expect(await lane.settled.isEmpty)
        gate.signal()
        await lane.untilConverged()
        try await fixture.untilEqual()
        #expect(fixture.events.landed.map(\.isInitial) == [true, false, true])
        await lane.end()
    }

    @Test("the steps of a rule wait for its large files in the first comparison, too")
    func stepsWaitForLarge() async throws {
        let steps = [Step.exec(["true"])]
        let fixture = try LaneFixture(then: steps)
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/large.bin", [UInt8](repeating: 7, count: 9 << 20))
        await fixture.start()
        try await fixture.untilEqual()
        #expect(fixture.events.landed.count == 1)
        #expect(fixture.events.all.count { if case .executed = $0 { true } else { false } } == 1)
        await fixture.lane.end()
    }

    @Test(
        "a destination that was replaced in the container is filled again, also where the staging place beside it stays",
        arguments: ["/srv", "/srv/app"])
    func refills(removed: String) async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/b.txt", "two")
        await fixture.start()
        ScratchTree.remove(fixture.container.path + removed)
        try fixture.container.folder("srv/app")
        try fixture.project.write("app/a.txt", "three")
        await fixture.settle(["app/a.txt"])
        try await fixture.untilEqual()
        await fixture.lane.end()
    }
}
