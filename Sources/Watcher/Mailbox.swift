internal import Synchronization

/// Holds what the watcher's thread found until somebody takes it, in bounded memory.
///
/// Batches that nobody took yet merge into one; hints are dropped as soon as a batch is there, because it names their paths
/// too; of every other event the latest of its kind is kept. One reader at a time.
final class Mailbox: Sendable {
    private struct State {
        var notices: [WatchEvent] = []
        var hints: [RelativePath] = []
        var hinted: Set<RelativePath> = []
        var changes: ChangeSet?
        var waiter: CheckedContinuation<WatchEvent?, Never>?
        var closed = false

        mutating func take() -> WatchEvent? {
            if !notices.isEmpty { return notices.removeFirst() }
            if let changes {
                self.changes = nil
                return .settled(changes)
            }
            guard !hints.isEmpty else { return nil }
            let path = hints.removeFirst()
            hinted.remove(path)
            return .finished(path)
        }

        mutating func put(_ event: WatchEvent) {
            switch event {
            case .settled(let changes):
                hints = []
                hinted = []
                if self.changes == nil { self.changes = changes } else { self.changes?.merge(changes) }
            case .finished(let path):
                // A hint behind a waiting batch would be about content that this batch reads anyway.
                guard changes == nil, hints.count < Mailbox.hintLimit, hinted.insert(path).inserted else { return }
                hints.append(path)
            default:
                notices.removeAll { $0.isReplaced(by: event) }
                if notices.count < Mailbox.noticeLimit { notices.append(event) }
            }
        }
    }

    static let hintLimit = 1_024
    static let noticeLimit = 256
    private let state = Mutex(State())

    func put(_ event: WatchEvent) {
        let delivery: (CheckedContinuation<WatchEvent?, Never>, WatchEvent)? = state.withLock { state in
            guard !state.closed else { return nil }
            state.put(event)
            guard let waiter = state.waiter, let first = state.take() else { return nil }
            state.waiter = nil
            return (waiter, first)
        }
        if let (waiter, event) = delivery { waiter.resume(returning: event) }
    }

    /// Ends the stream after what is already there; later events are dropped.
    func close() {
        let waiter = state.withLock { state in
            state.closed = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: nil)
    }

    /// The next event; nil after `close`, or when the task is cancelled.
    func next() async -> WatchEvent? {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let passed: WatchEvent?? = state.withLock { state in
                    if let event = state.take() { return .some(event) }
                    if state.closed || Task.isCancelled { return .some(nil) }
                    precondition(state.waiter == nil, "two tasks read the same watcher's events")
                    state.waiter = continuation
                    return nil
                }
                if let passed { continuation.resume(returning: passed) }
            }
        } onCancel: {
            let waiter = state.withLock { state in
                defer { state.waiter = nil }
                return state.waiter
            }
            waiter?.resume(returning: nil)
        }
    }
}

extension WatchEvent {
    /// Whether a waiting event says nothing more once `later` is there.
    fileprivate func isReplaced(by later: WatchEvent) -> Bool {
        switch (self, later) {
        case (.ready, .ready), (.rootVanished, .rootVanished), (.rootRestored, .rootRestored),
            (.limitReached, .limitReached), (.limitReached, .limitLifted), (.limitLifted, .limitReached):
            true
        case (.unreadable(let this), .unreadable(let that)): this.path == that.path
        default: false
        }
    }
}
