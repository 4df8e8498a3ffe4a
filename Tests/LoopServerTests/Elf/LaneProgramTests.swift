import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("Programs on their way into containers", .turn) struct LaneProgramTests {
    private static let loader = "/lib64/ld-linux-x86-64.so.2"
    private static let list = "\(loader) --list /stage/1"
    private static let missing =
        "/stage/1: error while loading shared libraries: libgone.so: cannot open shared object file: "
        + "No such file or directory"

    private func built(_ fixture: LaneFixture) async {
        let now = monotonicNow()
        await fixture.lane.takeOutputs(of: [0], firstEvent: now, settled: now)
        await fixture.lane.untilConverged()
    }

    private func fixture(_ hooks: Hooks, from: String = "out/server", then: [Step] = []) throws -> LaneFixture {
        let to = from == "out" ? "bin" : "bin/server"
        let fixture = try LaneFixture(sideloads: [(from, to)], then: then, hooks: hooks)
        try fixture.container.write("bin/server", "old", mode: 0o755)
        return fixture
    }

    @Test("a program for another machine does not land, runs no step, and the next build tries again")
    func machine() async throws {
        let hooks = Hooks(architecture: "amd64")
        let fixture = try fixture(hooks, then: [.exec(["/bin/true"])])
        await fixture.start()
        try fixture.project.write("out/server", CraftedElf(machine: 183).bytes, mode: 0o755)
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "old")
        #expect(
            fixture.events.failed == [
                .init(
                    "out/server is for aarch64, but node node is amd64",
                    nextStep: "build for amd64 (cargo: --target x86_64-unknown-linux-gnu)")
            ])
        #expect(fixture.events.skipped.count == 1)
        #expect(fixture.events.landed.isEmpty)
        #expect(hooks.calls.contains(.abandon))
        #expect(await fixture.lane.isWhole == false)

        let whole = CraftedElf(interpreter: nil, needed: []).bytes
        #expect(!hooks.calls.contains { if case .run = $0 { true } else { false } })
        try fixture.project.write("out/server", whole, mode: 0o755)
        await built(fixture)
        #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == whole)
        #expect(hooks.calls.filter { $0 == .run(["/bin/true"]) }.count == 1)
        #expect(await fixture.lane.isWhole)
        await fixture.lane.end()
    }

    @Test("the same fault is said once for all containers, and again of the next build")
    func once() async throws {
        let fixture = try fixture(Hooks(architecture: "amd64"))
        await fixture.start([LaneFixture.instance(1), LaneFixture.instance(2)])
        for builds in 1...2 {
            try fixture.project.write("out/server", CraftedElf(machine: 183).bytes, mode: 0o755)
            await built(fixture)
            #expect(fixture.events.failed.count == builds)
            #expect(fixture.events.skipped.count == 2 * builds)
        }
        await fixture.lane.end()
    }

    @Test("a half-written program does not land; where a program was, not even one without its exec bit")
    func halfWritten() async throws {
        let fixture = try fixture(Hooks())
        await fixture.start()
        let whole = CraftedElf(interpreter: nil, needed: []).bytes
        try fixture.project.write("out/server", Array(whole.dropLast()), mode: 0o755)
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "old")
        #expect(fixture.events.failed.map(\.summary).allSatisfy { $0.hasPrefix("out/server is not whole: ") })
        try fixture.project.write("out/server", whole, mode: 0o755)
        await built(fixture)
        #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == whole)
        try fixture.project.write("out/server", [UInt8](repeating: 0, count: whole.count), mode: 0o644)
        await built(fixture)
        #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == whole)
        #expect(fixture.events.failed.count == 2)
        await fixture.lane.end()
    }

    @Test("scripts and data land unchecked")
    func others() async throws {
        let fixture = try fixture(Hooks(architecture: "amd64", programs: ["nothing": (0, "")]))
        await fixture.start()
        for text in ["#!/bin/sh\necho", "data"] {
            try fixture.project.write("out/server", text, mode: 0o755)
            await built(fixture)
            #expect(fixture.container.read("bin/server") == text)
        }
        #expect(fixture.events.failed.isEmpty)
        await fixture.lane.end()
    }

    @Test("the container is asked only when a program needs something else than before")
    func asks() async throws {
        let hooks = Hooks(programs: [Self.list: (0, "")])
        let fixture = try fixture(hooks)
        await fixture.start()
        func questions() -> Int { hooks.calls.filter { if case .run = $0 { true } else { false } }.count }
        var program = CraftedElf()
        for build in 1...3 {
            program.padding = build
            try fixture.project.write("out/server", program.bytes, mode: 0o755)
            await built(fixture)
            #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == program.bytes)
            #expect(questions() == 1)
        }
        program.needed.append("libm.so.6")
        try fixture.project.write("out/server", program.bytes, mode: 0o755)
        await built(fixture)
        #expect(questions() == 2)
        await fixture.lane.end()
    }

    @Test("a program without its library does not land, unless the library comes along")
    func library() async throws {
        let fixture = try fixture(Hooks(programs: [Self.list: (127, Self.missing)]), from: "out")
        await fixture.start()
        let program = CraftedElf(needed: ["libgone.so"]).bytes
        try fixture.project.write("out/server", program, mode: 0o755)
        try fixture.project.write("out/data", "lands")
        await built(fixture)
        #expect(fixture.container.read("bin/server") == "old")
        #expect(fixture.container.read("bin/data") == "lands")
        #expect(
            fixture.events.failed.map(\.summary) == [
                "out/server needs libgone.so, which the container does not have"
            ])
        let library = CraftedElf(interpreter: nil, name: "libgone.so", isMarkedPIE: false).bytes
        try fixture.project.write("out/libgone.so", library)
        await built(fixture)
        #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == program)
        await fixture.lane.end()
    }

    @Test("a loader that cannot be run refuses nothing")
    func silent() async throws {
        let fixture = try fixture(Hooks(programs: [Self.list: (126, "")]))
        await fixture.start()
        let program = CraftedElf().bytes
        try fixture.project.write("out/server", program, mode: 0o755)
        await built(fixture)
        #expect(ScratchTree.contents(fixture.container.path + "/bin/server") == program)
        #expect(fixture.events.all.contains { if case .detail = $0 { true } else { false } })
        await fixture.lane.end()
    }
}
