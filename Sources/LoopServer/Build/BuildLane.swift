internal import Reactor
internal import Synchronization

/// What a build is run by, where that is more than the build's own command.
///
/// What it prints as standard output is its answer, and is shown to nobody.
struct BuildTool: Sendable {
    /// The command line, made anew for each run.
    let command: @Sendable () async -> [String]
    /// What its errors mean, of which it gets the last lines; `nil` where that is not known.
    let diagnose: @Sendable (ExitStatus, [String]) -> LoopEvent.Failure?
    /// Whether its last lines say that the same would work a moment later.
    var isHiccup: @Sendable ([String]) -> Bool = { _ in false }
}

/// One build: runs when its inputs have changed, and starts over when they change while it runs.
final class BuildLane: Sendable {
    /// What a successful build is followed by: when the change began that was built, when the build ended, and what its
    /// tool answered; false when that has failed.
    typealias Success = @Sendable (_ firstEvent: UInt64, _ ended: UInt64, _ answer: [UInt8]) async -> Bool

    let build: Build
    private let tool: BuildTool?
    private let leash: String
    /// How long a build that is obsolete may take to end by itself, in milliseconds.
    private let grace: Int
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let onSuccess: Success
    private let work = WorkLane()
    private let success = Mutex(true)

    /// A build that waits for its first `trigger`; `onSuccess` is awaited before the next one starts.
    init(
        _ build: Build, tool: BuildTool? = nil, leash: String, grace: Int = 2000,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void, onSuccess: @escaping Success
    ) {
        self.build = build
        self.tool = tool
        self.leash = leash
        self.grace = grace
        self.emit = emit
        self.onSuccess = onSuccess
    }

    /// Whether the last build that ran to its end has succeeded, and what followed it.
    var hasSucceeded: Bool { success.withLock { $0 } }

    /// Asks for a build of what is on disk now; one that runs is obsolete and ended.
    func trigger(firstEvent: UInt64) async { await work.trigger(firstEvent: firstEvent) }

    /// Builds whatever is asked for until the task is cancelled; a build that runs then is ended.
    func run() async { await work.run { await self.build($0) } }

    /// Whether nothing is to be built.
    var isIdle: Bool { get async { await !work.isBusy } }

    /// Returns once nothing is to be built, or when the task is cancelled.
    func untilIdle() async { await work.untilIdle() }

    private func build(_ turn: WorkLane.Turn) async {
        emit(.building(name: build.title, again: turn.isAgain))
        let started = monotonicNow()
        var tail: [String] = []
        var answer: [UInt8] = []
        var status = ExitStatus.exited(0)
        do {
            for attempt in 1...BuildLane.attempts {
                (tail, answer) = ([], [])
                status = try await execute { output in
                    switch output {
                    case .answer(let bytes): answer += bytes
                    case .line(let line):
                        tail.append(line)
                        if tail.count > BuildLane.remembered { tail.removeFirst() }
                        emit(.buildOutput(line: line))
                    }
                }
                guard !status.isSuccess, attempt < BuildLane.attempts, tool?.isHiccup(tail) == true else { break }
                // Nothing tells when the other one is done.
                try await Task.sleep(for: .milliseconds(100 * attempt))
            }
        } catch {
            guard await turn.commit(), !Task.isCancelled else { return }
            success.withLock { $0 = false }
            return emit(.failed(LoopEvent.Failure("build \(build.title) cannot be started: \(error)")))
        }
        // Obsolete, however it ended: what it made is of files that have changed since.
        guard await turn.commit() else { return }
        let ended = monotonicNow()
        success.withLock { $0 = status.isSuccess }
        guard status.isSuccess else { return emit(.failed(failure(status, tail))) }
        emit(.built(name: build.title, milliseconds: Double(ended - started) / 1e6))
        let isWhole = await onSuccess(turn.firstEvent, ended, answer)
        success.withLock { $0 = isWhole }
    }

    /// How many lines of what a build prints are looked through for the cause of its failure.
    private static let remembered = 200
    /// How often a build is tried that fails for what passes by itself.
    private static let attempts = 5

    private func execute(_ each: (PrintedPiece) -> Void) async throws -> ExitStatus {
        let command = await tool?.command() ?? build.command
        var launch = Launch(
            [leash, "--group", "--grace-ms", "\(grace)", "--"] + command, directory: build.directory)
        if !build.environment.isEmpty {
            launch.environment = ProcessEnvironment.inherited.merging(build.environment) { _, own in own }
        }
        launch.standardInput = .pipe
        let child = try await Child.spawn(launch)
        return await withTaskCancellationHandler {
            await child.print(hasAnswer: tool != nil, each)
            return await child.wait()
        } onCancel: {
            // The leash ends the whole group when its input ends.
            child.standardInput?.close()
        }
    }

    private func failure(_ status: ExitStatus, _ tail: [String]) -> LoopEvent.Failure {
        if let known = tool?.diagnose(status, tail) { return known }
        if status == .exited(127) {
            return LoopEvent.Failure(
                "build \(build.title): there is no program \(build.command[0])", details: [],
                nextStep: "install it, or name it as it is called here")
        }
        return LoopEvent.Failure(
            "build \(build.title) failed: \(status)", details: tail.suffix(20),
            nextStep: "what runs stays as it is; the next change builds again")
    }
}
