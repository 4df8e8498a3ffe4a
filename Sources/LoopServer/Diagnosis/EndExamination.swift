internal import JSON

/// Programs that end: by themselves, by a signal, for their memory, for their health.
extension PodExamination {
    mutating func ended(_ container: ContainerState, _ end: ContainerState.Termination, isPrevious: Bool) {
        switch end.reason {
        case "StartError", "ContainerCannotRun": return cannotStart(container, end.message)
        case "OOMKilled": return hadNoMemory(container, end, isPrevious: isPrevious)
        default: break
        }
        if let probe = probe(thatEnded: container, end) { return wasKilled(container, end, by: probe) }
        crashed(container, end, isPrevious: isPrevious)
    }

    private mutating func crashed(
        _ container: ContainerState, _ end: ContainerState.Termination, isPrevious: Bool
    ) {
        guard let log = log(of: container, run: end.id, isPrevious: isPrevious) else { return }
        var details = log.lines
        if !log.isTelling, !end.message.isEmpty { details.append(contentsOf: end.message.lines.suffix(3)) }
        if details.isEmpty, picture.asks {
            details = [log.isRead ? "it wrote nothing to its log" : "its log does not come in time"]
        }
        let (meaning, advice) = EndExamination.meaning(of: end.exitCode, log.lines)
        let how =
            switch end.exitCode {
            case 0: "exited with code 0, although it is to keep running"
            case 129..<165: "was ended by \(EndExamination.signal(end.exitCode - 128)) (exit code \(end.exitCode))"
            default: "exited with code \(end.exitCode)"
            }
        let readMore = "the whole log: \(logCommand(container, isPrevious: container.now != .terminated(end)))"
        add(
            ["end", container.name, "\(end.exitCode)"] + (log.isTelling ? [material(log.lines[0])] : []),
            "\(title(container)) \(how)\(meaning.map { ": \($0)" } ?? "")\(again(container))", details,
            next: advice.map { "\($0); \(readMore)" } ?? readMore)
    }

    private mutating func hadNoMemory(
        _ container: ContainerState, _ end: ContainerState.Termination, isPrevious: Bool
    ) {
        guard let log = log(of: container, run: end.id, isPrevious: isPrevious) else { return }
        let limit =
            container.spec.at("resources", "limits", "memory") ?? pod.object.at("spec", "resources", "limits", "memory")
        let what =
            limit?.string.map { "was killed for using more memory than its limit of \($0)" }
            ?? "was killed for its memory; it has no limit, so the node had none left"
        add(
            ["memory", container.name, limit?.string ?? ""], "\(title(container)) \(what)\(again(container))",
            log.lines.suffix(1),
            next: limit == nil
                ? "give it requests and a limit, or free memory: \(describe("node", pod.node ?? ""))"
                : "raise resources.limits.memory of \"\(container.name)\", or let the program use less")
    }

    /// The probe that a container was ended for.
    private func probe(thatEnded container: ContainerState, _ end: ContainerState.Termination) -> ProbeFailure? {
        let failures = probeFailures(of: container).filter { $0.kind != .readiness }
        // A busy kubelet tells only the first failures; the signals are the ones that it sends.
        let isKilled = end.exitCode == 137 || end.exitCode == 143
        return failures.first { $0.last >= end.startedAt || isKilled }
    }

    private func again(_ container: ContainerState) -> String {
        switch container.restarts {
        case 0: ""
        case 1: " (restarted once)"
        default: " (restarted \(container.restarts) times)"
        }
    }
}

/// What exit codes mean.
enum EndExamination {
    /// `SIGSEGV`, else `signal 34`.
    static func signal(_ number: Int) -> String {
        [
            1: "SIGHUP", 2: "SIGINT", 3: "SIGQUIT", 4: "SIGILL", 5: "SIGTRAP", 6: "SIGABRT", 7: "SIGBUS", 8: "SIGFPE",
            9: "SIGKILL", 11: "SIGSEGV", 13: "SIGPIPE", 15: "SIGTERM", 24: "SIGXCPU", 25: "SIGXFSZ", 31: "SIGSYS",
        ][number] ?? "signal \(number)"
    }

    /// What an exit code is likely to mean, and what to do about it; nothing where only the log can tell.
    static func meaning(of code: Int, _ log: [String]) -> (meaning: String?, advice: String?) {
        if log.contains(where: { $0.lowercased().contains("exec format error") }) {
            return (
                "a program in it is of another architecture than the node, or a script without \"#!\"",
                "build it for the node's architecture"
            )
        }
        return switch code {
        case 0: (nil, "start what serves in the foreground, not what starts it and ends")
        case 126: ("a command that is no program or may not be executed", "is it executable, and built for the node?")
        case 127: ("a command that the image does not have", "is it installed in the image, and in its PATH?")
        case 132: ("an instruction that the node's CPU does not have", "build for a more common CPU")
        case 134: ("it gave up by itself, as a failed assertion does", nil)
        case 135, 139: ("invalid memory access", "a native library of another version or C library does this, too")
        case 137:
            (
                "something killed it, and neither its own memory limit nor a probe is named",
                "its node may have run out of memory, or a supervisor in it gave up"
            )
        case 143: ("something asked it to end, and no probe is named", nil)
        default: (nil, nil)
        }
    }
}

extension String {
    /// Its lines without blank ones.
    var lines: [String] { split(whereSeparator: \.isNewline).map(String.init).filter { $0.contains { $0 != " " } } }
}
