import Glibc
import Reactor
import Wire

/// A supervisor whose state lies in a folder of its test's, and what is asked of it.
final class Supervised: Sendable {
    let child: Child
    let state: String

    private init(_ child: Child, _ state: String) {
        self.child = child
        self.state = state
    }

    /// Starts a supervisor with its state in `folder`; `wrapper` is a command that ends in running it.
    static func start(
        _ command: [String], in folder: String, wrapper: [String] = [], options: [String] = [],
        environment: [String: String]? = nil, directory: String? = nil
    ) async throws -> Supervised {
        var launch = Launch(
            wrapper + [Built.helper, "supervise", "--state", folder] + options + ["--"] + command,
            environment: environment,
            directory: directory)
        launch.standardInput = .pipe
        launch.grouping = .session
        return Supervised(try await Child.spawn(launch), folder)
    }

    /// Runs `body` beside a supervised shell script, whose `$F` is the folder that `body` gets.
    static func run(
        _ script: String, wrapper: [String] = [], _ body: (Supervised, String) async throws -> Void
    ) async throws {
        try await withFolder { folder in
            let supervised = try await start(["sh", "-c", "F=\(folder); " + script], in: folder, wrapper: wrapper)
            // Its service dies with it.
            defer { supervised.child.signal(SIGKILL) }
            try await body(supervised, folder)
        }
    }

    /// A session of a helper beside the supervisor, once that listens.
    func connect() async throws -> HelperClient {
        guard await eventually({ await listens() }) else { throw Unexpected(message: nil) }
        let client = try await HelperClient.start(["serve", "--state", state])
        let welcome = try await client.greet()
        guard welcome.capabilities.contains(.service) else { throw Unexpected(message: .welcome(welcome)) }
        return client
    }

    /// Whether somebody takes connections.
    private func listens() async -> Bool {
        guard let stream = try? await Stream.connect(to: .unix(path: state + "/s")) else { return false }
        stream.close()
        return true
    }

    /// Runs `probe` beside the supervisor.
    func probe(_ arguments: String...) async throws -> (status: Reactor.ExitStatus, error: String) {
        let output = try await Child.run(Launch([Built.helper, "probe", "--state", state] + arguments))
        return (output.status, output.errorText)
    }

    /// Kills the supervisor and what it started, as everything in a container ends with process 1.
    func killEverything() async {
        child.signal(SIGKILL)
        _ = await child.wait()
        _ = await eventually {
            var isAnyLeft = false
            for pid in Disk.names("/proc").compactMap({ Int32($0) }) where getsid(pid) == child.pid && isAlive(pid) {
                isAnyLeft = true
                kill(pid, SIGKILL)
            }
            return !isAnyLeft
        }
    }

    /// The next bytes that the service prints.
    func printed() async throws -> String { try await child.standardOutput?.read().text ?? "" }
}

/// The states that a follower is told.
struct Following {
    let client: HelperClient
    let stream: UInt32

    /// The next one.
    func next() async throws -> ServiceState {
        let answer = await client.receive(on: stream)
        guard case .serviceState(let state)? = answer else { throw Unexpected(message: answer) }
        return state
    }

    /// Reads on until the service runs; returns its process and how often it was started.
    func untilRunning(starts: UInt32? = nil) async throws -> (pid: Int32, starts: UInt32) {
        while true {
            if case .running(let pid, let count) = try await next(), starts ?? count == count {
                return (Int32(pid), count)
            }
        }
    }

    func until(_ state: ServiceState) async throws {
        while try await next() != state {}
    }

    /// Reads on until the service has ended by itself.
    func untilEnded() async throws -> ProgramExit {
        while true {
            if case .ended(let exit, _) = try await next() { return exit }
        }
    }
}

extension HelperClient {
    /// Follows the service; the first state has come when this returns.
    ///
    /// Silent for long, because a test's process may be held up.
    func follow() async throws -> Following {
        let following = Following(client: self, stream: newStream())
        try await send(.service(.follow(heartbeatSeconds: 600)), on: following.stream)
        return following
    }

    /// Asks for something about the service that has one answer.
    @discardableResult
    func service(_ request: ServiceRequest) async throws -> ServiceState {
        let answer = try await ask(.service(request))
        guard case .serviceState(let state)? = answer else { throw Unexpected(message: answer) }
        return state
    }

    /// Asks for something about the service that is refused.
    func refusal(_ request: ServiceRequest) async throws -> Failure {
        let answer = try await ask(.service(request))
        guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
        return failure
    }

    /// Restarts; returns the new process.
    func restart(grace: UInt32 = 60_000) async throws -> Int32 {
        let state = try await service(.restart(graceMilliseconds: grace))
        guard case .running(let pid, _) = state else { throw Unexpected(message: .serviceState(state)) }
        return Int32(pid)
    }
}
