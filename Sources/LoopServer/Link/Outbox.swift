internal import Synchronization
internal import Wire

/// Frames on their way out: appended by anyone, sent by one writer, as many as are there in one message.
///
/// Bounded: who has much to send waits in `waitForRoom` first, so that a slow link slows its senders down.
final class Outbox: Sendable {
    private struct State {
        var pending: [UInt8] = []
        var writer: CheckedContinuation<Void, Never>?
        var waiting: [CheckedContinuation<Void, Never>] = []
        var isClosed = false
    }

    /// Past this many bytes, senders of content wait.
    static let capacity = 2 << 20
    private let state = Mutex(State())

    func append(_ frame: Frame) {
        let writer = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.isClosed else { return nil }
            frame.append(to: &state.pending)
            return state.writer.take()
        }
        writer?.resume()
    }

    /// Returns when less than `limit` bytes wait, the outbox is closed, or the task is cancelled.
    func waitForRoom(below limit: Int = Outbox.capacity) async {
        // Again after each wait: all waiters wake at once, and the first of them fill the room.
        while !Task.isCancelled, state.withLock({ !$0.isClosed && $0.pending.count >= limit }) {
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let now = state.withLock { state in
                        if state.isClosed || state.pending.count < limit || Task.isCancelled { return true }
                        state.waiting.append(continuation)
                        return false
                    }
                    if now { continuation.resume() }
                }
            } onCancel: {
                // All of them, because they have no names: the others wait again.
                for sender in takeWaiting() { sender.resume() }
            }
        }
    }

    private func takeWaiting() -> [CheckedContinuation<Void, Never>] {
        state.withLock { state in
            defer { state.waiting = [] }
            return state.waiting
        }
    }

    /// Everything that waits to be sent, or `nil` once the outbox is closed.
    func take() async -> [UInt8]? {
        await withCheckedContinuation { continuation in
            let now = state.withLock { state in
                if state.isClosed || !state.pending.isEmpty { return true }
                state.writer = continuation
                return false
            }
            if now { continuation.resume() }
        }
        let (bytes, waiting) = state.withLock { state in
            let bytes: [UInt8]? = state.isClosed ? nil : state.pending
            state.pending = []
            let waiting = state.waiting
            state.waiting = []
            return (bytes, waiting)
        }
        for sender in waiting { sender.resume() }
        return bytes
    }

    /// Drops what is pending and lets everybody pass.
    func close() {
        let waiting = state.withLock { state in
            state.isClosed = true
            state.pending = []
            let waiting = state.waiting + [state.writer].compactMap { $0 }
            state.waiting = []
            state.writer = nil
            return waiting
        }
        for task in waiting { task.resume() }
    }
}
