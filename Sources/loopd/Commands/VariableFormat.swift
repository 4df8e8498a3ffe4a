internal import JSON

/// How `loopd env` writes variables.
enum VariableFormat: String {
    case shell
    case json
    case dotenv

    func lines(_ variables: [(String, String)]) -> [String] {
        switch self {
        case .shell:
            return variables.filter { Self.isShellName($0.0) }.map { "export \($0)=\(Self.shellWord($1))" }
        case .json:
            var object = JSONObject()
            for (name, value) in variables { object[name] = .string(value) }
            return [JSON.object(object).pretty()]
        case .dotenv:
            return variables.filter { Self.isShellName($0.0) }.map { "\($0)=\(Self.dotenvWord($1))" }
        }
    }

    /// The names that this form cannot have.
    func leftOut(_ variables: [(String, String)]) -> [String] {
        self == .json ? [] : variables.map(\.0).filter { !Self.isShellName($0) }
    }

    private static func isShellName(_ name: String) -> Bool {
        name.first?.isNumber == false
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
                    || byte == UInt8(ascii: "_") || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
            }
    }

    private static func isPlain(_ text: String) -> Bool {
        !text.isEmpty
            && text.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20) || "/._-:0123456789".utf8.contains(byte)
            }
    }

    /// One word for a POSIX shell, whatever is in it.
    static func shellWord(_ text: String) -> String {
        if isPlain(text) { return text }
        return "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }

    /// One value of a `.env` file.
    ///
    /// Readers agree on single quotes, in which everything stands for itself, line breaks too. A value that has single
    /// quotes stands in double quotes, with a backslash where a shell needs one.
    static func dotenvWord(_ text: String) -> String {
        if isPlain(text) { return text }
        guard text.contains("'") else { return "'\(text)'" }
        let escaped = text.map { "\\\"$`".contains($0) ? "\\\($0)" : String($0) }
        return "\"\(escaped.joined())\""
    }
}
