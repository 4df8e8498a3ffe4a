internal import Synchronization

/// A value that one task at a time has, across suspensions; the others wait in order of arrival.
///
/// A message on a connection needs this: a second writer must wait until the first one's last byte is out.
package final class AsyncMutex<Value: Sendable>: Sendable {
    private struct State {
        /// `nil` while a task has it.
        var value: Value?
        var waiters: [(id: UInt64, continuation: CheckedContinuation<Value, any Error>)] = []
        var nextID: UInt64 = 0
    }
    private let state: Mutex<State>

    /// Holds a value that nobody has yet.
    package init(_ value: Value) {
        state = Mutex(State(value: value))
    }

    /// Runs `body` with the value.
    ///
    /// A task that is cancelled while it waits throws `CancellationError` and leaves the queue.
    package func withLock<Result>(_ body: (inout Value) async throws -> Result) async throws -> Result {
        var value = try await take()
        defer { give(value) }
        return try await body(&value)
    }

    private enum Turn {
        case now(Value)
        case queued
        case cancelled
    }

    private func take() async throws -> Value {
        if let value = state.withLock({ $0.value.take() }) { return value }
        let id = state.withLock { state in
            state.nextID += 1
            return state.nextID
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let turn: Turn = state.withLock { state in
                    if let value = state.value.take() { return .now(value) }
                    // Under the lock: a cancellation that comes later finds the waiter in the queue.
                    if Task.isCancelled { return .cancelled }
                    state.waiters.append((id, continuation))
                    return .queued
                }
                switch turn {
                case .now(let value): continuation.resume(returning: value)
                case .queued: break
                case .cancelled: continuation.resume(throwing: CancellationError())
                }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                state.waiters.firstIndex { $0.id == id }.map { state.waiters.remove(at: $0).continuation }
            }
            waiter?.resume(throwing: CancellationError())
        }
    }

    private func give(_ value: Value) {
        let next = state.withLock { state in
            if !state.waiters.isEmpty { return Optional(state.waiters.removeFirst().continuation) }
            state.value = value
            return nil
        }
        next?.resume(returning: value)
    }
}
