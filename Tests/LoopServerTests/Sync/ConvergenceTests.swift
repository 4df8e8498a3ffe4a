import Glibc
import Testing
import Watcher

@testable import LoopServer

@Suite("Convergence", .turn) struct ConvergenceTests {
    @Test("random changes with the helper killed at random moments end in equal trees", arguments: seeds)
    func survivesKills(seed: UInt64) async throws {
        print("seed \(seed)")
        let fixture = try LaneFixture()
        try fixture.project.folder("app")
        try fixture.container.folder("srv/app")
        let watcher = try Watcher(root: fixture.project.path)
        let lane = fixture.lane
        let events = fixture.events
        let loop = WatchLoop(watcher: watcher, lanes: [lane], startFiles: StartFiles()) {
            events.add($0)
        } onReady: {
            await lane.setInstances([LaneFixture.instance()])
        }
        let running = Task { try await loop.run() }
        await lane.untilConverged()
        var operations = RandomOperations(root: fixture.project.path + "/app", seed: seed)
        var generator = SeededGenerator(seed: seed &+ 1)
        for _ in 0..<600 {
            operations.step()
            switch Int.random(in: 0..<60, using: &generator) {
            case 0: fixture.local.killHelpers()
            case 1...5: await Task.yield()
            case 6: await lane.untilConverged()
            default: break
            }
        }
        try await fixture.untilEqual()
        watcher.stop()
        try await running.value
        await lane.end()
    }

    /// `LOOPD_SEED` repeats one run.
    static var seeds: [UInt64] {
        if let given = getenv("LOOPD_SEED").flatMap({ UInt64(String(cString: $0)) }) { return [given] }
        var generator = SystemRandomNumberGenerator()
        return (0..<6).map { _ in UInt64.random(in: 0..<1_000_000, using: &generator) }
    }
}
