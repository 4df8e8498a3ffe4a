internal import CLinux
internal import Dispatch
internal import Glibc
internal import Synchronization

/// How a process ended.
public enum ExitStatus: Equatable, Sendable, CustomStringConvertible {
    case exited(Int32)
    case signalled(Int32)

    /// Whether the process ended by itself with code 0.
    public var isSuccess: Bool { self == .exited(0) }

    /// The code that a shell would show: the exit code, or 128 and the signal's number.
    public var shellCode: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        }
    }

    /// The status in words.
    public var description: String {
        switch self {
        case .exited(let code): "exit code \(code)"
        case .signalled(let signal): "signal \(signal) (\(String(cString: strsignal(signal))))"
        }
    }
}

/// What a child starts with.
///
/// Nothing is inherited but what is named here: every other descriptor is closed, the signal mask is empty and every
/// signal is at its default.
public struct Launch: Sendable {
    /// What one of the three standard descriptors is connected to.
    public enum Stdio: Sendable {
        /// `/dev/null`.
        case null
        /// The parent's descriptor of the same number.
        case inherit
        /// A new pipe whose other end is the child's property of the same name.
        case pipe
        /// An open descriptor of the caller's, which stays the caller's.
        case descriptor(Int32)
    }

    /// Who gets the terminal's signals, and what `signal(_:toGroup:)` reaches.
    public enum Grouping: Sendable, Equatable {
        /// The parent's process group.
        case inherit
        /// A new process group, led by the child.
        case group
        /// A new session, led by the child.
        case session
    }

    /// The program (searched in `PATH` unless it has a slash) and its arguments.
    public var arguments: [String]
    /// The whole environment; `nil` is the parent's.
    public var environment: [String: String]?
    /// The working directory; `nil` is the parent's.
    public var directory: String?
    /// What the child reads.
    public var standardInput: Stdio = .null
    /// Where the child prints.
    public var standardOutput: Stdio = .pipe
    /// Where the child prints errors.
    public var standardError: Stdio = .pipe
    /// Whether the child's descriptor 3 is one end of a socket whose other end is its `channel` here.
    public var hasChannel = false
    /// Whose signals the child gets.
    public var grouping: Grouping = .group
    /// The network that the child is in; `nil` is the parent's.
    public var network: NetworkNamespace?

    /// A launch of `arguments[0]` with the remaining arguments.
    public init(_ arguments: [String], environment: [String: String]? = nil, directory: String? = nil) {
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
    }
}

/// A running child process.
///
/// It is reaped as soon as it ends, whether or not anyone waits; it is not killed when this object goes away.
public final class Child: Sendable {
    private enum State {
        case running([CheckedContinuation<ExitStatus, Never>])
        case ended(ExitStatus)
    }

    /// The process id.
    ///
    /// It may be reused once `wait()` has returned.
    public let pid: Int32
    /// The parent's end of the child's standard input, where `.pipe` was asked for.
    public let standardInput: Stream?
    /// The parent's end of the child's standard output, where `.pipe` was asked for.
    public let standardOutput: Stream?
    /// The parent's end of the child's standard error, where `.pipe` was asked for.
    public let standardError: Stream?
    /// The parent's end of the child's channel, where one was asked for.
    public let channel: Stream?
    private let leadsGroup: Bool
    private let state = Mutex(State.running([]))
    private let endsGroup = Atomic(false)

    private init(pid: Int32, leadsGroup: Bool, input: Stream?, output: Stream?, error: Stream?, channel: Stream?) {
        self.pid = pid
        self.leadsGroup = leadsGroup
        standardInput = input
        standardOutput = output
        standardError = error
        self.channel = channel
    }

    /// Starts a process.
    ///
    /// Throws `SystemError` when the program does not exist (`ENOENT`) or cannot be started.
    public static func spawn(_ launch: Launch) async throws -> Child {
        try await offPool { try start(launch) }
    }

    /// How the process ended, waiting for it.
    ///
    /// Pipes may still hold output, and grandchildren may hold pipes open.
    public func wait() async -> ExitStatus {
        await withCheckedContinuation { continuation in
            let ended: ExitStatus? = state.withLock { state in
                switch state {
                case .running(let waiters):
                    state = .running(waiters + [continuation])
                    return nil
                case .ended(let status): return status
                }
            }
            if let ended { continuation.resume(returning: ended) }
        }
    }

    /// Sends a signal to the process, or to the whole group that it leads; does nothing once the process has ended.
    public func signal(_ signal: Int32, toGroup: Bool = false) {
        state.withLock { state in
            // Under the lock, because the pid is only ours until the process is reaped.
            guard case .running = state else { return }
            _ = kill(toGroup && leadsGroup ? -pid : pid, signal)
        }
    }

    /// From now on, whatever is left of the group when its leader ends gets SIGKILL.
    func endGroupWithLeader() {
        endsGroup.store(leadsGroup, ordering: .releasing)
    }

