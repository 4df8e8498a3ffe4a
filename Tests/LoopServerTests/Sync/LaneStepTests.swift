import Reactor
import Testing
import Watcher

@testable import LoopServer

@Suite("Steps beside files", .turn) struct LaneStepTests {
    /// How often a step was done.
    private func executed(_ fixture: LaneFixture) -> Int {
        fixture.events.all.count { if case .executed = $0 { true } else { false } }
    }

    @Test("files land while a step runs; what landed meanwhile makes it run once more, and no step runs beside it")
    func filesPass() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(then: [.exec(["echo", "ran"])], hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        let (lane, gate, first, began) = (fixture.lane, Gate(), Once(), Gate())
        hooks.before { call in
            guard case .run = call, first.take() else { return }
            began.signal()
            await gate.pass()
        }
        await lane.survey()
        await lane.setInstances([LaneFixture.instance()])
        await began.pass()
        for text in ["two", "three"] {
            try fixture.project.write("app/a.txt", text)
            await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
            await lane.untilQuiet()
            #expect(fixture.container.read("srv/app/a.txt") == text)
        }
        #expect(hooks.calls.count { if case .run = $0 { true } else { false } } == 1)
        #expect(executed(fixture) == 0)
        #expect(await !lane.isWhole)
        gate.signal()
        await lane.untilConverged()
        #expect(executed(fixture) == 2)
        #expect(await lane.isWhole)
        await lane.end()
    }

    @Test("a step that does not end is named, and what to expect of it")
    func stillRuns() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(
            then: [.exec(["sleep", "100000"])], hooks: hooks, stepPatience: .milliseconds(1))
        try fixture.project.write("app/a.txt", "one")
        let lane = fixture.lane
        await lane.survey()
        await lane.setInstances([LaneFixture.instance()])
        func notice() -> String? {
            for case .notice(let text) in fixture.events.all { return text }
            return nil
        }
        while notice() == nil { try await Task.sleep(for: .milliseconds(2)) }
        let text = try #require(notice())
        #expect(text.hasPrefix("sleep 100000 → web-1: still runs after 1.0 ms"), "\(text)")
        // Leaving does not wait for it.
        await lane.end()
        #expect(executed(fixture) == 0)
    }

    @Test(
        "a step that is under way when its container goes is forgotten with it, and the lane goes on with another one")
    func containerGoes() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(then: [.exec(["echo", "ran"])], hooks: hooks)
        try fixture.project.write("app/a.txt", "one")
        let (lane, gate, first, began) = (fixture.lane, Gate(), Once(), Gate())
        hooks.before { call in
            guard case .run = call, first.take() else { return }
            began.signal()
            await gate.pass()
        }
        await lane.survey()
        await lane.setInstances([LaneFixture.instance()])
        await began.pass()
        await lane.setInstances([LaneFixture.instance(1, run: 2)])
        try fixture.project.write("app/a.txt", "two")
        await lane.settle(ChangeSet(paths: [RelativePath("app/a.txt")]))
        await lane.untilConverged()
        #expect(fixture.container.read("srv/app/a.txt") == "two")
        #expect(await lane.isWhole)
        gate.signal()
        await lane.end()
    }

    @Test("a lane that is over takes no container any more, is not whole, and nobody waits for it")
    func isOver() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        #expect(await fixture.lane.isReached)
        await fixture.lane.end()
        await fixture.lane.setInstances([LaneFixture.instance(2)])
        await fixture.lane.untilConverged()
        #expect(await !fixture.lane.isWhole)
    }
}
