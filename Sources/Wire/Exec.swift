/// Runs a program in a process group of its own, without standard input.
///
/// Answered by `output`, within the stream's window, and `exited`; or by `failure` when it could not be started. Its
/// group is killed when the session ends first.
public struct Exec: Equatable, Sendable {
    /// The program, searched in `PATH` unless it has a slash, and its arguments.
    public var arguments: [[UInt8]]
    /// The working directory; empty is the helper's.
    public var directory: [UInt8]
    /// `NAME=value`, added to the helper's environment.
    public var environment: [[UInt8]]

    /// A request with every field.
    public init(arguments: [[UInt8]], directory: [UInt8] = [], environment: [[UInt8]] = []) {
        self.arguments = arguments
        self.directory = directory
        self.environment = environment
    }
}

/// What a program printed.
public struct ProgramOutput: Equatable, Sendable {
    /// Where it printed to.
    public enum Channel: UInt8, Equatable, Sendable {
        case standardOutput = 1
        case standardError = 2
    }

    /// Where it was printed to.
    public var channel: Channel
    /// Counts against the stream's window.
    public var bytes: [UInt8]

    /// Output with every field.
    public init(channel: Channel, bytes: [UInt8]) {
        self.channel = channel
        self.bytes = bytes
    }
}

/// How a program ended.
public enum ProgramExit: Equatable, Sendable {
    case code(Int32)
    case signal(Int32)
}
