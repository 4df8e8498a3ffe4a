/// How a command ended; the raw value is the exit code.
public enum Outcome: Int32, Equatable, Sendable {
    /// Everything that was asked for is done.
    case done = 0
    /// The work failed.
    case failed = 1
    /// Bad usage, or a bad `loop.json`.
    case usage = 2
    /// The cluster could not be reached, or its context is not allowed.
    case cluster = 3
    /// Ended by SIGINT or SIGTERM.
    case interrupted = 130
}
