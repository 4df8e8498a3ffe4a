public import JSON

extension LoopEvent {
    /// The event as one JSON object, the form of `--output json`.
    ///
    /// `time` and `event` are always there, `service` where it is about one; the other keys belong to the kind of event.
    /// Keys are added in later versions, never renamed or removed. Durations are in milliseconds.
    public var json: JSON {
        var object = JSONObject()
        object["time"] = .string(time.rfc3339)
        object["event"] = .string(name)
        object["service"] = service.map(JSON.string)
        for (key, value) in fields { object[key] = value }
        return .object(object)
    }

    /// The kind's name in JSON.
    var name: String {
        switch kind {
        case .started: "started"
        case .watching: "watching"
        case .diff: "diff"
        case .deployed: "deployed"
        case .removed: "removed"
        case .rolledBack: "rolledBack"
        case .rollingOut: "rollingOut"
        case .rolledOut: "rolledOut"
        case .connected: "connected"
        case .leftAlone: "leftAlone"
        case .landed: "landed"
        case .skipped: "skipped"
        case .unmatched: "unmatched"
        case .progress: "progress"
        case .output: "output"
        case .executed: "executed"
        case .restarted: "restarted"
        case .signalled: "signalled"
        case .podDeleted: "podDeleted"
        case .building: "building"
        case .buildOutput: "buildOutput"
        case .built: "built"
        case .imageBuilt: "imageBuilt"
        case .hostStarted: "hostStarted"
        case .hostOutput: "hostOutput"
        case .hostReady: "hostReady"
        case .hostEnded: "hostEnded"
        case .intercepting: "intercepting"
        case .forwarding: "forwarding"
        case .devMode: "devMode"
        case .podsChanged: "podsChanged"
        case .failed: "failed"
        case .notice: "notice"
        case .detail: "detail"
        case .stopped: "stopped"
        }
    }

    private var fields: [(String, JSON?)] {
        switch kind {
        case .started(let project, let context, let namespace):
            [("project", .string(project)), ("context", .string(context)), ("namespace", .string(namespace))]
        case .watching(let folders, let milliseconds):
            [("folders", .integer(Int64(folders))), ("milliseconds", number(milliseconds))]
        case .deployed(let objects, let milliseconds):
            [("objects", strings(objects)), ("milliseconds", number(milliseconds))]
        case .diff(let lines): [("lines", strings(lines))]
        case .removed(let objects, let milliseconds):
            [("objects", strings(objects)), ("milliseconds", number(milliseconds))]
        case .rolledBack(let place, let milliseconds):
            [("to", .string(place)), ("milliseconds", number(milliseconds))]
        case .rollingOut(let workload, let container, let image, let by):
            [
                ("workload", .string(workload)), ("container", .string(container)), ("image", .string(image)),
                ("by", by.map(JSON.string)),
            ]
        case .rolledOut(let workloads, let milliseconds):
            [("workloads", strings(workloads)), ("milliseconds", number(milliseconds))]
        case .connected(let pods, let container, let way):
            [("pods", strings(pods)), ("container", .string(container)), ("way", .string(way))]
        case .leftAlone(let paths, let total): [("paths", strings(paths)), ("total", .integer(Int64(total)))]
        case .landed(let landed): fields(of: landed)
        case .skipped(let path, let reason): [("path", .string(path)), ("reason", .string(reason))]
        case .unmatched(let path): [("path", .string(path))]
        case .progress(let done, let total, let path):
            [("done", .integer(done)), ("total", .integer(total)), ("path", path.map(JSON.string))]
        case .output(let pod, let line): [("pod", .string(pod)), ("line", .string(line))]
        case .executed(let pod, let command, let exitCode, let milliseconds):
            [
                ("pod", .string(pod)), ("command", strings(command)), ("exitCode", .integer(Int64(exitCode))),
                ("milliseconds", number(milliseconds)),
            ]
        case .restarted(let pod, let pid, let milliseconds):
            [("pod", .string(pod)), ("pid", .integer(Int64(pid))), ("milliseconds", number(milliseconds))]
        case .signalled(let pod, let signal, let milliseconds):
            [("pod", .string(pod)), ("signal", .string(signal)), ("milliseconds", number(milliseconds))]
        case .podDeleted(let pod, let milliseconds):
            [("pod", .string(pod)), ("milliseconds", number(milliseconds))]
        case .building(let name, let again): [("build", .string(name)), ("again", .bool(again))]
        case .buildOutput(let line): [("line", .string(line))]
        case .built(let name, let milliseconds):
            [("build", .string(name)), ("milliseconds", number(milliseconds))]
        case .imageBuilt(let built):
            [
                ("image", .string(built.image)), ("reference", .string(built.reference)),
                ("bytesSent", built.bytesSent.map(JSON.integer)), ("unchanged", .bool(built.isUnchanged)),
                ("milliseconds", number(built.milliseconds)),
            ]
        case .hostStarted(let pid, let command, let again):
            [("pid", .integer(Int64(pid))), ("command", strings(command)), ("again", .bool(again))]
        case .hostOutput(let line): [("line", .string(line))]
        case .hostReady(let ports, let milliseconds):
            [("ports", numbers(ports)), ("milliseconds", number(milliseconds))]
        case .hostEnded(let status, let isSuccess, let milliseconds):
            [("status", .string(status)), ("success", .bool(isSuccess)), ("milliseconds", number(milliseconds))]
        case .intercepting(let pods, let ports):
            [("pods", strings(pods)), ("ports", numbers(ports.map(\.container)))]
        case .forwarding(let local, let target): [("local", .string(local)), ("target", .string(target))]
        case .devMode(let change):
            [
                ("change", .string(change.what.rawValue)), ("container", .string(change.container)),
                ("by", change.by.map(JSON.string)), ("milliseconds", change.milliseconds.map { number($0) }),
                ("kept", change.kept.isEmpty ? JSON?.none : strings(change.kept)),
            ]
        case .podsChanged(let added, let removed): [("added", strings(added)), ("removed", strings(removed))]
        case .failed(let failure):
            [
                ("summary", .string(failure.summary)), ("details", strings(failure.details)),
                ("nextStep", failure.nextStep.map(JSON.string)),
            ]
        case .notice(let text), .detail(let text): [("text", .string(text))]
        case .stopped: []
        }
    }

    private func fields(of landed: Landed) -> [(String, JSON?)] {
        [
            ("files", .integer(Int64(landed.files))), ("deleted", .integer(Int64(landed.deleted))),
            ("bytes", .integer(landed.bytes)), ("bytesSent", .integer(landed.bytesSent)),
            (landed.isOnNodes ? "nodes" : "pods", .integer(Int64(landed.pods))), ("paths", strings(landed.paths)),
            ("milliseconds", number(landed.milliseconds)),
            (
                "legs",
                [
                    "detect": number(landed.legs.detect), "stage": number(landed.legs.stage),
                    "commit": number(landed.legs.commit),
                ]
            ),
            ("initial", .bool(landed.isInitial)),
        ]
    }

    private func strings(_ strings: [String]) -> JSON { .array(strings.map(JSON.string)) }

    private func numbers(_ ports: [UInt16]) -> JSON { .array(ports.map { JSON.integer(Int64($0)) }) }

    /// Milliseconds to the microsecond: more digits would only be noise.
    private func number(_ milliseconds: Double) -> JSON { .double((milliseconds * 1000).rounded() / 1000) }
}
