import Synchronization

/// Who waits for a turn, in the order in which they came: few run at once, or one alone.
package final class TurnQueue: Sendable {
    private struct State {
        var running = 0
        var isTaken = false
        var waiting: [CheckedContinuation<Void, Never>] = []
        var waitingAlone: [CheckedContinuation<Void, Never>] = []

        /// Who may begin now.
        mutating func admit(_ width: Int) -> [CheckedContinuation<Void, Never>] {
            var admitted: [CheckedContinuation<Void, Never>] = []
            while !isTaken, running < width, !waiting.isEmpty {
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
    private let width: Int
    private let state = Mutex(State())

    /// At most `width` run at once.
    package init(width: Int) { self.width = width }

    /// Waits for a turn; one that wants to be alone waits until no other one waits or runs.
    package func enter(alone: Bool = false) async {
        await withCheckedContinuation { continuation in
            change { state in
                if alone { state.waitingAlone.append(continuation) } else { state.waiting.append(continuation) }
            }
        }
    }

    /// Ends a turn.
    package func leave(alone: Bool = false) {
        change { state in
            if alone { state.isTaken = false } else { state.running -= 1 }
        }
    }

    private func change(_ body: (inout State) -> Void) {
        let admitted = state.withLock { state in
            body(&state)
            return state.admit(width)
        }
        for continuation in admitted { continuation.resume() }
    }
}
