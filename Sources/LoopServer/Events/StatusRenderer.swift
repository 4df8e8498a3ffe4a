public import JSON

extension StatusReport {
    /// The report as a table for people, one line for each pod.
    public var lines: [String] {
        var lines = [context.isEmpty ? "namespace \(namespace)" : "\(context), namespace \(namespace)"]
        if let unreachable { return lines + ["✗ \(Printable.text(unreachable))"] }
        var rows = [["SERVICE", "TARGET", "POD", "STATUS", "READY", "RESTARTS"]]
        var notes: [String] = []
        for entry in services {
            for (index, pod) in entry.pods.enumerated() {
                let isFirst = index == 0
                rows.append([
                    isFirst ? entry.service : "", isFirst ? entry.target : "", pod.name, pod.phase,
                    pod.isReady ? "yes" : "no", "\(pod.restarts)",
                ])
                if let reason = pod.reason { notes.append("\(pod.name): \(reason)") }
            }
            if entry.pods.isEmpty {
                rows.append([entry.service, entry.target, "–", entry.problem ?? "no pods", "–", "–"])
            }
            if let holder = entry.holder { notes.append("\(entry.service) is held by \(holder)") }
            if let dev = entry.devMode { notes += note(dev, entry.service) }
        }
        lines += TextTable.lines(rows)
        lines += notes.map(Printable.text)
        return lines
    }

    private func note(_ dev: DevMode, _ service: String) -> [String] {
        let what = "\(service) is in dev mode since \(dev.since.rfc3339): container \(dev.container), by \(dev.holder)"
        guard !dev.lost.isEmpty else { return [what] }
        return [what, "somebody has taken a part of it back: \(dev.lost.joined(separator: ", "))"]
    }

    /// The report as one JSON object, the form of `--output json`.
    public var json: JSON {
        var object = JSONObject()
        object["context"] = .string(context)
        object["namespace"] = .string(namespace)
        object["reachable"] = .bool(unreachable == nil)
        object["reason"] = unreachable.map(JSON.string)
        object["services"] = .array(services.map(\.json))
        return .object(object)
    }
}

extension StatusReport.Entry {
    fileprivate var json: JSON {
        var object = JSONObject()
        object["service"] = .string(service)
        object["target"] = .string(target)
        object["pods"] = .array(
            pods.map { pod in
                var object = JSONObject()
                object["name"] = .string(pod.name)
                object["phase"] = .string(pod.phase)
                object["ready"] = .bool(pod.isReady)
                object["restarts"] = .integer(Int64(pod.restarts))
                object["reason"] = pod.reason.map(JSON.string)
                return .object(object)
            })
        object["holder"] = holder.map(JSON.string)
        object["devMode"] = devMode.map { dev in
            [
                "container": .string(dev.container), "since": .string(dev.since.rfc3339), "by": .string(dev.holder),
                "lost": .array(dev.lost.map(JSON.string)),
            ]
        }
        object["problem"] = problem.map(JSON.string)
        return .object(object)
    }
}

/// Rows in aligned columns.
public enum TextTable {
    /// One line for each row, two spaces between columns, nothing at line ends.
    public static func lines(_ rows: [[String]]) -> [String] {
        let shown = rows.map { $0.map(Printable.text) }
        let columns = shown.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in shown.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0 }
        return shown.map { row in
            var line = ""
            for (column, cell) in row.enumerated() {
                let isLast = column == row.count - 1
                line += cell + (isLast ? "" : String(repeating: " ", count: widths[column] - cell.count + 2))
            }
            return line
        }
    }
}

extension Problem {
    /// The problem as one JSON object, the form of `loopd check --output json`.
    public var json: JSON {
        var object = JSONObject()
        object["severity"] = .string(severity.rawValue)
        object["file"] = .string(file)
        object["line"] = position.map { .integer(Int64($0.line)) }
        object["column"] = position.map { .integer(Int64($0.column)) }
        object["path"] = .string(path)
        object["message"] = .string(message)
        object["hint"] = hint.map(JSON.string)
        return .object(object)
    }
}
