/// How a watcher waits and what it leaves out.
public struct WatchOptions: Sendable {
    /// The quiet time after a finished write before its batch leaves.
    public var debounce: Duration = .milliseconds(5)
    /// How long a file that was removed, renamed away or is open for writing may hold a batch back for its other half.
    public var pairWait: Duration = .milliseconds(50)
    /// The longest time that a batch waits for quiet.
    public var maxWait: Duration = .milliseconds(250)
    /// Patterns in the syntax of `.gitignore`, relative to the root; they win over every ignore file.
    public var ignore: [String] = []
    /// Compare the tree at this interval instead of asking the kernel; for file systems whose events do not arrive.
    public var poll: Duration?

    /// The standard times, no extra patterns, no polling.
    public init() {}
}

extension Duration {
    /// Whole nanoseconds; negative durations count as none.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(seconds) * 1_000_000_000 + UInt64(attoseconds) / 1_000_000_000
    }
}
