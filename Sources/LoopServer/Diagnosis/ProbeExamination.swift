internal import JSON

/// A probe that has failed.
struct ProbeFailure: Equatable {
    enum Kind: String, CaseIterable {
        case startup
        case readiness
        case liveness
    }

    let kind: Kind
    /// What the probe answered.
    let output: String
    let count: Int
    let last: String

    /// From the kubelet's `Unhealthy`: `Readiness probe failed: HTTP probe failed with statuscode: 503`.
    init?(_ event: ObjectEvent) {
        guard event.reason == "Unhealthy",
            let kind = Kind.allCases.first(where: { event.message.lowercased().hasPrefix("\($0.rawValue) probe ") }),
            let colon = event.message.firstIndex(of: ":")
        else { return nil }
        self.kind = kind
        var words = event.message[...colon].dropFirst("\(kind.rawValue) probe ".count)
        var rest = event.message[colon...].dropFirst()
        // `errored and resulted in unknown state: rpc error: code = Unknown desc = …`
        if let cause = rest.firstRange(of: "desc = ") {
            rest = rest[cause.upperBound...]
            words = ""
        }
        let text = rest.isEmpty && !words.hasPrefix("failed") ? String(words) : String(rest)
        output = ProbeFailure.withoutCommand(text)
        count = event.count
        last = event.last
    }

    /// What a probe says that took too long names the whole command, which may hold a password.
    private static func withoutCommand(_ text: String) -> String {
        guard text.trimmed.hasPrefix("command"), text.contains("timed out"), let start = text.firstIndex(of: "\""),
            let end = text.lastIndex(of: "\""), start < end
        else { return text }
        return "the command" + text[text.index(after: end)...]
    }

    /// Nobody listens yet, as while a program starts.
    var isRefused: Bool { output.contains("connection refused") }
}

/// Probes that fail.
extension PodExamination {
    /// The probes of a container that have failed, the newest first.
    func probeFailures(of container: ContainerState) -> [ProbeFailure] {
        picture.events(about: pod.uid, "Unhealthy").filter { $0.container == container.name }
            .compactMap { ProbeFailure($0) }
    }

    /// A container that its kubelet has ended for a probe.
    mutating func wasKilled(_ container: ContainerState, _ end: ContainerState.Termination?, by probe: ProbeFailure) {
        let settings = container.spec["\(probe.kind.rawValue)Probe"] ?? .null
        let restarts = container.restarts > 0 ? " (restarted \(container.restarts) times)" : ""
        let advice =
            probe.kind == .startup
            ? "is it slower to start than failureThreshold × periodSeconds of its startupProbe allows?"
            : "does it answer in time? timeoutSeconds, initialDelaySeconds and failureThreshold of its livenessProbe, "
                + "or a startupProbe, give it more"
        add(
            [probe.kind.rawValue, container.name, DecisiveLines.material(probe.output)],
            "\(title(container)) is killed because its \(probe.kind.rawValue) probe fails\(action(settings))\(restarts)",
            said(probe), next: hint(probe, settings) ?? advice)
    }

    /// Whether a probe fails for which the container is about to be ended.
    mutating func isUnhealthy(_ container: ContainerState) -> Bool {
        for probe in probeFailures(of: container) where probe.kind != .readiness {
            let settings = container.spec["\(probe.kind.rawValue)Probe"] ?? .null
            guard probe.last >= container.startedAt ?? "" else { continue }
            // A startup probe fails while a program starts: that is what it is for.
            let runs = container.restarts + 1
            if probe.count >= min(25, threshold(settings) * runs) || container.restarts > 0 {
                wasKilled(container, nil, by: probe)
                return true
            }
        }
        return false
    }

    /// Whether the readiness probe has failed in this run.
    mutating func isUnready(_ container: ContainerState) -> Bool {
        let failures = probeFailures(of: container).filter {
            $0.kind == .readiness && $0.last >= container.startedAt ?? ""
        }
        guard let probe = failures.first else { return false }
        let settings = container.spec["readinessProbe"] ?? .null
        if probe.isRefused, probe.count < threshold(settings) {
            // Every server refuses until it listens: time tells.
            let limit = patience(settings)
            if age < limit {
                findings.lookAgain(after: limit - age)
                return true
            }
        }
        unready(container, settings, probe)
        return true
    }

