import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("A service's lane", .turn) struct ServiceLaneTests {
    @Test("the first connection makes the container equal, and leaves alone what it does not know")
    func converges() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/main.py", "print(1)\n")
        try fixture.project.write("app/deep/er/run.sh", "#!/bin/sh\n", mode: 0o755)
        try fixture.project.folder("app/empty")
        symlink("main.py", fixture.project.path + "/app/link.py")
        try fixture.container.write("srv/app/node_modules/x.js", "theirs")
        try fixture.container.write("srv/app/main.py", "print(0)\n")
        await fixture.start()
        let wanted = ScratchTree.snapshot(fixture.project.path + "/app")
        let present = ScratchTree.snapshot(fixture.container.path + "/srv/app")
        #expect(present.filter { !$0.key.hasPrefix("node_modules") } == wanted)
        #expect(fixture.container.read("srv/app/node_modules/x.js") == "theirs")
        #expect(fixture.events.all.contains { if case .leftAlone(_, 1) = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("a save, a deletion and a new folder reach the container")
    func follows() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        try fixture.project.write("app/b.txt", "two")
        await fixture.start()
        try fixture.project.write("app/a.txt", "changed")
        unlink(fixture.project.path + "/app/b.txt")
        try fixture.project.write("app/new/c.txt", "three")
        await fixture.settle(["app/a.txt", "app/b.txt"], rescan: ["app/new"])
        #expect(
            ScratchTree.snapshot(fixture.container.path + "/srv/app")
                == ScratchTree.snapshot(fixture.project.path + "/app"))
        let landed = try #require(fixture.events.landed.last)
        #expect(landed.deleted == 1)
        #expect(landed.files == 3)
        #expect(landed.pods == 1)
        await fixture.lane.end()
    }

    @Test("content that was sent early is what the batch commits")
    func stagesEarly() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        try fixture.project.write("app/a.txt", "two")
        await fixture.lane.prepare(RelativePath("app/a.txt"))
        #expect(fixture.container.read("srv/app/a.txt") == "one")
        await fixture.settle(["app/a.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "two")
        try fixture.project.write("app/a.txt", "three")
        await fixture.lane.prepare(RelativePath("app/a.txt"))
        try fixture.project.write("app/a.txt", "fours")
        await fixture.settle(["app/a.txt"])
        #expect(fixture.container.read("srv/app/a.txt") == "fours")
        await fixture.lane.end()
    }

    @Test("a file whose bytes stay sends no bytes, only its time")
    func touches() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        var times = [timespec(tv_sec: 1_000_000, tv_nsec: 5), timespec(tv_sec: 1_000_000, tv_nsec: 5)]
        utimensat(AT_FDCWD, fixture.project.path + "/app/a.txt", &times, 0)
        chmod(fixture.project.path + "/app/a.txt", 0o755)
        await fixture.settle(["app/a.txt"])
        #expect(
            ScratchTree.snapshot(fixture.container.path + "/srv/app")
                == ScratchTree.snapshot(fixture.project.path + "/app"))
        #expect(fixture.events.landed.last?.bytes == 0)
        await fixture.lane.end()
    }

    @Test("of very many files that no rule takes the first are named, and that there are more")
    func namesSome() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        let paths = (1...150).map { "temporary-\($0)" }
        for path in paths { try fixture.project.write(path, "") }
        for _ in 0..<2 { await fixture.settle(paths) }
        #expect(fixture.events.all.count { if case .unmatched = $0 { true } else { false } } == 100)
        #expect(fixture.events.all.count { $0 == .notice("further files that no rule takes are not named") } == 1)
        await fixture.lane.end()
    }

    @Test("a file that becomes a folder, and the reverse")
    func changesKind() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/x", "a file")
        try fixture.project.write("app/y/z.txt", "in a folder")
        await fixture.start()
        unlink(fixture.project.path + "/app/x")
        unlink(fixture.project.path + "/app/y/z.txt")
        rmdir(fixture.project.path + "/app/y")
        try fixture.project.write("app/x/inner.txt", "now in a folder")
        try fixture.project.write("app/y", "now a file")
        await fixture.settle(["app/y"], rescan: ["app/x", "app/y"])
        #expect(
            ScratchTree.snapshot(fixture.container.path + "/srv/app")
                == ScratchTree.snapshot(fixture.project.path + "/app"))
        #expect(fixture.events.skipped == [])
        await fixture.lane.end()
    }

    @Test("what was removed while nobody watched is deleted at the next start, and nothing else")
    func remembersRemovals() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/stays.txt", "one")
        try fixture.project.write("app/goes.txt", "two")
        await fixture.start()
        try fixture.container.write("srv/app/theirs.txt", "made in the pod")
        await fixture.lane.end()
        unlink(fixture.project.path + "/app/goes.txt")
        let again = try LaneFixture(reusing: (fixture.project, fixture.container, fixture.state))
        await again.start([LaneFixture.instance(1, run: 2)])
        #expect(Set(ScratchTree.snapshot(fixture.container.path + "/srv/app").keys) == ["stays.txt", "theirs.txt"])
        // The pod makes a file of that name itself: it is the pod's, once the container was told of the deletion.
        try fixture.container.write("srv/app/goes.txt", "the pod's own")
        again.local.killHelpers()
        try fixture.project.write("app/stays.txt", "three")
        await again.settle(["app/stays.txt"])
        #expect(fixture.container.read("srv/app/goes.txt") == "the pod's own")
        await again.lane.end()
    }

    @Test("mirror deletes what is only in the container")
    func mirrors() async throws {
        let fixture = try LaneFixture(mirror: true)
        try fixture.project.write("app/a.txt", "one")
        try fixture.container.write("srv/app/old/b.txt", "two")
        await fixture.start()
        #expect(Set(ScratchTree.snapshot(fixture.container.path + "/srv/app").keys) == ["a.txt"])
        await fixture.lane.end()
    }

    @Test("a step runs once after a batch of its rule, and its failure is told")
    func runsSteps() async throws {
        let fixture = try LaneFixture(then: [.exec(["sh", "-c", "echo ran; exit 3"]), .exec(["echo", "never"])])
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        let outputs = fixture.events.all.filter { if case .output = $0 { true } else { false } }
        #expect(outputs == [.output(pod: "web-1", line: "ran")])
        #expect(fixture.events.all.contains { if case .executed(_, _, 3, _) = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("changes during a broken connection arrive with the next one")
    func heals() async throws {
        let fixture = try LaneFixture()
        try fixture.project.write("app/a.txt", "one")
        await fixture.start()
        for round in 0..<20 {
            fixture.local.killHelpers()
            try fixture.project.write("app/a.txt", "round \(round)")
            try fixture.project.write("app/new-\(round).txt", "round \(round)")
            await fixture.settle(["app/a.txt", "app/new-\(round).txt"])
            try await fixture.untilEqual()
        }
        await fixture.lane.end()
    }
}
