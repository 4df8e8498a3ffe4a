internal import Wire

/// The `then` steps of rules.
extension ServiceLane {
    /// Runs the `then` steps that are owed, in the order of the file; a step that fails ends its rule's steps.
    ///
    /// Steps that a lost way interrupts stay owed.
    func runSteps(_ replica: Replica, _ access: any ContainerAccess) async throws {
        for rule in replica.owedSteps.sorted() {
            for case .exec(let command) in plan.steps(of: rule) {
                guard try await run(command, replica, access) else {
                    replica.hasFailedStep = true
                    break
                }
            }
            replica.owedSteps.remove(rule)
        }
    }

    private func run(_ command: [String], _ replica: Replica, _ access: any ContainerAccess) async throws -> Bool {
        let started = monotonicNow()
        let pod = replica.instance.pod
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
