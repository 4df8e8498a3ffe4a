import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("What builds make, on its way into containers", .turn) struct OutputTests {
    private func fixture(_ items: [(from: String, to: String)]) throws -> LaneFixture {
        try LaneFixture(sideloads: items)
    }

    private func built(_ fixture: LaneFixture) async {
        let now = monotonicNow()
        await fixture.lane.takeOutputs(of: [0], firstEvent: now, settled: now)
        await fixture.lane.untilConverged()
    }

    @Test("a build's file lands beside what was there, a second build replaces it, the same bytes send nothing")
    func file() async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        try fixture.container.write("bin/other", "stays")
        await fixture.start()
        try fixture.project.write("out/server", "one", mode: 0o755)
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "one")
        #expect(access(fixture.container.path + "/bin/server", X_OK) == 0)
        try fixture.project.write("out/server", "two", mode: 0o755)
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "two")
        let landed = fixture.events.landed.count
        try fixture.project.write("out/server", "two", mode: 0o755)
        await built(fixture)
        #expect(fixture.events.landed.count == landed)
        #expect(fixture.container.read("bin/other") == "stays")
        await fixture.lane.end()
    }

    @Test("what a first build makes and the container has from an earlier run is neither brought nor taken up again")
    func hasAlready() async throws {
        let fixture = try LaneFixture(sideloads: [("out/server", "bin/server")], then: [.exec(["echo", "ran"])])
        try fixture.container.write("bin/server", "one")
        await fixture.start()
        try fixture.project.write("out/server", "one")
        await built(fixture)
        #expect(fixture.events.landed.isEmpty)
        #expect(!fixture.events.all.contains { if case .executed = $0 { true } else { false } })
        try fixture.project.write("out/server", "two")
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "two")
        #expect(fixture.events.all.contains { if case .executed = $0 { true } else { false } })
        await fixture.lane.end()
    }

    @Test("a first build's large file is built on what the container has from an earlier run", arguments: [3, 9])
    func buildsOnEarlierRun(megabytes: Int) async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        var generator = SeededGenerator(seed: 5)
        var bytes = (0..<megabytes * 1_000_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
        try fixture.container.write("bin/server", bytes)
        await fixture.start()
        bytes[1_500_000] ^= 1
        try fixture.project.write("out/server", bytes)
        await built(fixture)
        let landed = try #require(fixture.events.landed.last)
        #expect(landed.bytesSent > 0 && landed.bytesSent < 200_000, "\(landed.bytesSent)")
        await fixture.lane.end()
    }

    @Test("a build that makes a folder with links in it alike again takes nothing up; a new exec bit does")
    func alike() async throws {
        let fixture = try LaneFixture(sideloads: [("out", "lib")], then: [.exec(["echo", "ran"])])
        await fixture.start()
        func build(mode: mode_t) throws {
            try fixture.project.write("out/deep/lib.so.1", "content", mode: mode)
            _ = symlink("lib.so.1", fixture.project.path + "/out/deep/lib.so")
        }
        func runs() -> Int { fixture.events.all.count { if case .executed = $0 { true } else { false } } }
        try build(mode: 0o644)
        await built(fixture)
        #expect(fixture.container.read("lib/deep/lib.so") == "content")
        let (landed, ran) = (fixture.events.landed.count, runs())
        #expect(ran == 1)
        try build(mode: 0o644)
        await built(fixture)
        #expect(fixture.events.landed.count == landed)
        #expect(runs() == ran)
        try build(mode: 0o755)
        await built(fixture)
        #expect(access(fixture.container.path + "/lib/deep/lib.so.1", X_OK) == 0)
        #expect(runs() == ran + 1)
        await fixture.lane.end()
    }

    @Test("a large file that is built again and again leaves none of its predecessors in the container")
    func predecessors() async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        await fixture.start()
        for round in UInt8(1)...4 {
            try fixture.project.write("out/server", [UInt8](repeating: round, count: 1_200_000), mode: 0o755)
            await built(fixture)
            #expect(fixture.container.read("bin/server")?.utf8.first == round)
        }
        let deadline = ContinuousClock.now + .seconds(60)
        func left() -> [String] {
            ScratchTree.snapshot(fixture.container.path).filter { path, what in
                path.contains(".loopd") && what.hasPrefix("file 1200000 ")
            }.map(\.key)
        }
        // They go a moment later, when the programs that ran from them have ended.
        while !left().isEmpty {
            try #require(ContinuousClock.now < deadline, "\(left())")
            try await Task.sleep(for: .milliseconds(20))
        }
        await fixture.lane.end()
        #expect(left().isEmpty)
    }

    @Test("events about a build's file send nothing: only the end of a build says that it is whole")
    func waitsForBuild() async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        await fixture.start()
        try fixture.project.write("out/server", "half")
        await fixture.settle(["out/server"], rescan: [""])
        #expect(fixture.container.read("bin/server") == nil)
        // Nor does its removal, as by a "clean", remove anything.
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "half")
        unlink(fixture.project.path + "/out/server")
        await fixture.settle(["out/server"], rescan: [""])
        #expect(fixture.container.read("bin/server") == "half")
        await fixture.lane.end()
    }

    @Test("a build that does not make what was promised is told, and the container keeps what it has")
    func missing() async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        try fixture.container.write("bin/server", "old")
        await fixture.start()
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "old")
        #expect(
            fixture.events.all.contains {
                if case .failed(let failure) = $0 { failure.summary.hasPrefix("out/server is missing") } else { false }
            })
        await fixture.lane.end()
    }

    @Test("of a folder everything lands, and what the build makes no more goes")
    func folder() async throws {
        let fixture = try fixture([("out", "opt/app")])
        try fixture.container.write("opt/app/theirs", "stays")
        try fixture.project.write("out/a/one", "1")
        try fixture.project.write("out/two", "2")
        await fixture.start()
        await built(fixture)
        #expect(fixture.container.read("opt/app/a/one") == "1")
        unlink(fixture.project.path + "/out/two")
        try fixture.project.write("out/three", "3")
        await built(fixture)
        #expect(fixture.container.read("opt/app/two") == nil)
        #expect(fixture.container.read("opt/app/three") == "3")
        #expect(fixture.container.read("opt/app/theirs") == "stays")
        await fixture.lane.end()
    }

    @Test("a container that comes later gets what was built before")
    func later() async throws {
        let fixture = try fixture([("out/server", "bin/server")])
        await fixture.lane.survey()
        try fixture.project.write("out/server", "one")
        let now = monotonicNow()
        await fixture.lane.takeOutputs(of: [0], firstEvent: now, settled: now)
        await fixture.lane.setInstances([LaneFixture.instance()])
        await fixture.lane.untilConverged()
        #expect(fixture.container.read("bin/server") == "one")
        await fixture.lane.end()
    }
}
