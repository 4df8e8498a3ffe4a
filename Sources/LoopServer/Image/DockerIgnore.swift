/// The rules of a `.dockerignore`: the last one that matches a path, or a folder above it, decides.
struct DockerIgnore: Sendable {
    private struct Rule: Sendable {
        let pattern: [Substring]
        let isException: Bool
    }

    private var rules: [Rule] = []

    /// Leaves out nothing.
    init() {}

    /// Reads the lines of a file.
    init(parsing text: String) {
        for raw in text.split(whereSeparator: \.isNewline) where !raw.hasPrefix("#") {
            var line = ProgramText.plain(String(raw))[...]
            let isException = line.hasPrefix("!")
            if isException { line = line.dropFirst().drop(while: \.isWhitespace) }
            // As Go's `filepath.Clean` has it, and relative to the context with and without a slash.
            let parts = line.split(separator: "/").filter { $0 != "." }
            if !parts.isEmpty { rules.append(Rule(pattern: parts, isException: isException)) }
        }
    }

    /// Whether some rule takes in again what another leaves out.
    var hasExceptions: Bool { rules.contains(where: \.isException) }

    /// Whether a path, relative to the context, is left out.
    func leavesOut(_ path: String) -> Bool {
        let parts = path.split(separator: "/")
        var isOut = false
        for rule in rules where rule.isException == isOut {
            // A rule holds for everything below what it matches.
            let matches = (1...max(1, parts.count)).contains { count in
                DockerIgnore.matches(rule.pattern[...], parts.prefix(count))
            }
            if matches { isOut = !rule.isException }
        }
        return isOut
    }

    private static func matches(_ pattern: ArraySlice<Substring>, _ path: ArraySlice<Substring>) -> Bool {
        guard let first = pattern.first else { return path.isEmpty }
        if first == "**" {
            return (0...path.count).contains { matches(pattern.dropFirst(), path.dropFirst($0)) }
        }
        guard let name = path.first, segment(Array(first.utf8)[...], Array(name.utf8)[...]) else { return false }
        return matches(pattern.dropFirst(), path.dropFirst())
    }

    /// One name against `*`, `?`, `[a-z]` and escaped characters.
    private static func segment(_ pattern: ArraySlice<UInt8>, _ name: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return name.isEmpty }
        let rest = pattern.dropFirst()
        switch first {
        case UInt8(ascii: "*"): return (0...name.count).contains { segment(rest, name.dropFirst($0)) }
        case UInt8(ascii: "?"): return !name.isEmpty && segment(rest, name.dropFirst())
        case UInt8(ascii: "["):
            guard let byte = name.first, let end = rest.firstIndex(of: UInt8(ascii: "]")) else { return false }
            var set = rest[..<end]
            let isNegated = set.first == UInt8(ascii: "^")
            if isNegated { set = set.dropFirst() }
            var isIn = false
            while let low = set.popFirst() {
                var high = low
                if set.first == UInt8(ascii: "-"), set.count > 1 {
                    high = set[set.startIndex + 1]
                    set = set.dropFirst(2)
                }
                isIn = isIn || (low <= high && (low...high).contains(byte))
            }
            return isIn != isNegated && segment(pattern[(end + 1)...], name.dropFirst())
        case UInt8(ascii: "\\"):
            return rest.first != nil && rest.first == name.first && segment(rest.dropFirst(), name.dropFirst())
        default: return first == name.first && segment(rest, name.dropFirst())
        }
    }
}
