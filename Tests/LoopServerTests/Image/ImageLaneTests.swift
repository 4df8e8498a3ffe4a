import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The lane of an image", .turn) struct ImageLaneTests {
    /// Builds as the test lets it.
    private final class Builder: ImageBuilder {
        struct State {
            var begun = 0
            var finished = 0
            /// What is on disk.
            var content = 0
            var failure: String?
            var isHeld = false
        }
        let state = Mutex(State())

        func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
            let content = state.withLock { state in
                state.begun += 1
                return state.content
            }
            output("step 1")
            while state.withLock({ $0.isHeld }) {
                try Task.checkCancellation()
                await Task.yield()
            }
            if let failure = state.withLock({ $0.failure }) {
                throw LoopFailure(failure: LoopEvent.Failure(failure))
            }
            state.withLock { $0.finished += 1 }
            return BuiltImage(reference: "web:loopd-\(content)", bytesSent: 10)
        }
    }

    private let builder = Builder()
    private let log = EventLog()
    private let rolled = Rolled()

    private final class Rolled: Sendable {
        let references = Mutex<[String]>([])
        var all: [String] { references.withLock { $0 } }
    }

    private func running(_ body: (ImageLane) async throws -> Void) async rethrows {
        let (builder, log, rolled) = (builder, log, rolled)
        let lane = ImageLane("web") {
            (builder, .registry(RegistryNames(push: "localhost:5000")))
        } emit: {
            log.add(LoopEvent($0))
        } onBuilt: { built in
            rolled.references.withLock { $0.append(built.reference) }
        }
        let run = Task { await lane.run() }
        try await body(lane)
        run.cancel()
        await run.value
    }

    private func untilBegun(_ count: Int) async {
        while builder.state.withLock({ $0.begun }) < count { await Task.yield() }
    }

    @Test("of five changes during a build at most two builds finish, and the last content is what runs")
    func coalesces() async {
        await running { lane in
            builder.state.withLock { $0.isHeld = true }
            await lane.trigger(firstEvent: 1)
            await untilBegun(1)
            for content in 1...5 {
                builder.state.withLock { $0.content = content }
                await lane.trigger(firstEvent: UInt64(content + 1))
            }
            builder.state.withLock { $0.isHeld = false }
            await lane.untilIdle()
            #expect(builder.state.withLock { $0.finished } <= 2)
            #expect(rolled.all.last == "web:loopd-5")
            #expect(rolled.all.count <= 2)
        }
    }

    @Test("an obsolete build is ended, and nobody runs it")
    func obsolete() async {
        await running { lane in
            builder.state.withLock { $0.isHeld = true }
            await lane.trigger(firstEvent: 1)
            await untilBegun(1)
            builder.state.withLock { $0.content = 1 }
            await lane.trigger(firstEvent: 2)
            await untilBegun(2)
            builder.state.withLock { $0.isHeld = false }
            await lane.untilIdle()
            #expect(rolled.all == ["web:loopd-1"])
            #expect(!log.all.contains { if case .failed = $0 { true } else { false } })
        }
    }

    @Test("a failed build is told, and the next change builds again")
    func failure() async {
        await running { lane in
            builder.state.withLock { $0.failure = "Dockerfile:7: RUN make" }
            await lane.trigger(firstEvent: 1)
            await lane.untilIdle()
            #expect(!lane.hasSucceeded)
            #expect(log.all.contains(.failed(LoopEvent.Failure("Dockerfile:7: RUN make"))))
            builder.state.withLock { $0.failure = nil }
            await lane.trigger(firstEvent: 2)
            await lane.untilIdle()
            #expect(lane.hasSucceeded)
            #expect(rolled.all == ["web:loopd-0"])
        }
    }
}
