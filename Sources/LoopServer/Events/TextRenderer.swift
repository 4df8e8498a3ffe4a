/// Events as a person reads them: one calm line for each landed batch, causes and next steps on failure.
public struct TextRenderer: Sendable {
    /// What an event puts on the terminal.
    public struct Rendering: Equatable, Sendable {
        /// Lines that stay, without line ends.
        public var lines: [String] = []
        /// One line that the next rendering replaces; for terminals only.
        public var transient: String?
    }

    private enum Style: String {
        case plain = ""
        case dim = "2"
        case bold = "1"
        case good = "32"
        case warning = "33"
        case failure = "31"
    }

    private static let serviceColours = ["36", "35", "34", "32", "33"]

    private let services: [String]
    private let width: Int
    private let usesColour: Bool
    private let isVerbose: Bool

    /// A renderer for the named services, whose names are aligned.
    public init(services: [String], usesColour: Bool, isVerbose: Bool = false) {
        self.services = services
        width = services.map(\.count).max() ?? 0
        self.usesColour = usesColour
        self.isVerbose = isVerbose
    }

    /// The lines of one event.
    public func render(_ event: LoopEvent) -> Rendering {
        switch event.kind {
        case .started(let project, let context, let namespace):
            return line(event, "\(project) on \(context), namespace \(namespace)", .bold)
        case .watching(let folders, let milliseconds):
            return line(event, "watching \(Figures.count(folders, "folder"))", figure: milliseconds)
        case .deployed(let objects, let milliseconds):
            let text = objects.isEmpty ? "manifests are unchanged" : "applied \(list(objects))"
            return line(event, text, figure: milliseconds)
        case .diff(let lines): return render(lines, event)
        case .removed(let objects, let milliseconds):
            return line(event, objects.isEmpty ? "nothing is left" : "removed \(list(objects))", figure: milliseconds)
        case .rolledBack(let place, let milliseconds): return line(event, "back to \(place)", figure: milliseconds)
        case .rollingOut(let workload, let container, let image, let by):
            guard let by else { return line(event, "rolling out \(workload): \(container) gets \(image)", .dim) }
            return line(event, "\(workload): \(by) has taken \(image) back; rolling it out again", .warning)
        case .rolledOut(let workloads, let milliseconds):
            return line(event, "rolled out \(list(workloads))", figure: milliseconds)
        case .connected(let pods, let container, let way):
            return line(event, "connected to \(list(pods)) (container \(container), \(way))")
        case .leftAlone(let paths, let total):
            return line(event, "left alone in the container: \(list(paths, of: total))")
        case .landed(let landed): return render(landed, event)
        case .skipped(let path, let reason): return line(event, "skipped \(path): \(reason)", .warning)
        case .unmatched(let path): return line(event, "\(path): no rule takes it", .dim)
        case .progress(let done, let total, let path): return progress(event, done, total, path)
        case .output(let pod, let text): return line(event, "\(pod) | \(text)")
        case .executed(let pod, let command, let exitCode, let milliseconds):
            let text = "\(command.joined(separator: " ")) → \(pod)"
            if exitCode == 0 { return line(event, text, figure: milliseconds) }
            return line(event, "\(text): exit code \(exitCode)", .failure, figure: milliseconds)
        case .restarted(let pod, _, let milliseconds): return line(event, "restarted → \(pod)", figure: milliseconds)
        case .signalled(let pod, let signal, let milliseconds):
            return line(event, "sent \(signal) → \(pod)", figure: milliseconds)
        case .podDeleted(let pod, let milliseconds):
            return line(event, "deleted \(pod): its controller makes another", figure: milliseconds)
        case .building(let name, let again):
            return line(event, again ? "building \(name) again: the files have changed" : "building \(name)", .dim)
        case .buildOutput(let text): return line(event, "| \(text)", .dim)
        case .built(let name, let milliseconds): return line(event, "built \(name)", figure: milliseconds)
        case .imageBuilt(let built): return render(built, event)
        case .hostStarted, .hostOutput, .hostReady, .hostEnded, .intercepting, .forwarding:
            return renderHost(event)
        case .devMode(let change): return render(change, event)
        case .podsChanged(let added, let removed):
            let changes = added.map { "+\($0)" } + removed.map { "−\($0)" }
            return line(event, "pods: \(changes.joined(separator: " "))")
        case .failed(let failure): return render(failure, event)
        case .notice(let text): return line(event, text)
        case .detail(let text): return isVerbose ? line(event, text, .dim) : Rendering()
        case .stopped: return line(event, "stopped")
        }
    }

    // MARK: Kinds with more than a line

    private func render(_ landed: LoopEvent.Landed, _ event: LoopEvent) -> Rendering {
        var parts: [String] = []
        if landed.files > 0 { parts.append(Figures.count(landed.files, "file")) }
        if landed.deleted > 0 { parts.append("\(landed.deleted) deleted") }
        if landed.bytes >= 1_000_000 {
            let part = landed.bytesSent < landed.bytes ? " (\(Figures.bytes(landed.bytesSent)) sent)" : ""
            parts.append(Figures.bytes(landed.bytes) + part)
        }
        let what = parts.isEmpty ? "in step, nothing to send" : parts.joined(separator: ", ")
        let text = "\(what) → \(Figures.count(landed.pods, landed.isOnNodes ? "node" : "pod"))"
        var rendering = line(event, text, figure: landed.milliseconds)
        guard isVerbose else { return rendering }
        rendering.lines += landed.paths.map { indented(event, $0) }
        let legs = [("detect", landed.legs.detect), ("stage", landed.legs.stage), ("commit", landed.legs.commit)]
        let times = legs.map { "\($0.0) \(Figures.duration(milliseconds: $0.1))" }.joined(separator: ", ")
        rendering.lines.append(indented(event, times))
        return rendering
    }

