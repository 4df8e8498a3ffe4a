internal import Synchronization

/// A latch for one waiter: `signal` opens it, a passing waiter closes it again.
///
/// An edge that arrives between a call's `EAGAIN` and its wait is kept, so it cannot be missed.
public final class Gate: Sendable {
    private enum State {
        case idle
        case signalled
        case waiting(CheckedContinuation<Void, Never>)
        case closed
    }
    private let state = Mutex(State.idle)

    /// A closed latch.
    public init() {}

    /// Lets the waiter pass, or the next one that comes.
    public func signal() { advance(to: .signalled) }

    /// Lets the present and every later waiter pass.
    public func close() { advance(to: .closed) }

    private func advance(to next: State) {
        let waiter: CheckedContinuation<Void, Never>? = state.withLock { state in
            switch state {
            case .closed: return nil
            case .idle, .signalled:
                state = next
                return nil
            case .waiting(let continuation):
                if case .closed = next { state = .closed } else { state = .idle }
                return continuation
            }
        }
        waiter?.resume()
    }

    /// Returns at the next signal, at `close`, or when the task is cancelled; the caller tries its call again and checks.
    public func pass() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let passNow = state.withLock { state in
                    switch state {
                    case .signalled:
                        state = .idle
                        return true
                    case .closed: return true
                    case .idle:
                        if Task.isCancelled { return true }
                        state = .waiting(continuation)
                        return false
                    case .waiting: preconditionFailure("two tasks wait for the same side of one descriptor")
                    }
                }
                if passNow { continuation.resume() }
            }
        } onCancel: {
            signal()
        }
    }
}
