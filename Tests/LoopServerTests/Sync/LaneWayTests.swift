import Synchronization
import Testing

@testable import LoopServer

@Suite("What a lane says of its way into a container", .turn) struct LaneWayTests {
    @Test("a way that is lost once and found again is no failure, and one that is lost again is")
    func lostWays() async throws {
        for count in [1, 2] {
            let hooks = Hooks()
            let fixture = try LaneFixture(hooks: hooks)
            try fixture.project.write("app/a.txt", "one")
            let left = Mutex(count)
            hooks.before { call in
                guard case .commit = call else { return }
                let isCut = left.withLock { left in
                    defer { left -= 1 }
                    return left > 0
                }
                if isCut { throw LinkError.disconnected("cut") }
            }
            await fixture.start()
            let failed = fixture.events.failed.map(\.summary)
            #expect(failed == (count == 1 ? [] : ["web-1: the connection to the helper ended: cut"]))
            await fixture.lane.end()
        }
    }

    @Test("nothing is said of the way into a container of which it has been told why it does not run")
    func explained() async throws {
        let hooks = Hooks()
        let fixture = try LaneFixture(hooks: hooks, isExplained: { $0 == "web" })
        try fixture.project.write("app/a.txt", "one")
        let left = Mutex(3)
        hooks.before { call in
            guard case .commit = call else { return }
            let isCut = left.withLock { left in
                defer { left -= 1 }
                return left > 0
            }
            if isCut { throw LinkError.disconnected("cut") }
        }
        await fixture.start()
        #expect(fixture.events.failed.isEmpty)
        #expect(fixture.events.all.contains { if case .connected = $0 { true } else { false } })
        await fixture.lane.end()
    }
}
