/// Text that programs print for people, read by loopd.
enum ProgramText {
    /// A line without colours and the space around it.
    static func plain(_ line: String) -> String {
        var text = ""
        var isSequence = false
        for scalar in line.unicodeScalars {
            if scalar == "\u{1B}" { isSequence = true } else if !isSequence { text.unicodeScalars.append(scalar) }
            if isSequence, scalar.properties.isAlphabetic { isSequence = false }
        }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text.drop(while: \.isWhitespace))
    }

    /// What a line shows in the end that a program has written over, as for a progress bar.
    static func lastState(_ line: String) -> String {
        guard line.utf8.contains(0x0D) else { return line }
        return line.split(whereSeparator: \.isNewline).last.map(String.init) ?? ""
    }

    /// At most `limit` characters of a text; what is cut off shows as `…`.
    static func shortened(_ text: String, to limit: Int) -> String {
        text.count <= limit ? text : "\(text.prefix(limit - 1))…"
    }
}

extension StringProtocol {
    /// What stands between two marks, the first time.
    func between(_ start: String, _ end: String) -> String? {
        guard let rest = after(start), let cut = rest.firstRange(of: end) else { return nil }
        return String(rest[..<cut.lowerBound])
    }

    /// What stands after a mark, the first time.
    func after(_ mark: String) -> String? {
        firstRange(of: mark).map { String(self[$0.upperBound...]) }
    }
}
