internal import Glibc
internal import JSON
internal import Reactor

extension PodWorker {
    /// Keeps one container as its pod wants it: started, probed, restarted with backoff; returns when it is over for good
    /// or the task is cancelled.
    func supervise(_ name: String) async {
        var adopted = runs[name]
        // What was over before this playground started stays over.
        if adopted == nil, record(name)?.termination != nil, !wantsRestart(name) { return }
        while !Task.isCancelled {
            guard let run = if let adopted { adopted } else { await start(name) } else {
                guard await mayStartAgain(name) else { return }
                continue
            }
            adopted = nil
            guard let exit = await attend(name, run) else { return }
            await conclude(name, run, exit)
            guard wantsRestart(name) else { return }
            await backOff(name, ranFor: Timestamp.now.seconds - run.startedAt.seconds)
        }
    }

    /// Waits for the container's exit while its probes run; `nil` when the task is cancelled.
    private func attend(_ name: String, _ run: ContainerRun) async -> ContainerExit? {
        await withTaskGroup(of: Void.self) { group in
            if let spec = record(name)?.spec { group.addTask { await self.probe(name, spec, run) } }
            let exit = await run.process.exit()
            group.cancelAll()
            return exit
        }
    }

    /// Ends a container by its hook and its grace period.
    func stop(_ name: String, _ run: ContainerRun, grace seconds: Int) async {
        let deadline = ContinuousClock.now + .seconds(seconds)
        if let hook = record(name)?.spec.at("lifecycle", "preStop") {
            await runHook(hook, "PreStop", name, run, within: .seconds(seconds))
        }
        let left = max(.seconds(1), deadline - .now)
        await run.process.terminate(signal: run.stopSignal, grace: left)
    }

    /// Ends a container for good, unless the task is cancelled before.
    func end(_ name: String, _ run: ContainerRun) async {
        event("Killing", "Stopping container \(name)", of: record(name))
        await stop(name, run, grace: grace)
        if let exit = await run.process.exit() { await conclude(name, run, exit) }
    }

    /// Records how a run ended, and removes what it used.
    func conclude(_ name: String, _ run: ContainerRun, _ exit: ContainerExit) async {
        guard let record = record(name) else { return }
        runs[name] = nil
        let kills = context.cgroups.killsForMemory(in: "\(context.layout.cgroup)/\(run.id)")
        // Also ends what the process left behind in its cgroup, and so closes the pipes.
        await context.runc.delete(run.id)
        await run.pump.finish(within: .seconds(1))
        let termination = ContainerRecord.Termination(
            exitCode: exit.code, reason: reason(of: exit, killsForMemory: kills),
            message: message(of: record, run, exit), startedAt: run.startedAt, finishedAt: .now,
            containerID: ContainerRecord.scheme + run.id)
        let starter = starter(pod)
        _ = try? await offPool { starter.discard(run.id) }
        change(name) { record in
            record.state = .terminated(termination)
            record.isReady = record.kind == .initial && termination.exitCode == 0
            record.isStarted = false
        }
        publish()
    }

    private func reason(of exit: ContainerExit, killsForMemory kills: Int) -> String {
        if exit == .lost { return "ContainerStatusUnknown" }
        if exit.code == 0 { return "Completed" }
        return kills > 0 ? "OOMKilled" : "Error"
    }

