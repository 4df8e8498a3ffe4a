import Testing

@testable import LoopServer

@Suite("Large files that have changed", .turn) struct LaneDeltaTests {
    private func content(_ seed: UInt64) -> [UInt8] {
        var generator = SeededGenerator(seed: seed)
        return (0..<3_000_000).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    @Test("only the blocks that the container lacks travel")
    func sendsLittle() async throws {
        let fixture = try LaneFixture()
        var bytes = content(1)
        try fixture.project.write("app/big", bytes)
        await fixture.start()
        bytes[1_500_000] ^= 1
        bytes += [1, 2, 3]
        try fixture.project.write("app/big", bytes)
        await fixture.settle(["app/big"])
        try await fixture.untilEqual()
        let landed = try #require(fixture.events.landed.last)
        #expect(landed.bytes == Int64(bytes.count))
        #expect(landed.bytesSent > 0 && landed.bytesSent < 100_000, "\(landed.bytesSent)")
        await fixture.lane.end()
    }

    @Test("what the container had before the first connection is built on, too")
    func buildsOnImage() async throws {
        let fixture = try LaneFixture()
        var bytes = content(2)
        try fixture.container.write("srv/app/big", bytes)
        bytes.removeSubrange(1000..<1500)
        try fixture.project.write("app/big", bytes)
        await fixture.start()
        try await fixture.untilEqual()
        let landed = try #require(fixture.events.landed.last)
        #expect(landed.bytesSent > 0 && landed.bytesSent < 100_000, "\(landed.bytesSent)")
        await fixture.lane.end()
    }

    @Test("a file that somebody changed in the container is no base: all of it travels, and is right")
    func survivesMeddling() async throws {
        let fixture = try LaneFixture()
        var bytes = content(3)
        try fixture.project.write("app/big", bytes)
        await fixture.start()
        try fixture.container.write("srv/app/big", content(4))
        bytes[7] ^= 1
        try fixture.project.write("app/big", bytes)
        await fixture.settle(["app/big"])
        try await fixture.untilEqual()
        // Shorter than what was there: parts of the base are missing.
        try fixture.container.write("srv/app/big", [1, 2, 3])
        bytes[8] ^= 1
        try fixture.project.write("app/big", bytes)
        await fixture.settle(["app/big"])
        try await fixture.untilEqual()
        await fixture.lane.end()
    }
}