    /// Looks at a container that is not ready, and whose probe nobody has seen failing: for as long as it may take.
    mutating func isLate(_ container: ContainerState) {
        guard container.now == .running, let settings = container.spec["readinessProbe"], !settings.isNull else {
            return
        }
        // The probe begins only after the startup probe has passed.
        if container.spec["startupProbe"] != nil { return }
        let limit = patience(settings)
        if age < limit { return findings.lookAgain(after: limit - age) }
        unready(container, settings, nil)
    }

    private mutating func unready(_ container: ContainerState, _ settings: JSON, _ probe: ProbeFailure?) {
        // Its own words help where the probe only says that something is wrong.
        // Not the log of the run's end, should it come to that.
        guard let log = log(of: container, run: "present \(container.id ?? "")", isPrevious: false) else { return }
        let more = log.isTelling ? log.lines.prefix(1).map { "its log: \($0)" } : []
        add(
            ["readiness", container.name, DecisiveLines.material(probe?.output ?? "")],
            "\(title(container)) runs but is not ready: its readiness probe fails\(action(settings))",
            (probe.map(said) ?? []) + more,
            next: probe.flatMap { hint($0, settings) } ?? "its log: \(logCommand(container, isPrevious: false))")
    }

    private func said(_ probe: ProbeFailure) -> [String] {
        let lines = probe.output.lines.map { $0.trimmed }
        return lines.isEmpty ? ["the probe says nothing"] : Array(lines.suffix(3))
    }

    /// What the probe does; a command's arguments stay out of it, they may hold a password.
    private func action(_ settings: JSON) -> String {
        if let get = settings["httpGet"], !get.isNull {
            return " (GET \(get["path"]?.string ?? "/") on port \(port(get["port"])))"
        }
        if let socket = settings["tcpSocket"], !socket.isNull {
            return " (a connection to port \(port(socket["port"])))"
        }
        if let call = settings["grpc"], !call.isNull { return " (gRPC on port \(port(call["port"])))" }
        guard let program = settings.at("exec", "command")?.array?.first?.string else { return "" }
        return program == HelperProgram.supervisor ? "" : " (it runs \(program))"
    }

    private func port(_ port: JSON?) -> String { port?.string ?? port?.integer.map { "\($0)" } ?? "?" }

    /// What is likely behind a probe's answer.
    private func hint(_ probe: ProbeFailure, _ settings: JSON) -> String? {
        let text = probe.output
        let place = settings["httpGet"] ?? settings["tcpSocket"] ?? settings["grpc"]
        if probe.isRefused {
            return "does it listen on port \(port(place?["port"])), and on 0.0.0.0 instead of 127.0.0.1?"
        }
        if text.contains("statuscode: 404") {
            return "is \(place?["path"]?.string ?? "/") the right path?"
        }
        if text.contains("statuscode: 401") || text.contains("statuscode: 403") {
            return "the probe has no login: let \(place?["path"]?.string ?? "/") be open"
        }
        if text.contains("executable file not found") || text.contains("no such file or directory") {
            return "the probe's program is not in the image"
        }
        if text.contains("HTTP response to HTTPS client") { return "set the probe's scheme to HTTP" }
        if text.contains("malformed HTTP response") || text.contains("HTTP request to an HTTPS server") {
            return "set the probe's scheme to HTTPS"
        }
        if text.contains("timed out") || text.contains("deadline exceeded") || text.contains("Timeout exceeded") {
            return "it does not answer within timeoutSeconds (\(settings["timeoutSeconds"]?.integer ?? 1) s)"
        }
        return nil
    }

    private func threshold(_ settings: JSON) -> Int { Int(settings["failureThreshold"]?.integer ?? 3) }

    /// How long it may take until a probe that fails from the beginning counts.
    private func patience(_ settings: JSON) -> Duration {
        let period = settings["periodSeconds"]?.integer ?? 10
        let delay = settings["initialDelaySeconds"]?.integer ?? 0
        return .seconds(delay + Int64(threshold(settings)) * period)
    }

    private var age: Duration { picture.ages[pod.uid] ?? .zero }
}

extension String {
    /// Without white space at its ends.
    var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
