internal import Reactor
internal import Wire

/// The `then` steps of rules.
extension ServiceLane {
    /// The rules that have steps, each with the occasion that makes these due when its part of a piece of work lands.
    func dueSteps(of rules: Set<Int>, for work: Replica.Work, _ replica: Replica) -> [Int: Occasion] {
        let saved = work.tickets.reduce(into: Set<Int>()) { if !$1.isInitial { $0.formUnion($1.rules) } }
        var due: [Int: Occasion] = [:]
        for rule in rules {
            let occasion = replica.isNew && !saved.contains(rule) ? Occasion.firstComparison : .change
            if !occasion.due(of: plan.steps(of: rule)).isEmpty { due[rule] = occasion }
        }
        return due
    }

    /// Notes what a container is owed, for a loopd that comes after a killed one.
    func noteOwed(_ replica: Replica) {
        let rules = [replica.owedSteps, replica.runningSteps, replica.doubtfulSteps].flatMap(\.keys)
        journal.owe(replica.instance.id, Set(rules))
    }

    /// Takes up what an earlier loopd has owed a container.
    func takeOwed(_ replica: Replica) {
        let rules = journal.owedSteps(replica.instance.id).filter {
            plan.service.rules.indices.contains($0) && !plan.steps(of: $0).isEmpty
        }
        replica.owe(Dictionary(uniqueKeysWithValues: rules.map { ($0, .change) }))
    }

    /// Runs the `then` steps that are owed, beside the files that come meanwhile: a step may take its time, or never end.
    ///
    /// Files of the same rule that land while its steps run make them run once more.
    func startSteps(_ replica: Replica, _ access: any ContainerAccess) {
        guard replica.stepping == nil, !replica.isLeaving, !replica.owedSteps.isEmpty,
            replicas[replica.instance.id] === replica
        else { return }
        replica.stepping = Task {
            do {
                while !replica.owedSteps.isEmpty, !replica.isLeaving {
                    try await runSteps(replica.owedSteps, replica, access)
                }
                replica.stepping = nil
                noteOwed(replica)
            } catch {
                // Whoever cancels has put back what is owed.
                guard !Task.isCancelled else { return }
                replica.lostWay = error
                replica.gate.signal()
            }
            changed()
        }
    }

    /// Runs what is owed now; a step that fails ends the steps of its rules.
    private func runSteps(
        _ owed: [Int: Occasion], _ replica: Replica, _ access: any ContainerAccess
    ) async throws {
        var failed: Set<Int> = []
        var due = DueStep.plan(
            owed.sorted { $0.key < $1.key }.map { ($0.key, $0.value.due(of: plan.steps(of: $0.key))) })[...]
        while let next = due.popFirst() {
            let rules = next.rules.subtracting(failed)
            guard !rules.isEmpty else { continue }
            replica.beginSteps(of: rules, owed)
            let isDone = try await take(next.step, replica, access)
            try Task.checkCancellation()
            // What is left of the steps is the next pod's, and so is whoever waits for them.
            if replica.isLeaving { return }
            if !isDone {
                replica.hasFailedStep = true
                failed.formUnion(rules)
            }
            let going = due.reduce(into: Set<Int>()) { $0.formUnion($1.rules) }.subtracting(failed)
            replica.runningSteps = replica.runningSteps.filter { going.contains($0.key) }
        }
    }

    /// Takes one step; false when it did not work, which is reported.
    private func take(_ step: Step, _ replica: Replica, _ access: any ContainerAccess) async throws -> Bool {
        switch step {
        case .exec(let command): try await run(command, replica.instance.pod, access)
        case .restart(.process): try await restartProcess(replica, access)
        case .restart(.signal(let number)): try await signal(number, replica, access)
        case .restart(.pod): try await restartPod(replica)
        }
    }

    /// Says now and then that a step still runs: nothing else would tell one that never ends from one that has ended.
    func remind(of step: String, in pod: String) async {
        var wait = stepPatience
        var waited = Duration.zero
        while (try? await Task.sleep(for: wait)) != nil {
            waited += wait
            wait = waited
            let milliseconds = Double(waited.components.seconds) * 1000 + Double(waited.components.attoseconds) / 1e15
            report(
                .notice(
                    "\(step) → \(pod): still runs after "
                        + "\(Figures.duration(milliseconds: milliseconds)); files go on landing, later steps wait for it"
                ))
        }
    }

    private func run(_ command: [String], _ pod: String, _ access: any ContainerAccess) async throws -> Bool {
        let started = monotonicNow()
        let reminder = Task { await remind(of: command.joined(separator: " "), in: pod) }
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
        var start = 0
        while let end = pending[start...].firstIndex(of: 0x0A) {
            lines.append(String(decoding: pending[start..<end], as: UTF8.self))
            start = end + 1
        }
        pending.removeFirst(start)
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
