/// What is asked of the supervisor, the helper that started the container's service.
///
/// Answered by one `serviceState` or by `failure`, unless a case says otherwise.
public enum ServiceRequest: Equatable, Sendable {
    /// How the service is now.
    case state
    /// How the service is now, and every change, until `unfollow` on the same stream or the connection's end.
    ///
    /// While anybody follows, the service's end is not the container's. When the last one is gone, one that has ended takes
    /// the container with it, as it would have without loopd. Meanwhile the host pings this often: after two missed pings
    /// the helper ends, instead of the two that `hello` announced, and only what it hears counts.
    case follow(heartbeatSeconds: UInt16)
    /// Ends a `follow`.
    ///
    /// Not answered.
    case unfollow
    /// Ends the service's process group (SIGTERM for the main process; after the grace, or once that has ended, SIGKILL for
    /// the group) and starts it again.
    ///
    /// Answered when the new program runs; by `failure` when it could not be executed. Requests that come while one is
    /// under way are answered by one more start. A held service stays held, and the answer says so.
    case restart(graceMilliseconds: UInt32)
    /// Sends the service's main process a signal.
    case signal(Int32)
    /// Ends the service as `restart` does and keeps it down, until everybody who holds it has released it or does not follow
    /// it any more; refused to who does not follow.
    ///
    /// Answered when it is down.
    case hold(graceMilliseconds: UInt32)
    /// Gives up the connection's own hold; the service starts unless another one holds it.
    ///
    /// Answered as `restart` is; where another one holds the service, at once.
    case release
}

/// How the service is.
public enum ServiceState: Equatable, Sendable {
    /// Between two programs: nothing runs, or the new program is not executed yet.
    case starting
    /// The program runs as this process, seen from the container; `starts` counts the programs so far, this one included.
    case running(pid: UInt32, starts: UInt32)
    /// It is being ended, for a restart, a hold or the container's end.
    case stopping
    /// It has ended by itself, or could not be executed (then with the shell's 126 or 127), and waits for a restart.
    case ended(ProgramExit, starts: UInt32)
    /// It is kept down until it is released.
    case held
}

extension ServiceRequest: WireCodable {
    private enum Code: UInt8 {
        case state = 1
        case follow, unfollow, restart, signal, hold, release
    }

    static var minimumSize: Int { 1 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let code = Code(rawValue: try reader.read()) else { throw .invalidValue }
        switch code {
        case .state: self = .state
        case .follow: self = .follow(heartbeatSeconds: try reader.read())
        case .unfollow: self = .unfollow
        case .restart: self = .restart(graceMilliseconds: try reader.read())
        case .signal: self = .signal(try reader.read())
        case .hold: self = .hold(graceMilliseconds: try reader.read())
        case .release: self = .release
        }
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(code.rawValue)
        switch self {
        case .state, .unfollow, .release: break
        case .follow(let seconds): writer.write(seconds)
        case .restart(let grace), .hold(let grace): writer.write(grace)
        case .signal(let number): writer.write(number)
        }
    }

    private var code: Code {
        switch self {
        case .state: return .state
        case .follow: return .follow
        case .unfollow: return .unfollow
        case .restart: return .restart
        case .signal: return .signal
        case .hold: return .hold
        case .release: return .release
        }
    }
}

extension ServiceState: WireCodable {
    private enum Code: UInt8 {
        case starting = 1
        case running, stopping, ended, held
    }

    static var minimumSize: Int { 1 }

    init(from reader: inout ByteReader) throws(WireError) {
        guard let code = Code(rawValue: try reader.read()) else { throw .invalidValue }
        switch code {
        case .starting: self = .starting
        case .running:
            let pid = try reader.read(UInt32.self)
            self = .running(pid: pid, starts: try reader.read())
        case .stopping: self = .stopping
        case .ended:
            let exit = try ProgramExit(from: &reader)
            self = .ended(exit, starts: try reader.read())
        case .held: self = .held
        }
    }

    func encode(to writer: inout ByteWriter) {
        switch self {
        case .starting: writer.write(Code.starting.rawValue)
        case .running(let pid, let starts):
            writer.write(Code.running.rawValue)
            writer.write(pid)
            writer.write(starts)
        case .stopping: writer.write(Code.stopping.rawValue)
        case .ended(let exit, let starts):
            writer.write(Code.ended.rawValue)
            writer.write(exit)
            writer.write(starts)
        case .held: writer.write(Code.held.rawValue)
        }
    }
}
