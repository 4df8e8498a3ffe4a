import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The first way that leads out", .turn)
struct FirstWayTests {
    /// A connection that notes what becomes of it.
    private final class Connection: RelayEnd {
        let wasReset = Mutex(false)

        func receive() async throws -> [UInt8] { [] }
        func send(_ bytes: [UInt8]) async throws {}
        func finish() {}
        func reset() { wasReset.withLock { $0 = true } }
        func untilBroken() async throws {}
        func close() {}
    }

    private static func failure(_ text: String) -> DialFailure { DialFailure(kind: .refused, text: text) }

    @Test("one that fails has the next one tried at once, and all reasons come in the order of the ways")
    func failing() async throws {
        let none = try await FirstWay.find(among: 3, pace: .seconds(1000)) { number in
            throw FirstWayTests.failure("\(number)")
        }
        guard case .failure(let none) = none else { return #expect(Bool(false), "none leads there") }
        #expect(none.failures.map(\.text) == ["0", "1", "2"])
    }

    @Test("one that is slow is not given up when the next one leads nowhere")
    func slow() async throws {
        let (hasFailed, right) = (Gate(), Connection())
        let found = try await FirstWay.find(among: 2, pace: .milliseconds(10)) { number in
            if number == 1 {
                hasFailed.close()
                throw FirstWayTests.failure("nowhere")
            }
            await hasFailed.pass()
            return (right, nil)
        }
        let remote = try found.get().remote as? Connection
        #expect(remote === right)
        #expect(right.wasReset.withLock { !$0 })
    }

    @Test("one that is silent keeps nobody waiting, and its connection is reset where it comes after all")
    func silent() async throws {
        let (right, late) = (Connection(), Connection())
        let found = try await FirstWay.find(among: 2, pace: .milliseconds(10)) { number in
            if number == 1 { return (right, nil) }
            // Only a cancelled one ends.
            await Gate().pass()
            return (late, nil)
        }
        let remote = try found.get().remote as? Connection
        #expect(remote === right)
        #expect(right.wasReset.withLock { !$0 })
        #expect(late.wasReset.withLock { $0 })
    }

    @Test("who is cancelled waits for none of them")
    func cancelled() async throws {
        let isUnderWay = Gate()
        let task = Task {
            try await FirstWay.find(among: 2, pace: .zero) { _ in
                isUnderWay.close()
                // A way that never answers.
                try await Task.sleep(for: .seconds(1000))
                throw FirstWayTests.failure("late")
            }
        }
        await isUnderWay.pass()
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }
}
