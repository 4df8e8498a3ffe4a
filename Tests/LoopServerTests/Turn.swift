import TestCluster
import Testing

/// A test that takes its turn: with all of them at once each step of each would wait for hundreds of others, longer than the
/// product lets a cluster or a program take for it.
struct Turn: SuiteTrait, TestTrait, TestScoping {
    /// Two cores are busy with these, and one that only waits keeps nobody from running.
    private static let queue = TurnQueue(width: 8)
    /// A guard against hangs: what has its turn does not wait for others.
    private static let limit = Duration.seconds(600)

    var isRecursive: Bool { true }

    func scopeProvider(for test: Test, testCase: Test.Case?) -> Turn? { testCase == nil ? nil : self }

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        await Turn.queue.enter()
        defer { Turn.queue.leave() }
        try await withoutActuallyEscaping(function) { function in
            try await within(Turn.limit, "the end of the test") { try await function() }
        }
    }
}

extension Trait where Self == Turn {
    /// A test that runs beside a few others.
    static var turn: Turn { Turn() }
}
