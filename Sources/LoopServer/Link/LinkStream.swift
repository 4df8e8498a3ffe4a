internal import Synchronization
internal import Wire

/// Who gets the messages of one stream from the connection's reader.
protocol LinkReceiver: AnyObject, Sendable {
    /// Takes a message; an error ends the connection.
    func deliver(_ message: Message) throws
    /// Lets the waiting tasks, and every later call, fail.
    func end(_ error: LinkError)
}

/// One request and its answers: the inbox of a stream, and the credit for content on it.
///
/// One task uses it.
final class LinkStream: LinkReceiver {
    private struct State {
        /// What has come, newest last, and what of it is given out next, last one first.
        var inbox: [Message] = []
        var outgoing: [Message] = []
        var credit = FlowWindow.Sender()
        var ending: LinkError?
        var waiter: CheckedContinuation<Void, Never>?

        var isEmpty: Bool { inbox.isEmpty && outgoing.isEmpty }

        mutating func next() -> Message? {
            if outgoing.isEmpty, !inbox.isEmpty {
                outgoing = inbox.reversed()
                inbox = []
            }
            return outgoing.popLast()
        }
    }

    let id: UInt32
    private let state = Mutex(State())

    init(id: UInt32) {
        self.id = id
    }

    func deliver(_ message: Message) throws(WireError) {
        let outcome = state.withLock { state -> (Result<Void, WireError>, CheckedContinuation<Void, Never>?) in
            if case .window(let bytes) = message {
                do throws(WireError) { try state.credit.grant(bytes) } catch { return (.failure(error), nil) }
            } else {
                state.inbox.append(message)
            }
            return (.success(()), state.waiter.take())
        }
        outcome.1?.resume()
        try outcome.0.get()
    }

    func end(_ error: LinkError) {
        let waiter = state.withLock { state in
            state.ending = state.ending ?? error
            return state.waiter.take()
        }
        waiter?.resume()
    }

    /// The next answer.
    ///
    /// What arrived before the connection ended is still given out.
    func next() async throws -> Message {
        while true {
            let message: Message? = try state.withLock { state in
                if let message = state.next() { return message }
                if let ending = state.ending { throw ending }
                return nil
            }
            if let message { return message }
            try await news { $0.isEmpty }
        }
    }

    /// Spends credit for at most `wanted` bytes of content, waiting for the first.
    ///
    /// Zero means that an answer came instead: the helper refused the content before it was complete.
    func takeCredit(_ wanted: Int) async throws -> Int {
        while true {
            let taken: Int? = try state.withLock { state in
                if let ending = state.ending { throw ending }
                if !state.isEmpty { return 0 }
                let taken = state.credit.take(wanted)
                return taken > 0 ? taken : nil
            }
            if let taken { return taken }
            try await news { $0.isEmpty && $0.credit.credit <= 0 }
        }
    }

    /// Waits until something was delivered or the stream ended, as long as `isWaiting` says that there is nothing yet.
    private func news(while isWaiting: (borrowing State) -> Bool) async throws {
        try Task.checkCancellation()
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let now = state.withLock { state in
                    if state.ending != nil || Task.isCancelled || !isWaiting(state) { return true }
                    state.waiter = continuation
                    return false
                }
                if now { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiter.take() }?.resume()
        }
        try Task.checkCancellation()
    }
}
