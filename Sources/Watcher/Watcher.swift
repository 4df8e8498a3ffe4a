/// Reports what changes below one folder.
public final class Watcher: Sendable {
    private let mailbox = Mailbox()

    /// Prepares a watcher of `root`.
    public init(root: String, options: WatchOptions = WatchOptions()) throws(WatchError) {}

    /// Sets the watches on a thread of its own and starts to report. A second call does nothing.
    public func start() {}

    /// What was found, for one reader; ends after `stop`.
    public var events: AsyncStream<WatchEvent> {
        AsyncStream { [mailbox] in await mailbox.next() }
    }

    /// Ends the thread and the stream and gives all descriptors back. Further calls do nothing.
    public func stop() { mailbox.close() }
}
