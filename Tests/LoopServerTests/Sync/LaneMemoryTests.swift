import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("What a lane deletes", .turn) struct LaneMemoryTests {
    @Test("a file that is ignored since the last run stays in the container")
    func keepsIgnored() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/data.db", "two")
        await fixture.start()
        await fixture.lane.end()
        try fixture.project.write(".gitignore", "*.db\n")
        let again = try LaneFixture(reusing: (fixture.project, fixture.container, fixture.state))
        await again.start()
        #expect(fixture.container.read("srv/app/data.db") == "two")
        await again.lane.end()
    }

    @Test("a file that no rule takes since the last run stays in the container")
    func keepsUnruled() async throws {
        let fixture = try LaneFixture([(["app/**"], "srv/app")])
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/b.py", "two")
        await fixture.start()
        await fixture.lane.end()
        let again = try LaneFixture(
            [(["app/**/*.py"], "srv/app")], reusing: (fixture.project, fixture.container, fixture.state))
        unlink(fixture.project.path + "/app/b.py")
        unlink(fixture.project.path + "/app/a.txt")
        // Something must be there to be brought over.
        try fixture.project.write("app/c.py", "three")
        await again.start()
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        #expect(fixture.container.read("srv/app/b.py") == nil)
        await again.lane.end()
    }

    @Test("a mirror leaves to a nested destination what is its own")
    func nests() async throws {
        let fixture = try LaneFixture([(["app/**"], "srv"), (["static/**"], "srv/static")], mirror: true)
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("static/s.css", "two")
        try fixture.container.write("srv/old.txt", "old")
        try fixture.container.write("srv/static/old.css", "old")
        await fixture.start()
        let wanted: Set<String> = ["a.txt", "static", "static/s.css"]
        #expect(contents(of: fixture) == wanted)
        fixture.local.killHelpers()
        try fixture.project.write("app/a.txt", "three")
        await fixture.settle(["app/a.txt"])
        while fixture.container.read("srv/a.txt") != "three" { await Task.yield() }
        await fixture.lane.untilConverged()
        #expect(contents(of: fixture) == wanted)
        await fixture.lane.end()
    }

    /// What lies in the container but for the helper's own folder, which is beside the nested destination.
    private func contents(of fixture: LaneFixture) -> Set<String> {
        Set(ScratchTree.snapshot(fixture.container.path + "/srv").keys.filter { !$0.hasPrefix(".loopd") })
    }
}
