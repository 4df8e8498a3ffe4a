/// One pattern line of a `.gitignore`.
struct IgnorePattern: Sendable, Equatable {
    private enum Match: Sendable, Equatable {
        /// No slash in it: the last component decides, at any depth.
        case name(NamePattern)
        /// A slash in it: the path from the ignore file's folder decides.
        case path(PathPattern)
        /// `ab**/c`: see `prefixed`.
        case prefixed([UInt8], PathPattern)
    }

    let negated: Bool
    private let foldersOnly: Bool
    private let match: Match

    /// Reads a line without its line end; nil for blank lines, comments and patterns that match nothing, as git has it.
    init?(line: ArraySlice<UInt8>) {
        var rest = Self.withoutTrailingSpaces(line)
        guard let first = rest.first, first != UInt8(ascii: "#") else { return nil }
        negated = first == UInt8(ascii: "!")
        if negated { rest = rest.dropFirst() }
        foldersOnly = rest.last == slash
        if foldersOnly { rest = rest.dropLast() }
        guard !rest.isEmpty else { return nil }
        let isPath = rest.contains(slash)
        if rest.first == slash { rest = rest.dropFirst() }
        guard let parts = try? WildcardSyntax.compile(rest) else { return nil }
        if isPath, let prefixed = Self.prefixed(rest) {
            match = prefixed
        } else if isPath {
            match = .path(PathPattern(parts: parts))
        } else if case .name(let pattern) = parts[0] {
            match = .name(pattern)
        } else {
            match = .name(NamePattern([.star]))
        }
    }

    func matches(_ components: ArraySlice<ArraySlice<UInt8>>, isDirectory: Bool) -> Bool {
        if foldersOnly && !isDirectory { return false }
        switch match {
        case .name(let pattern): return components.last.map(pattern.matches) ?? false
        case .path(let pattern): return pattern.matches(components)
        case .prefixed(let prefix, let pattern):
            let path = Array(components.joined(separator: [slash]))
            guard path.starts(with: prefix) else { return false }
            let rest = path.dropFirst(prefix.count)
            // Nothing behind the prefix is an empty name, which a star matches.
            return pattern.matches(rest.split(separator: slash, omittingEmptySubsequences: false)[...])
        }
    }

    /// git compares what stands before the first wildcard byte by byte and begins afresh behind it.
    ///
    /// So a `**` in the middle of a name, which its manual calls an ordinary star, still stands for any number of folders
    /// when nothing but plain text is before it.
    private static func prefixed(_ pattern: ArraySlice<UInt8>) -> Match? {
        let prefix = pattern.prefix { !"*?[\\".utf8.contains($0) }
        let rest = pattern[prefix.endIndex...]
        let stars = rest.prefix { $0 == UInt8(ascii: "*") }
        guard let last = prefix.last, last != slash, stars.count >= 2 else { return nil }
        guard stars.endIndex == pattern.endIndex || pattern[stars.endIndex] == slash else { return nil }
        guard let parts = try? WildcardSyntax.compile(rest) else { return nil }
        return .prefixed(Array(prefix), PathPattern(parts: parts))
    }

    /// Spaces at the end do not count unless a backslash stands before them.
    private static func withoutTrailingSpaces(_ line: ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        var end = line.startIndex
        var index = line.startIndex
        while index < line.endIndex {
            if line[index] == UInt8(ascii: "\\") {
                index += 2
                end = min(index, line.endIndex)
            } else {
                if line[index] != UInt8(ascii: " ") { end = index + 1 }
                index += 1
            }
        }
        return line[..<end]
    }
}

/// The patterns of one ignore file; the last one that matches decides.
struct IgnoreFile: Sendable, Equatable {
    private let patterns: [IgnorePattern]

    var isEmpty: Bool { patterns.isEmpty }

    init(lines: [String] = []) {
        patterns = lines.compactMap { IgnorePattern(line: Array($0.utf8)[...]) }
    }

    init(contents: [UInt8]) {
        var rest = contents[...]
        // Windows editors put a byte order mark first; git skips it.
        if rest.starts(with: [0xef, 0xbb, 0xbf]) { rest = rest.dropFirst(3) }
        patterns = rest.split(separator: UInt8(ascii: "\n")).compactMap { line in
            IgnorePattern(line: line.last == UInt8(ascii: "\r") ? line.dropLast() : line)
        }
    }

    /// True when the file ignores the path, false when it takes it back, nil when it says nothing.
    func verdict(_ components: ArraySlice<ArraySlice<UInt8>>, isDirectory: Bool) -> Bool? {
        for pattern in patterns.reversed() where pattern.matches(components, isDirectory: isDirectory) {
            return !pattern.negated
        }
        return nil
    }
}
