import Synchronization
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

    private static let queue = Queue()

    private final class Queue: Sendable {
        private struct State {
            var running = 0
            var isTaken = false
            var waiting: [CheckedContinuation<Void, Never>] = []
            var waitingAlone: [CheckedContinuation<Void, Never>] = []

            /// Who may begin now.
            mutating func admit() -> [CheckedContinuation<Void, Never>] {
                var admitted: [CheckedContinuation<Void, Never>] = []
                while !isTaken, running < Queue.width, !waiting.isEmpty {
                    running += 1
                    admitted.append(waiting.removeFirst())
                }
                if !isTaken, running == 0, waiting.isEmpty, !waitingAlone.isEmpty {
                    isTaken = true
                    admitted.append(waitingAlone.removeFirst())
                }
                return admitted
            }
        }
        private static let width = 3
        private let state = Mutex(State())

        func enter(alone: Bool) async {
            await withCheckedContinuation { continuation in
                change { state in
                    if alone { state.waitingAlone.append(continuation) } else { state.waiting.append(continuation) }
                }
            }
        }

        func leave(alone: Bool) {
            change { state in
                if alone { state.isTaken = false } else { state.running -= 1 }
            }
        }

        private func change(_ body: (inout State) -> Void) {
            let admitted = state.withLock { state in
                body(&state)
                return state.admit()
            }
            for continuation in admitted { continuation.resume() }
        }
    }
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
