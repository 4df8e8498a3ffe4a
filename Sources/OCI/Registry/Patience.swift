/// How long a registry is waited for.
public struct Patience: Sendable {
    /// For a connection.
    public var connect: Duration = .seconds(5)
    /// For the next sign of life: a byte that is taken or sent.
    public var idle: Duration = .seconds(30)
    /// For a registry that was there and fails now, since the last progress.
    public var recovery: Duration = .seconds(30)
    /// Before the second attempt; each further pause is twice as long, up to 2 s.
    public var pause: Duration = .milliseconds(100)

    /// The usual times.
    public init() {}
}