    private static func start(_ launch: Launch) throws -> Child {
        guard let program = launch.arguments.first else {
            throw SystemError(code: EINVAL, attempt: "start of an empty command")
        }
        let input = try Plumbing.connect(launch.standardInput, number: 0)
        let output = try Plumbing.connect(launch.standardOutput, number: 1)
        let error = try Plumbing.connect(launch.standardError, number: 2)
        let channel = try launch.hasChannel ? Plumbing.channel() : Plumbing.none
        var pid: Int32 = 0
        let arguments = CStrings(launch.arguments)
        let descriptors = [input.child.raw, output.child.raw, error.child.raw, channel.child.raw]
        let environment = launch.environment.map { CStrings($0.map { "\($0.key)=\($0.value)" }) }
        func spawn() -> Int32 {
            clinux_spawn(
                &pid, program, arguments.pointers, environment?.pointers ?? environ, launch.directory, descriptors,
                launch.hasChannel ? 4 : 3, launch.grouping == .group ? 1 : 0, launch.grouping == .session ? 1 : 0)
        }
        // The child is in the network of the thread that starts it.
        let failure = try launch.network?.run(spawn) ?? spawn()
        guard failure == 0 else { throw SystemError(code: failure, attempt: "start \(program)") }
        let child = Child(
            pid: pid, leadsGroup: launch.grouping != .inherit, input: input.parent, output: output.parent,
            error: error.parent, channel: channel.parent)
        do {
            try child.reapWhenEnded()
        } catch {
            // Out of descriptors: without one nobody would ever learn of its end.
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
            throw error
        }
        return child
    }

    private func reapWhenEnded() throws {
        // The process is not reaped yet, so its pid cannot have been reused.
        let raw = clinux_pidfd_open(pid)
        guard raw >= 0 else { throw SystemError.last("pidfd_open \(pid)") }
        let stream = try Stream(OwnedDescriptor(raw))
        Task.detached {
            try? await stream.untilReadable()
            self.reap(stream)
        }
    }

    private func reap(_ stream: Stream) {
        var code: Int32 = 0
        let waiters = state.withLock { state -> [CheckedContinuation<ExitStatus, Never>] in
            guard case .running(let waiters) = state else { return [] }
            // The dead leader still holds the group's number: a moment later it could be someone else's.
            if endsGroup.load(ordering: .acquiring) { kill(-pid, SIGKILL) }
            let reaped = try? stream.withDescriptor { clinux_pidfd_wait($0, &code) }
            // ECHILD: someone else in this process reaped it; its code is lost.
            state = .ended(reaped == 0 ? (code < 0 ? .signalled(-code) : .exited(code)) : .exited(-1))
            return waiters
        }
        let status = reaped
        for waiter in waiters { waiter.resume(returning: status) }
    }

    private var reaped: ExitStatus {
        state.withLock { state in
            if case .ended(let status) = state { status } else { .exited(-1) }
        }
    }
}

/// Both ends of one descriptor of the child's.
private struct Plumbing: ~Copyable {
    let child: OwnedDescriptor
    let parent: Stream?

    private init(_ child: Int32, _ parent: Stream? = nil) {
        self.child = OwnedDescriptor(child)
        self.parent = parent
    }

    static func connect(_ stdio: Launch.Stdio, number: Int32) throws -> Plumbing {
        switch stdio {
        case .null: return Plumbing(try checked(open("/dev/null", O_RDWR | O_CLOEXEC)))
        case .inherit: return Plumbing(try checked(fcntl(number, F_DUPFD_CLOEXEC, 3)))
        case .descriptor(let given): return Plumbing(try checked(fcntl(given, F_DUPFD_CLOEXEC, 3)))
        case .pipe:
            var ends: [Int32] = [-1, -1]
            guard clinux_pipe(&ends) == 0 else { throw SystemError.last("pipe") }
            let its = OwnedDescriptor(number == 0 ? ends[0] : ends[1])
            let parent = try Stream(OwnedDescriptor(number == 0 ? ends[1] : ends[0]))
            return Plumbing(its.release(), parent)
        }
    }

    static var none: Plumbing { Plumbing(-1) }

    static func channel() throws -> Plumbing {
        var ends: [Int32] = [-1, -1]
        let kind = Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, kind, 0, &ends) == 0 else { throw SystemError.last("socketpair") }
        let its = OwnedDescriptor(ends[0])
        let parent = try Stream(OwnedDescriptor(ends[1]))
        return Plumbing(its.release(), parent)
    }

    private static func checked(_ raw: Int32) throws -> Int32 {
        guard raw >= 0 else { throw SystemError.last("open a standard descriptor") }
        return raw
    }
}

/// A null-terminated array of C strings for `argv` and `envp`.
private final class CStrings {
    let pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>
    private let count: Int

    init(_ strings: [String]) {
        count = strings.count
        pointers = .allocate(capacity: count + 1)
        for (index, string) in strings.enumerated() { (pointers + index).initialize(to: strdup(string)) }
        (pointers + count).initialize(to: nil)
    }

    deinit {
        for index in 0..<count { free(pointers[index]) }
        pointers.deallocate()
    }
}

/// Runs a blocking call on a Dispatch thread, away from Swift's cooperative pool, which must never wait.
public func offPool<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        DispatchQueue.global().async {
            continuation.resume(with: Swift.Result(catching: body))
        }
    }
}
