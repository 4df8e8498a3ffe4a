/// What a builder printed, taken apart: the step that it stopped at, and what that step said.
struct BuildLog: Equatable, Sendable {
    /// The instruction as the builder shows it; `nil` where it did not come to one.
    var step: String?
    /// Which instruction that is: counted over the file or, with a stage, in that.
    var number: Int?
    var stage: Int?
    /// What the instruction printed.
    var said: [String] = []
    /// What the builder itself says about the failure.
    var complaint: [String] = []

    /// Reads the lines that docker (classic or BuildKit), podman or buildah has printed; they are plain.
    init(_ lines: [String]) {
        if lines.contains(where: { $0.wholeMatch(of: /#\d+ (\[.*|DONE .*|ERROR.*|CACHED)/) != nil }) {
            readBuildKit(lines)
        } else {
            readSteps(lines)
        }
    }

    // MARK: BuildKit

    private mutating func readBuildKit(_ lines: [String]) {
        var titles: [Substring: String] = [:]
        var printed: [Substring: [String]] = [:]
        var failed: Substring?
        var isQuoting = false
        for line in lines {
            if line.allSatisfy({ $0 == "-" }), line.count >= 6 {
                isQuoting = line.count == 6 ? !isQuoting : isQuoting
                continue
            }
            guard let match = line.prefixMatch(of: /#(\d+)\s/) else {
                if !isQuoting, failed != nil || line.hasPrefix("ERROR: ") || line.hasPrefix("failed to ") {
                    complaint.append(line)
                }
                continue
            }
            let rest = line[match.range.upperBound...]
            if rest.hasPrefix("["), titles[match.1] == nil {
                titles[match.1] = String(rest)
            } else if rest.hasPrefix("ERROR: ") {
                // Others are cancelled because of the first one.
                if failed == nil || !rest.contains("canceled") { failed = match.1 }
                complaint.append(String(rest.dropFirst("ERROR: ".count)))
            } else if let time = rest.prefixMatch(of: /\d+\.\d+\s/) {
                printed[match.1, default: []].append(String(rest[time.range.upperBound...]))
            }
        }
        guard let failed, let title = titles[failed] else { return }
        said = printed[failed] ?? []
        readTitle(title)
    }

    /// `[two 2/3] RUN make`, `[2/3] RUN make`, `[internal] load metadata for docker.io/library/debian:12`.
    private mutating func readTitle(_ title: String) {
        if let name = title.after("load metadata for ") {
            step = "FROM \(name)"
        } else if let end = title.firstIndex(of: "]"), !title.hasPrefix("[internal]") {
            step = String(title[title.index(after: end)...].drop { $0 == " " })
        }
    }

    // MARK: Classic, podman, buildah

    private mutating func readSteps(_ lines: [String]) {
        for line in lines {
            if let match = line.wholeMatch(of: /Step (\d+)\/\d+ : (.*)/) {
                start(String(match.2), number: Int(match.1), stage: nil)
            } else if let match = line.wholeMatch(of: /(?:\[(\d+)\/\d+\] )?STEP (\d+)\/\d+: (.*)/) {
                start(String(match.3), number: Int(match.2), stage: (match.1.flatMap { Int($0) } ?? 1) - 1)
            } else if isComplaint(line) {
                complaint.append(line)
            } else if step != nil, !BuildLog.isChatter(line) {
                said.append(line)
            }
        }
        // Classic docker says why on a line like any other.
        if complaint.isEmpty, let last = said.last { complaint = [last] }
        if let last = said.last, complaint == [last] { said.removeLast() }
    }

    private mutating func start(_ text: String, number: Int?, stage: Int?) {
        step = text
        self.number = number
        self.stage = stage
        said = []
        complaint = []
    }

    private func isComplaint(_ line: String) -> Bool {
        line.hasPrefix("Error: ") || line.hasPrefix("Error response from daemon: ")
            || line.hasPrefix(": building at STEP")
            || line.hasPrefix("* ") || (line.hasPrefix("The command '") && line.contains("returned a non-zero code"))
            || line.hasPrefix("COPY failed: ") || line.hasPrefix("ADD failed: ") || line.hasPrefix("ERROR: ")
    }

    /// What the builders say around what a program prints.
    private static func isChatter(_ line: String) -> Bool {
        line.isEmpty || line.hasPrefix("---> ") || line == "--->" || line.hasPrefix("--> ")
            || line.hasPrefix("Removing intermediate container ") || line.hasPrefix("subprocess exited with status ")
            || line.hasPrefix("time=\"") || line.hasPrefix("Trying to pull ") || line.hasPrefix("Resolved \"")
            || line.hasPrefix("[Warning] ")
    }
}
