/// The lines of a log that say why a program ended: a pure function.
enum DecisiveLines {
    /// What a log says about its program's end.
    struct Choice: Equatable {
        /// At most a few lines, the most telling one first where one tells, else the last ones in their order.
        var lines: [String]
        /// Whether the first one is an error in the program's own words.
        var isTelling: Bool
        /// Whether the log was read.
        var isRead = true
    }

    /// How many of a log's last lines are worth reading.
    static let wanted = 80
    private static let longest = 400

    /// Chooses among the last lines of a log.
    ///
    /// The last error wins, because the one that ended the program stands last; what supervisors and package managers add
    /// behind it does not count, and neither do the frames of a stack.
    static func choose(_ log: [String]) -> Choice {
        let lines = log.map { plain($0) }
        let told = lines.indices.filter { !isNoise(lines[$0]) }
        let ranks = [clear, vague, echo]
        for rank in ranks {
            guard let place = told.last(where: { rank(lines[$0]) }) else { continue }
            var chosen = [lines[place]]
            // `thread 'main' panicked at src/main.rs:2:5:` has its message on the next line.
            if lines[place].hasSuffix(":"), let next = told.first(where: { $0 > place }) { chosen.append(lines[next]) }
            return Choice(lines: chosen.map(shortened), isTelling: true)
        }
        return Choice(lines: told.suffix(3).map { shortened(lines[$0]) }, isTelling: false)
    }

    /// A line without what varies from run to run: times, numbers, addresses.
    static func material(_ line: String) -> String {
        String(line.filter { !$0.isHexDigit && !$0.isWhitespace })
    }

    private static func clear(_ line: String) -> Bool {
        let text = line.lowercased()
        return !isCalm(text) && !isEcho(text)
            && ["panic", "fatal", "exception", "error", "traceback"].contains { text.contains($0) }
    }

    private static func vague(_ line: String) -> Bool {
        let text = line.lowercased()
        let words = [
            "cannot", "can't", "could not", "couldn't", "unable to", "failed", "failure", "denied", "refused",
            "not found", "no such", "abort", "invalid", "missing", "critical", "killed", "out of memory", "undefined",
        ]
        return !isCalm(text) && !isEcho(text) && words.contains { text.contains($0) }
    }

    private static func echo(_ line: String) -> Bool { isEcho(line.lowercased()) }

    /// What is said about another program's end.
    private static func isEcho(_ text: String) -> Bool {
        ["npm err", "npm error", "error command failed", "make: ***", "make[", "exit status", "exited with code"]
            .contains { text.hasPrefix($0) }
    }

    /// Lines that only mention errors.
    private static func isCalm(_ text: String) -> Bool {
        [
            "\"level\":\"info\"", "\"level\":\"debug\"", "level=info", "level=debug", "[info]", "[debug]", " info ",
            " debug ", "0 errors", "no error", "without error", "error: null", "\"error\":null", "errors: 0",
        ].contains { text.contains($0) }
    }

    /// Blank lines, frames of stacks, and what frames them.
    private static func isNoise(_ line: String) -> Bool {
        let text = line.drop { $0 == " " || $0 == "\t" }
        guard text.contains(where: { $0.isLetter }) else { return true }
        if text.count < line.count {
            // Indented: `at app.js:3`, `File "x.py", line 3` and its source, `12: core::panicking`, `from app.rb:3`.
            return true
        }
        return [
            "at ", "File \"", "goroutine ", "created by ", "stack backtrace", "Stack trace", "Traceback (most recent",
            "note: run with", "... ", "Node.js v", "main.main(", "panic(", "runtime.", "exit status ",
            "npm ERR! A complete log", "npm error A complete log", "The above exception was", "During handling of",
        ].contains { text.hasPrefix($0) } || text.hasSuffix(")") && isCall(text)
    }

    /// A frame of Go: `net/http.(*Server).Serve(0xc0001, …)`.
    private static func isCall(_ text: Substring) -> Bool {
        guard let open = text.firstIndex(of: "("), !text.contains(" ") || text.contains("(0x") else { return false }
        return text[..<open].contains(".") && !text[..<open].contains(" ")
    }

    /// Without colours, the end of line and what follows a carriage return's first words.
    private static func plain(_ line: String) -> String {
        var out = String.UnicodeScalarView()
        var isEscape = false
        for scalar in line.unicodeScalars {
            if isEscape {
                // A sequence ends with a letter: `ESC [ 31 m`.
                isEscape = scalar == "[" || scalar == ";" || ("0"..."9").contains(scalar)
            } else if scalar == "\u{1B}" {
                isEscape = true
            } else {
                out.append(scalar)
            }
        }
        while let last = out.last, last.properties.isWhitespace { out.removeLast() }
        return String(out)
    }

    private static func shortened(_ line: String) -> String {
        line.count > longest ? line.prefix(longest) + "…" : line
    }
}
