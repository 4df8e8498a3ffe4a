import TestCluster
import Testing

/// Few of these tests run at once: each has a loopd, a kubectl and containers of its own.
struct Turn: SuiteTrait, TestTrait, TestScoping {
    /// Whether a test wants the machine to itself; it then waits until no other one waits or runs.
    let isAlone: Bool

    var isRecursive: Bool { true }

    func scopeProvider(for test: Test, testCase: Test.Case?) -> Turn? { testCase == nil ? nil : self }

    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        await Turn.queue.enter(alone: isAlone)
        defer { Turn.queue.leave(alone: isAlone) }
        try await function()
    }

    private static let queue = TurnQueue(width: 3)
}

extension Trait where Self == Turn {
    /// A test that shares the machine with two others.
    static var turn: Turn { Turn(isAlone: false) }
    /// A test whose waits are short enough to be disturbed by others.
    static var alone: Turn { Turn(isAlone: true) }
}

/// What the cluster under test can do.
enum Ability {
    static let isPlayground = variable("LOOPD_E2E_KUBECONFIG") == nil
    static let ownPlayground: Comment = "it is about the playground; LOOPD_E2E_KUBECONFIG names another cluster"
}
