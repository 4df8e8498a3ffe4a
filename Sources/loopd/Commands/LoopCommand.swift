internal import Glibc
internal import JSON
internal import LoopServer
internal import Reactor
internal import Synchronization

/// `loopd watch`, `run`, `sync`, `deploy`, `rollback`, `undeploy` and `forward`: the loop with its events on the terminal.
enum LoopCommand {
    static func run(_ invocation: Invocation, _ console: Console) async -> Outcome {
        // Before anything that a signal would have to clean up.
        guard let signals = try? Signals([SIGINT, SIGTERM, SIGHUP, SIGQUIT]) else {
            console.complain("signals cannot be caught")
            return .failed
        }
        let patience = Patience()
        let work = Task { await loop(invocation, console, patience) }
        let interruption = Task { await cancel(work, at: signals, patience, console) }
        let outcome = await work.value
        interruption.cancel()
        return outcome
    }

    /// Cancels the loop at the first signal.
    ///
    /// The second one, or the end of `patience`, ends the process: whatever the loop was waiting for, Ctrl-C works, and the
    /// leash ends what loopd has started.
    private static func cancel(
        _ work: Task<Outcome, Never>, at signals: Signals, _ patience: Patience, _ console: Console
    ) async {
        guard (try? await signals.next()) != nil, !Task.isCancelled else { return }
        work.cancel()
        let limit = patience.limit
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                // `timeout` and some shells send the same signal twice at once: only a later one is impatience.
                let first = ContinuousClock.now
                while (try? await signals.next()) != nil, ContinuousClock.now - first < .milliseconds(200) {}
                return false
            }
            group.addTask {
                // The end may wait for a cluster that never answers.
                try? await Task.sleep(for: limit)
                return true
            }
            let isLate = await group.next() == true
            if !Task.isCancelled {
                let seconds = Int(limit / .seconds(1))
                // Before the cluster was spoken to there is less to wait for, and nothing to leave.
                if isLate, seconds > 0 {
                    console.complain(
                        "the end took longer than \(seconds) s and is given up: something may stay in the cluster",
                        hint: "`loopd restore` undoes dev mode and images")
                }
                _exit(Outcome.interrupted.rawValue)
            }
            group.cancelAll()
        }
    }

    private static func loop(_ invocation: Invocation, _ console: Console, _ patience: Patience) async -> Outcome {
        if invocation.command == .forward { return await ForwardCommand.run(invocation, console, patience) }
        let asks = [.deploy, .rollback, .undeploy].contains(invocation.command)
        if asks, DeployCommand.refuses(invocation, console) { return .usage }
        do throws(Target.Stop) {
            let target = try Target.load(invocation, console)
            let missing = target.configuration.missingOnDisk()
            guard missing.isEmpty else {
                console.complain(missing.map { ProblemText.line($0, usesColour: false) })
                return .usage
            }
            let startsCluster = ![.rollback, .undeploy].contains(invocation.command)
            if target.isPlayground, !startsCluster, !target.playground.isRunning {
                console.complain("the playground does not run: nothing is deployed there", hint: "start it: loopd up")
                return .cluster
            }
            if target.isPlayground, startsCluster {
                let outcome = await PlaygroundCommands.ensureRunning(
                    target.playground, project: target.configuration.directory, invocation, console)
                guard outcome == .done else { return Task.isCancelled ? .interrupted : outcome }
            }
            let report = reporter(target, invocation, console)
            let session = target.session(invocation)
            patience.limit = session.endPatience + session.programGrace
            switch invocation.command {
            case .watch, .run: return await session.watch(report: report)
            case .deploy, .rollback, .undeploy:
                return await DeployCommand.run(session, invocation, console, report: report)
            default: return await session.sync(report: report)
            }
        } catch {
            return error.outcome
        }
    }

    static func reporter(
        _ target: Target, _ invocation: Invocation, _ console: Console
    ) -> @Sendable (LoopEvent) -> Void {
        if invocation.isJSON { return { console.show($0.json.text) } }
        let all = target.configuration.services.map(\.name)
        let named = invocation.services
        let shown = named.isEmpty ? all : all.filter(named.contains)
        let renderer = TextRenderer(
            services: shown, usesColour: console.usesColour, isVerbose: invocation.flags.contains(.verbose))
        return { event in
            let rendering = renderer.render(event)
            console.show(rendering.lines)
            if let line = rendering.transient { console.showTransient(line) }
        }
    }
}

/// How long the end may take after the first signal.
final class Patience: Sendable {
    private let value = Mutex(Duration.milliseconds(950))

    var limit: Duration {
        get { value.withLock { $0 } }
        set { value.withLock { $0 = newValue } }
    }
}
