internal import Glibc
internal import Synchronization

/// Reports what changes below one folder.
///
/// After `start`, a thread of its own sets a watch on each folder that `IgnoreRules` do not leave out, and then sleeps until
/// the kernel has news. The root need not exist: the watcher says `rootVanished` and waits for it, as it does when the root
/// goes away later. Links below the root are reported and not followed.
///
/// Events are taken from `events` by one reader. When nobody takes them, batches merge, so that memory stays bounded and
/// nothing is lost.
public final class Watcher: Sendable {
    private struct State: ~Copyable {
        var started = false
        /// Closing it ends the thread.
        var wake: OwnedDescriptor?
    }

    private let root: String
    private let options: WatchOptions
    private let limit: Int?
    private let mailbox = Mailbox()
    private let state: Mutex<State>

    /// Prepares a watcher of `root`.
    ///
    /// Throws when the kernel gives no inotify instance, or a pattern is unusable.
    public convenience init(root: String, options: WatchOptions = WatchOptions()) throws(WatchError) {
        try self.init(root: root, options: options, limit: nil)
    }

    /// `limit` stands in for the kernel's limit on watches.
    init(root: String, options: WatchOptions, limit: Int?) throws(WatchError) {
        self.root = String(decoding: absolutePath(root), as: UTF8.self)
        self.options = options
        self.limit = limit
        _ = try IgnoreRules(root: root, patterns: options.ignore)
        // Refused instances show here, while there is somebody to tell; the thread makes its own.
        if options.poll == nil { _ = try Inotify() }
        state = Mutex(State())
    }

    deinit {
        stop()
    }

    /// What was found; for one reader.
    ///
    /// It ends after `stop`.
    public var events: WatchEvents { WatchEvents(mailbox: mailbox) }

    /// Sets the watches and starts to report, on a thread of its own.
    ///
    /// Further calls do nothing.
    public func start() throws(WatchError) {
        try state.withLock { state throws(WatchError) in
            guard !state.started else { return }
            state.wake = try WatchThread.start { [root, options, limit, mailbox] wake in
                if options.poll == nil {
                    var loop = WatchLoop(root: root, options: options, mailbox: mailbox, wake: wake, limit: limit)
                    loop.run()
                } else {
                    var loop = PollLoop(root: root, options: options, mailbox: mailbox, wake: wake)
                    loop.run()
                }
            }
            state.started = true
        }
    }

    /// Ends the thread and the stream; every descriptor is given back.
    ///
    /// Further calls do nothing.
    public func stop() {
        state.withLock { $0 = State(started: true, wake: nil) }
        mailbox.close()
    }
}
