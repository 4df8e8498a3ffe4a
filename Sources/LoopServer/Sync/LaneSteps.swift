internal import Reactor
internal import Wire

/// The `then` steps of rules.
extension ServiceLane {
    /// Runs the `then` steps that are owed, beside the files that come meanwhile: a step may take its time, or never end.
    ///
    /// Files of the same rule that land while its steps run make them run once more.
    func startSteps(_ replica: Replica, _ access: any ContainerAccess) {
        guard replica.stepping == nil, !replica.owedSteps.isEmpty, replicas[replica.instance.id] === replica else {
            return
        }
        replica.stepping = Task {
            do {
                try await runSteps(replica, access)
                replica.stepping = nil
            } catch {
                // Whoever cancels has put back what is owed.
                guard !Task.isCancelled else { return }
                replica.stepError = error
                replica.gate.signal()
            }
            changed()
        }
    }

    /// Runs what is owed in the order of the file, until nothing is; a step that fails ends its rule's steps.
    private func runSteps(_ replica: Replica, _ access: any ContainerAccess) async throws {
        while !replica.owedSteps.isEmpty {
            for rule in replica.owedSteps.sorted() {
                replica.owedSteps.remove(rule)
                replica.runningSteps = rule
                for case .exec(let command) in plan.steps(of: rule) {
                    let isDone = try await run(command, replica.instance.pod, access)
                    try Task.checkCancellation()
                    if isDone { continue }
                    replica.hasFailedStep = true
                    break
                }
                replica.runningSteps = nil
            }
        }
    }

    /// Says now and then that a step still runs: nothing else would tell one that never ends from one that has ended.
    private func remind(of command: [String], in pod: String) async {
        var wait = stepPatience
        var waited = Duration.zero
        while (try? await Task.sleep(for: wait)) != nil {
            waited += wait
            wait = waited
            let milliseconds = Double(waited.components.seconds) * 1000 + Double(waited.components.attoseconds) / 1e15
            report(
                .notice(
                    "\(command.joined(separator: " ")) → \(pod): still runs after "
                        + "\(Figures.duration(milliseconds: milliseconds)); files go on landing, later steps wait for it"
                ))
        }
    }

    private func run(_ command: [String], _ pod: String, _ access: any ContainerAccess) async throws -> Bool {
        let started = monotonicNow()
        let reminder = Task { await remind(of: command, in: pod) }
        defer { reminder.cancel() }
        var lines = LineSplitter()
        let exit: ProgramExit
        do {
            exit = try await access.run(command) { output in
                for line in lines.feed(output.bytes) { report(.output(pod: pod, line: line)) }
            }
        } catch LinkError.refused(let failure) {
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(pod): cannot run \(command.first ?? ""): \(String(decoding: failure.text, as: UTF8.self))",
                        nextStep: "check the `then` step's program and whether the image has it")))
            return false
        }
        if let rest = lines.finish() { report(.output(pod: pod, line: rest)) }
        let code: Int32 =
            switch exit {
            case .code(let code): code
            case .signal(let signal): 128 + signal
            }
        let milliseconds = Double(monotonicNow() - started) / 1e6
        report(.executed(pod: pod, command: command, exitCode: code, milliseconds: milliseconds))
        return code == 0
    }
}

/// Cuts a program's output into lines; one without an end is cut after 64 KiB.
struct LineSplitter {
    private var pending: [UInt8] = []

    mutating func feed(_ bytes: [UInt8]) -> [String] {
        pending += bytes
        var lines: [String] = []
        while let end = pending.firstIndex(of: 0x0A) {
            lines.append(String(decoding: pending[..<end], as: UTF8.self))
            pending.removeSubrange(...end)
        }
        if pending.count > 64 << 10 {
            lines.append(String(decoding: pending, as: UTF8.self))
            pending = []
        }
        return lines
    }

    mutating func finish() -> String? {
        defer { pending = [] }
        return pending.isEmpty ? nil : String(decoding: pending, as: UTF8.self)
    }
}
