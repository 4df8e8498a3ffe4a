/// A watcher's events, for one reader; they end after `stop`, or when the reading task is cancelled.
public struct WatchEvents: AsyncSequence, Sendable {
    let mailbox: Mailbox

    /// Begins, or goes on, with the oldest event that nobody took.
    public func makeAsyncIterator() -> Iterator { Iterator(mailbox: mailbox) }

    /// Waits for events one by one.
    public struct Iterator: AsyncIteratorProtocol, Sendable {
        let mailbox: Mailbox

        /// The next event; nil when there are no more.
        public mutating func next() async -> WatchEvent? { await mailbox.next() }

        /// The next event; nil when there are no more.
        public mutating func next(isolation actor: isolated (any Actor)?) async -> WatchEvent? { await mailbox.next() }
    }
}
