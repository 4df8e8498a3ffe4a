internal import Glibc
internal import JSON
internal import LoopServer
internal import Playground
internal import Reactor

/// `loopd up`, `loopd down` and the process that they start and stop.
enum PlaygroundCommands {
    // MARK: up

    static func up(_ invocation: Invocation, _ console: Console) async -> Outcome {
        let playground = PlaygroundProcess.standard()
        let wasRunning = playground.isRunning
        let project = Configuration.load(path: Configuration.defaultFile).0?.directory
        let outcome = await ensureRunning(playground, project: project, invocation, console)
        guard outcome == .done else { return outcome }
        if invocation.isJSON {
            let report: JSON = [
                "running": true, "started": .bool(!wasRunning), "context": .string(PlaygroundProcess.context),
                "kubeconfig": .string(playground.kubeconfig), "notes": .array(playground.notes.map { .string($0) }),
            ]
            console.show(report.pretty())
        } else {
            for note in playground.notes { console.show("note: \(note)") }
            console.show(
                "the playground runs\(wasRunning ? " already" : ""): eval \"$(loopd env)\" leads kubectl to it")
        }
        return .done
    }

    /// Starts the playground where it does not run, and returns when it answers.
    ///
    /// `project` is the folder that no pod may see.
    static func ensureRunning(
        _ playground: PlaygroundProcess, project: String?, _ invocation: Invocation, _ console: Console
    ) async -> Outcome {
        let hidden = [StateDirectory.path()] + (project.map { [$0] } ?? [])
        do {
            if try await playground.untilAnswers() { return .done }
            if !invocation.isJSON { console.showTransient("starting the playground …") }
            try StateDirectory.create(playground.directory)
            if let failure = try await start(playground, hidden: hidden) {
                // Another `up` may have been faster: then there is nothing wrong.
                if try await playground.untilAnswers() { return .done }
                console.complain("the playground did not start", hint: "its log: \(playground.log)")
                console.complain(failure.map { "  \($0)" })
                return .failed
            }
            return .done
        } catch is CancellationError {
            return .interrupted
        } catch {
            console.complain("the playground cannot be started: \(error)", hint: stateHint)
            return .failed
        }
    }

    /// Starts the process and waits until it says that it is ready; else the end of its log.
    private static func start(_ playground: PlaygroundProcess, hidden: [String]) async throws -> [String]? {
        guard let program = Programs.executable else { throw SystemError(code: ENOENT, attempt: "find this program") }
        let raw = open(playground.log, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o600)
        guard raw >= 0 else { throw SystemError.last("open \(playground.log)") }
        let log = OwnedDescriptor(raw)
        var launch = Launch([program, Command.playgroundServe.rawValue, "--"] + hidden, directory: "/")
        launch.environment = environment()
        launch.standardError = .descriptor(log.raw)
        // A session of its own: Ctrl-C at the terminal and its end do not reach it.
        launch.grouping = .session
        let child = try await Child.spawn(launch)
        // It says one line, or ends without one: end of file.
        let said = try await withTaskCancellationHandler {
            try await child.standardOutput?.read() ?? []
        } onCancel: {
            child.signal(SIGTERM)
        }
        try Task.checkCancellation()
        if said.starts(with: readyLine.utf8) { return nil }
        _ = await child.wait()
        let lines = lastLines(of: playground.log)
        // On a full disk there is no log.
        return lines.isEmpty ? lastLines(of: said) : lines
    }

    /// The parent's environment with the state directory spelled out, because the working directory changes.
    private static func environment() -> [String: String] {
        var variables: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { variables[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        variables["LOOPD_STATE_DIR"] = StateDirectory.path()
        return variables
    }

    private static func lastLines(of path: String) -> [String] {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { return [] }
        let file = OwnedDescriptor(raw)
        _ = lseek(file.raw, max(0, lseek(file.raw, 0, SEEK_END) - 4096), SEEK_SET)
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = max(0, read(file.raw, &bytes, bytes.count))
        return lastLines(of: Array(bytes.prefix(count)))
    }

    private static func lastLines(of text: [UInt8]) -> [String] {
        String(decoding: text, as: UTF8.self).split(separator: "\n").suffix(5).map(String.init)
    }

    // MARK: down

    static func down(_ invocation: Invocation, _ console: Console) async -> Outcome {
        let playground = PlaygroundProcess.standard()
        let wasRunning = playground.isRunning
        do {
            try await playground.stop(grace: .seconds(15))
            try await PlaygroundService.remove(playground)
            playground.removeFiles()
            // Only where nothing else is kept there.
            rmdir(StateDirectory.path())
        } catch {
            console.complain("the playground cannot be removed: \(error)")
            return .failed
        }
        if invocation.isJSON {
            console.show((["running": false, "stopped": .bool(wasRunning)] as JSON).pretty())
        } else {
            console.show(wasRunning ? "the playground is gone" : "the playground does not run")
        }
        return .done
    }

    /// What helps where the state cannot be written.
    private static var stateHint: String {
        "its state belongs in \(StateDirectory.path()); LOOPD_STATE_DIR names another folder"
    }

    // MARK: playground-serve

    static let readyLine = "ready\n"

    static func serve(_ invocation: Invocation, _ console: Console) async -> Outcome {
        do {
            let playground = PlaygroundProcess.standard()
            let signals = try Signals([SIGINT, SIGTERM, SIGHUP])
            try StateDirectory.create(playground.directory)
            guard let lock = try playground.hold() else {
                console.complain("the playground runs already", hint: "stop it: loopd down")
                return .failed
            }
            let outcome = await PlaygroundService.run(
                playground, hidden: invocation.arguments, until: signals, console, tell: tell
            ) {
                tell(readyLine)
                forgetOutput()
            }
            // Not before the last container has ended.
            _ = consume lock
            return outcome
        } catch {
            console.complain("the playground cannot run: \(error)")
            tell("\(error)")
            return .failed
        }
    }

    /// Tells who started this process.
    private static func tell(_ line: String) {
        let bytes = Array(line.utf8)
        _ = write(STDOUT_FILENO, bytes, bytes.count)
    }

    /// Lets go of the pipe: nobody will read it any more.
    private static func forgetOutput() {
        guard isatty(STDOUT_FILENO) == 0 else { return }
        let null = open("/dev/null", O_WRONLY | O_CLOEXEC)
        if null >= 0 {
            dup2(null, STDOUT_FILENO)
            close(null)
        }
    }
}
