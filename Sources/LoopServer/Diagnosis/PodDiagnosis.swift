internal import JSON

/// Why a pod's container does not run, or is not ready, in one line: the first cause on the way from scheduling to readiness.
enum PodDiagnosis {
    /// The reason, or `nil` where the container runs and is ready.
    static func reason(_ pod: PodState, container: String? = nil) -> String? {
        if pod.isTerminating { return "\(pod.name) is being deleted" }
        if let message = pod.unschedulable { return "no node takes \(pod.name): \(firstSentence(message))" }
        if pod.phase == "Failed" || pod.phase == "Succeeded" {
            let why = [pod.reason, pod.message].compactMap { $0 }.joined(separator: ": ")
            return "\(pod.name) has ended (\(pod.phase))" + (why.isEmpty ? "" : ": \(why)")
        }
        for initial in pod.initContainers {
            if let reason = failure(of: initial, isInit: true) { return "\(pod.name): \(reason)" }
        }
        let wanted = container ?? pod.usualContainer
        let states = wanted.map { name in pod.lastingContainers.filter { $0.name == name } } ?? pod.containers
        for state in states {
            if let reason = failure(of: state, isInit: false) { return "\(pod.name): \(reason)" }
        }
        if states.allSatisfy(\.isReady), pod.isReady { return nil }
        if pod.node == nil { return "\(pod.name) waits for a node" }
        guard let unready = (states + pod.containers).first(where: { !$0.isReady }) else { return nil }
        switch unready.now {
        case .running:
            let name = "\(pod.name): container \"\(unready.name)\""
            if let last = unready.last { return "\(name) \(ending(last, unready)), and has just been started again" }
            return "\(name) runs but is not ready: its readiness probe fails"
        case .waiting(let reason, _): return "\(pod.name): container \"\(unready.name)\" is starting (\(reason))"
        case .unknown, .terminated: return "\(pod.name): container \"\(unready.name)\" is starting"
        }
    }

    private static func failure(of container: ContainerState, isInit: Bool) -> String? {
        let name = "\(isInit ? "init container" : "container") \"\(container.name)\""
        switch container.now {
        case .unknown, .running: return nil
        case .terminated(let end):
            if isInit, end.exitCode == 0 { return nil }
            return "\(name) \(ending(end, container))"
        case .waiting(let reason, let message):
            switch reason {
            case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName":
                // The back-off's own message only repeats the image; the first one names the cause.
                return "\(name): cannot pull image \(container.image)"
                    + (message.isEmpty ? "" : ": \(lastClause(message))")
            case "CreateContainerConfigError": return "\(name) cannot be created: \(message)"
            case "CrashLoopBackOff", "RunContainerError", "CreateContainerError":
                if let last = container.last { return "\(name) \(ending(last, container))" }
                return "\(name) cannot start: \(lastClause(message))"
            default: return nil
            }
        }
    }

    private static func ending(_ end: ContainerState.Termination, _ container: ContainerState) -> String {
        let again = container.restarts > 0 ? " (restarted \(container.restarts) times)" : ""
        switch end.reason {
        case "OOMKilled": return "was killed for using more memory than its limit\(again)"
        case "StartError", "ContainerCannotRun": return "cannot start: \(lastClause(end.message))\(again)"
        default: break
        }
        if end.exitCode > 128, end.exitCode < 160 {
            let probe = end.exitCode == 137 || end.exitCode == 143 ? ", as a failed liveness probe does" : ""
            return "was ended by signal \(end.exitCode - 128)\(probe)\(again)"
        }
        return "exited with code \(end.exitCode)\(again)"
    }

    /// The cause stands last: every layer puts its own words before it.
    private static func lastClause(_ message: String) -> String {
        for marker in [
            "unable to start container process: ", "failed to resolve image: ", "failed to pull and unpack ",
        ] {
            let parts = message.components(separatedBy: marker)
            if parts.count > 1 { return parts[parts.count - 1] }
        }
        return message
    }

    private static func firstSentence(_ message: String) -> String {
        message.components(separatedBy: ". ").first ?? message
    }

    /// Why a workload has no pods at all: its controller says so in a condition.
    static func reason(workload: JSON) -> String? {
        let status = workload["status"] ?? .null
        let name = workload.at("metadata", "name")?.string ?? ""
        if workload.at("spec", "replicas")?.integer == 0 { return "\(name) is scaled to 0 replicas" }
        if workload.at("spec", "paused")?.bool == true { return "\(name) is paused" }
        let failure = status.condition("ReplicaFailure")
        if failure?["status"]?.string == "True" {
            return "no pod of \(name) can be created: \(failure?["message"]?.string ?? "")"
        }
        return nil
    }
}

extension String {
    /// The parts between occurrences of `separator`.
    fileprivate func components(separatedBy separator: String) -> [String] {
        var parts: [String] = []
        var rest = self[...]
        while let found = rest.firstRange(of: separator) {
            parts.append(String(rest[..<found.lowerBound]))
            rest = rest[found.upperBound...]
        }
        return parts + [String(rest)]
    }
}