    /// What goes is red, what comes is green, and what is made anew stands out.
    private func render(_ diff: [String], _ event: LoopEvent) -> Rendering {
        var rendering = line(event, "changes:")
        rendering.lines += diff.map { text in
            let styles: [Character: Style] = ["+": .good, "-": .failure, "!": .warning]
            let style = text.first.flatMap { styles[$0] } ?? .plain
            return indented(event, text, style)
        }
        return rendering
    }

    private func render(_ built: LoopEvent.ImageBuilt, _ event: LoopEvent) -> Rendering {
        let sent = built.bytesSent.map { " (\(Figures.bytes($0)) sent)" } ?? ""
        let text =
            built.isUnchanged ? "image \(built.image) is unchanged" : "image \(built.image) → \(built.reference)\(sent)"
        return line(event, text, figure: built.milliseconds)
    }

    private func renderHost(_ event: LoopEvent) -> Rendering {
        switch event.kind {
        case .hostStarted(let pid, let command, let again):
            let text = "\(command.joined(separator: " ")) (process \(pid))"
            return line(event, again ? "started again: \(text)" : "started \(text)", .dim)
        case .hostOutput(let text): return line(event, "| \(text)")
        case .hostReady(let ports, let milliseconds):
            let list = ports.map { "\($0)" }.joined(separator: ", ")
            return line(event, "listens on \(list)", figure: milliseconds)
        case .hostEnded(let status, let isSuccess, let milliseconds):
            let text = "the program has ended after \(Figures.duration(milliseconds: milliseconds)): \(status)"
            return line(event, isSuccess ? text : "✗ \(text)", isSuccess ? .plain : .failure)
        case .intercepting(let pods, let ports):
            guard !pods.isEmpty else { return line(event, "connections go to the pods' own service again") }
            guard !ports.isEmpty else {
                return line(event, "the service of \(self.list(pods)) is stopped while it runs here")
            }
            let list = ports.map { $0.container == $0.host ? "\($0.host)" : "\($0.container) → \($0.host)" }
            return line(event, "connections to \(list.joined(separator: ", ")) of \(self.list(pods)) come here")
        case .forwarding(let local, let target): return line(event, "\(local) leads to \(target)")
        default: return Rendering()
        }
    }

    private func render(_ change: LoopEvent.DevModeChange, _ event: LoopEvent) -> Rendering {
        switch change.what {
        case .entered: return line(event, "dev mode: rolled out", figure: change.milliseconds)
        case .takenUp: return line(event, "dev mode: taken up as it was left")
        case .reverted:
            return line(event, "dev mode: taken back by \(change.by ?? "somebody"); rolling it out again", .warning)
        case .restored:
            let kept = change.kept.isEmpty ? "" : "; kept what others changed: \(list(change.kept))"
            return line(event, "dev mode: undone\(kept)")
        }
    }

    private func render(_ failure: LoopEvent.Failure, _ event: LoopEvent) -> Rendering {
        var rendering = line(event, "✗ \(failure.summary)", .failure)
        rendering.lines += failure.details.map { indented(event, $0) }
        if let next = failure.nextStep { rendering.lines.append(indented(event, "→ \(next)", .plain)) }
        return rendering
    }

    private func progress(_ event: LoopEvent, _ done: Int64, _ total: Int64, _ path: String?) -> Rendering {
        let percent = total > 0 ? Int(Double(done) / Double(total) * 100) : 100
        let what = path.map { "  \(Printable.text($0))" } ?? ""
        let text = "\(Figures.bytes(done)) of \(Figures.bytes(total))  \(percent) %\(what)"
        return Rendering(lines: [], transient: prefix(event) + text)
    }

    // MARK: Lines

    private func line(_ event: LoopEvent, _ text: String, _ style: Style = .plain, figure: Double? = nil) -> Rendering {
        let figure = figure.map { "  " + styled(Figures.duration(milliseconds: $0), .good) } ?? ""
        return Rendering(lines: [prefix(event) + styled(Printable.text(text), style) + figure])
    }

    private func indented(_ event: LoopEvent, _ text: String, _ style: Style = .dim) -> String {
        String(repeating: " ", count: plainPrefixWidth) + "  " + styled(Printable.text(text), style)
    }

    private var plainPrefixWidth: Int { "00:00:00 ".count + (width > 0 ? width + 2 : 0) }

    private func prefix(_ event: LoopEvent) -> String {
        let time = styled(event.time.timeOfDay, .dim) + " "
        guard width > 0 else { return time }
        guard let service = event.service else { return time + String(repeating: " ", count: width + 2) }
        let padding = String(repeating: " ", count: max(0, width - service.count) + 2)
        let place = services.firstIndex(of: service) ?? 0
        let colour = TextRenderer.serviceColours[place % TextRenderer.serviceColours.count]
        return time + coloured(Printable.text(service), colour) + padding
    }

    private func styled(_ text: String, _ style: Style) -> String {
        style == .plain ? text : coloured(text, style.rawValue)
    }

    private func coloured(_ text: String, _ code: String) -> String {
        usesColour && !text.isEmpty ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text
    }

    private func list(_ items: [String], of total: Int? = nil) -> String {
        let shown = items.prefix(5)
        let more = (total ?? items.count) - shown.count
        if shown.isEmpty { return more > 0 ? "\(more)" : "nothing" }
        return shown.joined(separator: ", ") + (more > 0 ? " and \(more) more" : "")
    }
}
