/// Why a text is not a glob.
public struct GlobError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The text.
    public let pattern: String
    /// What is wrong with it.
    public let reason: String

    /// The text for messages.
    public var description: String { "\(pattern): \(reason)" }
}

/// A pattern of a rule: `app/**`, `**/*.py`, `src/{web,api}/*.ts`, `requirements.txt`.
///
/// It is anchored: `*.py` matches in the base folder only, `**/*.py` everywhere below it. `*` and `?` stay within one name
/// and match a leading dot too; `**` as a whole component is any number of folders, at the end everything below; a
/// trailing `/` means the same as `/**`. `[a-z]`, `[!a-z]`, `{a,b}` and `\` as an escape work as usual. Matching is by
/// bytes.
public struct Glob: Hashable, Sendable, CustomStringConvertible {
    /// The text it was made from.
    public let pattern: String
    /// The leading folders without any wildcard, common to all alternatives: `app/**` has `app`, `requirements.txt` none.
    public let fixedPart: RelativePath
    private let alternatives: [PathPattern]

    /// Compiles a pattern; it may not be empty, absolute, or climb with `..`.
    public init(_ pattern: String) throws(GlobError) {
        self.pattern = pattern
        func failure(_ reason: String) -> GlobError { GlobError(pattern: pattern, reason: reason) }
        let text = Array(pattern.utf8)
        guard !text.isEmpty else { throw failure("an empty pattern matches nothing") }
        guard text[0] != slash else { throw failure("must be relative") }
        guard !text.contains(0) else { throw failure("a path holds no zero byte") }
        guard let expanded = Self.expand(text[...]) else {
            throw failure("braces do not pair, or make more than \(Self.alternativeLimit) alternatives")
        }
        var alternatives: [PathPattern] = []
        for var bytes in expanded {
            if bytes.last == slash { bytes += Array("**".utf8) }
            let parts: [PathPattern.Part]
            do throws(WildcardSyntax.Failure) {
                parts = try WildcardSyntax.compile(bytes[...]).filter { !$0.isNamed("") && !$0.isNamed(".") }
            } catch {
                throw failure(error.reason)
            }
            guard !parts.contains(where: { $0.isNamed("..") }) else { throw failure("may not climb with ..") }
            alternatives.append(PathPattern(parts: parts))
        }
        self.alternatives = alternatives
        fixedPart = Self.commonFolder(alternatives)
    }

    /// Whether a path, relative to the glob's base, matches.
    public func matches(_ path: RelativePath) -> Bool {
        let components = path.components[...]
        return alternatives.contains { $0.matches(components) }
    }

    /// Whether something below `folder` can match, so that a walk has to enter it.
    public func canMatch(inside folder: RelativePath) -> Bool {
        let components = folder.components
        return alternatives.contains { $0.canMatch(inside: components) }
    }

    /// The text for messages.
    public var description: String { pattern }

    /// Two globs are the same when their text is.
    public static func == (left: Glob, right: Glob) -> Bool { left.pattern == right.pattern }

    /// Hashes the text.
    public func hash(into hasher: inout Hasher) { hasher.combine(pattern) }

    static let alternativeLimit = 1_024

    private static func commonFolder(_ alternatives: [PathPattern]) -> RelativePath {
        let folders = alternatives.map { alternative in
            alternative.parts.dropLast().prefix { $0.literal != nil }.compactMap(\.literal)
        }
        guard var common = folders.first else { return .root }
        for folder in folders.dropFirst() {
            common = zip(common, folder).prefix { $0 == $1 }.map { $0.0 }
        }
        return RelativePath(bytes: Array(common.joined(separator: [slash])))
    }

    /// Replaces the first pair of braces by its alternatives, then theirs; nil when they do not pair or are too many.
    private static func expand(_ text: ArraySlice<UInt8>) -> [[UInt8]]? {
        var done: [[UInt8]] = []
        var waiting = [Array(text)]
        while let next = waiting.popLast() {
            guard let braces = Braces(next) else {
                guard !Braces.isUnpaired(next) else { return nil }
                done.append(next)
                continue
            }
            for choice in braces.choices.reversed() {
                waiting.append(Array(next[..<braces.range.lowerBound] + choice + next[braces.range.upperBound...]))
            }
            guard done.count + waiting.count <= alternativeLimit else { return nil }
        }
        return done
    }
}

/// The first outermost `{…}` of a pattern.
private struct Braces {
    let range: Range<Int>
    let choices: [ArraySlice<UInt8>]

    init?(_ text: [UInt8]) {
        var depth = 0
        var start = 0
        var cuts: [Int] = []
        for (index, byte) in Self.unquoted(text) {
            switch byte {
            case UInt8(ascii: "{"):
                if depth == 0 {
                    start = index
                    cuts = [index]
                }
                depth += 1
            case UInt8(ascii: ",") where depth == 1: cuts.append(index)
            case UInt8(ascii: "}") where depth > 0:
                depth -= 1
                guard depth == 0 else { continue }
                cuts.append(index)
                range = start..<(index + 1)
                choices = zip(cuts, cuts.dropFirst()).map { text[($0 + 1)..<$1] }
                return
            default: break
            }
        }
        return nil
    }

    static func isUnpaired(_ text: [UInt8]) -> Bool {
        unquoted(text).contains { $0.1 == UInt8(ascii: "{") || $0.1 == UInt8(ascii: "}") }
    }

    /// The bytes that are neither escaped nor within brackets.
    private static func unquoted(_ text: [UInt8]) -> [(Int, UInt8)] {
        var result: [(Int, UInt8)] = []
        var index = 0
        while index < text.count {
            if text[index] == UInt8(ascii: "\\") {
                index += 2
                continue
            }
            if text[index] == UInt8(ascii: "["), index + 2 < text.count,
                let end = text[(index + 2)...].firstIndex(of: UInt8(ascii: "]"))
            {
                index = end + 1
                continue
            }
            result.append((index, text[index]))
            index += 1
        }
        return result
    }
}

extension WildcardSyntax.Failure {
    fileprivate var reason: String {
        switch self {
        case .openBracket: "[ without its ]"
        case .unknownClass: "unknown character class"
        case .trailingBackslash: "ends in a backslash that escapes nothing"
        }
    }
}

extension PathPattern {
    /// Whether more components below these could complete a match.
    fileprivate func canMatch(inside components: [ArraySlice<UInt8>]) -> Bool {
        for (index, component) in components.enumerated() {
            guard index < parts.count else { return false }
            guard case .name(let pattern) = parts[index] else { return true }
            guard pattern.matches(component) else { return false }
        }
        return components.count < parts.count
    }
}

extension PathPattern.Part {
    fileprivate var literal: [UInt8]? {
        if case .name(let pattern) = self { pattern.literal } else { nil }
    }

    fileprivate func isNamed(_ name: String) -> Bool { literal == Array(name.utf8) }
}