    private func message(of record: ContainerRecord, _ run: ContainerRun, _ exit: ContainerExit) -> String {
        if exit == .lost {
            return "The container ended while the playground was not running; its exit code is unknown"
        }
        let path = "\(context.layout.container(run.id))/termination-log"
        let own = (try? Disk.read(path, limit: 4096)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        guard own.isEmpty, exit.code != 0,
            record.spec["terminationMessagePolicy"]?.string == "FallbackToLogsOnError"
        else { return own }
        return LogReader.tail(of: run.log.path, lines: 80, limit: 2048)
    }

    private func wantsRestart(_ name: String) -> Bool {
        guard let record = record(name), let termination = record.termination else { return false }
        if record.isSidecar { return true }
        switch record.kind {
        case .ephemeral: return false
        case .initial: return termination.exitCode != 0 && restartPolicy != "Never"
        case .main: return restartPolicy == "Always" || (restartPolicy == "OnFailure" && termination.exitCode != 0)
        }
    }

    /// Waits as long as a container that ended must wait before its next run.
    private func backOff(_ name: String, ranFor seconds: Int) async {
        var delay = 0
        change(name) { delay = $0.backoff.next(ranFor: seconds) }
        guard delay > 0, !Task.isCancelled, let record = record(name) else { return }
        change(name) { record in
            record.last = record.termination ?? record.last
            record.state = .waiting(
                reason: "CrashLoopBackOff",
                message: "back-off \(delay)s restarting failed container=\(name) pod=\(title)")
        }
        publish()
        event("BackOff", "Back-off restarting failed container \(name) in pod \(title)", of: record, isWarning: true)
        let end = ContinuousClock.now + .seconds(delay)
        // A nudge is about configuration: it must not shorten this wait.
        while !Task.isCancelled, ContinuousClock.now < end {
            await pause(seconds: max(1, Int((end - .now).components.seconds) + 1))
        }
    }

    /// After a start that failed: waits by the kind of failure, and says whether to try again.
    private func mayStartAgain(_ name: String) async -> Bool {
        guard !Task.isCancelled, let record = record(name) else { return false }
        if case .waiting(let reason, _) = record.state, reason == "RunContainerError" {
            if record.kind == .ephemeral || (restartPolicy == "Never" && !record.isSidecar) {
                if let last = record.last { change(name) { $0.state = .terminated(last) } }
                publish()
                return false
            }
            await backOff(name, ranFor: 0)
        } else if case .waiting(let reason, let message) = record.state, reason.hasPrefix("ErrImage") {
            var delay = 0
            change(name) { delay = max(Backoff.initial, $0.backoff.next(ranFor: 0)) }
            event("BackOff", "Back-off pulling image \"\(record.image)\"", of: record)
            event("Failed", "Error: ImagePullBackOff", of: record, isWarning: true)
            if reason == "ErrImagePull" {
                change(name) {
                    $0.state = .waiting(
                        reason: "ImagePullBackOff",
                        message: "Back-off pulling image \"\(record.image)\": ErrImagePull: \(message)")
                }
                publish()
            }
            await pause(seconds: delay)
        } else {
            await pause(seconds: 10)
        }
        return !Task.isCancelled
    }

    // MARK: Probes and hooks

    private func probe(_ name: String, _ spec: JSON, _ run: ContainerRun) async {
        if let startup = ProbeSettings(.startup, of: spec) {
            guard await repeatProbe(startup, name, spec, run) == true else { return }
            change(name) {
                $0.isStarted = true
                $0.isReady = spec["readinessProbe"] == nil
            }
            publish()
        }
        await withTaskGroup(of: Void.self) { group in
            for kind in [ProbeSettings.Kind.readiness, .liveness] {
                guard let settings = ProbeSettings(kind, of: spec) else { continue }
                group.addTask { _ = await self.repeatProbe(settings, name, spec, run) }
            }
        }
    }

    /// Probes until the task is cancelled, or until the result is final: a startup probe that passed, a container that was
    /// killed for its health.
    private func repeatProbe(
        _ settings: ProbeSettings, _ name: String, _ spec: JSON, _ run: ContainerRun
    ) async -> Bool? {
        let prober = Prober(
            run: run, runc: context.runc, container: spec, address: address ?? PodStatus.sharedAddress,
            network: context.network(of: pod)?.node)
        var tally = ProbeTally()
        if settings.initialDelay > 0 { try? await Task.sleep(for: .seconds(settings.initialDelay)) }
        while !Task.isCancelled {
            let failure = await prober.check(settings)
            guard !Task.isCancelled, !run.process.hasEnded else { return nil }
            if let failure {
                event(
                    "Unhealthy", "\(settings.kind.rawValue) probe failed: \(failure)", of: record(name), isWarning: true
                )
            }
            switch (tally.record(failure == nil, settings), settings.kind) {
            case (nil, _), (true?, .liveness): break
            case (true?, .startup): return true
            case (let isReady?, .readiness):
                if record(name)?.isReady != isReady {
                    change(name) { $0.isReady = isReady }
                    publish()
                }
            case (false?, .startup), (false?, .liveness):
                let kind = settings.kind.rawValue.lowercased()
                event("Killing", "Container \(name) failed \(kind) probe, will be restarted", of: record(name))
                await stop(name, run, grace: settings.grace ?? grace)
                return false
            }
            try? await Task.sleep(for: .seconds(settings.period))
        }
        return nil
    }

    /// Runs a lifecycle hook; returns whether it succeeded.
    @discardableResult
    func runHook(
        _ hook: JSON, _ title: String, _ name: String, _ run: ContainerRun, within limit: Duration
    ) async -> Bool {
        var failure: String?
        if let command = hook.at("exec", "command")?.array?.compactMap(\.string) {
            do {
                let outcome = try await ContainerCommand.run(command, in: run, context.runc, timeout: limit)
                if outcome?.exit != .exited(0) {
                    let code = outcome.map { "exited with \($0.exit.code)" } ?? "timed out"
                    failure =
                        "\(title)Hook failed: command '\(command.joined(separator: " "))' \(code): \(outcome?.output ?? "")"
                }
            } catch {
                failure = "\(title)Hook failed: \(error)"
            }
        } else if let seconds = hook.at("sleep", "seconds")?.integer {
            try? await Task.sleep(for: min(.seconds(seconds), limit))
        } else {
            failure = "\(title)Hook failed: its handler is not supported by the playground"
        }
        if let failure, !Task.isCancelled { event("Failed\(title)Hook", failure, of: record(name), isWarning: true) }
        return failure == nil
    }
}
