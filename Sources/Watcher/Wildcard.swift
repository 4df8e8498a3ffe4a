/// A compiled wildcard for one name: literals, `?`, `*` and `[…]`, on bytes, in time linear in the text for each star.
struct NamePattern: Sendable, Equatable {
    enum Token: Sendable, Equatable {
        case byte(UInt8)
        case any
        case star
        case set(ByteSet)
    }

    private let tokens: [Token]
    /// The name itself where no wildcard is in it: most patterns.
    let literal: [UInt8]?

    init(_ tokens: some Collection<Token>) {
        var kept: [Token] = []
        for token in tokens where !(token == .star && kept.last == .star) { kept.append(token) }
        self.tokens = kept
        var bytes: [UInt8]? = []
        for case let token in kept {
            if case .byte(let byte) = token { bytes?.append(byte) } else { bytes = nil }
        }
        literal = bytes
    }

    func matches(_ name: ArraySlice<UInt8>) -> Bool {
        if let literal { return literal.count == name.count && literal.elementsEqual(name) }
        var token = 0
        var position = name.startIndex
        // The last star and where its match ends so far: an earlier star never has to give back what it took, because
        // whatever it could take more, the last one can take as well.
        var star: (token: Int, end: Int)?
        while true {
            if token < tokens.count, tokens[token] == .star {
                token += 1
                star = (token, position)
                continue
            }
            if position == name.endIndex, token == tokens.count { return true }
            if position < name.endIndex, token < tokens.count, tokens[token].accepts(name[position]) {
                token += 1
                position += 1
                continue
            }
            guard let last = star, last.end < name.endIndex else { return false }
            star = (last.token, last.end + 1)
            token = last.token
            position = last.end + 1
        }
    }
}

extension NamePattern.Token {
    fileprivate func accepts(_ byte: UInt8) -> Bool {
        switch self {
        case .byte(let own): own == byte
        case .any: true
        case .star: false
        case .set(let set): set.contains(byte)
        }
    }
}

/// A set of bytes, for `[…]`.
struct ByteSet: Sendable, Equatable {
    private var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)

    mutating func insert(_ byte: UInt8) {
        let bit = UInt64(1) << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: words.0 |= bit
        case 1: words.1 |= bit
        case 2: words.2 |= bit
        default: words.3 |= bit
        }
    }

    func contains(_ byte: UInt8) -> Bool {
        let bit = UInt64(1) << UInt64(byte & 63)
        switch byte >> 6 {
        case 0: return words.0 & bit != 0
        case 1: return words.1 & bit != 0
        case 2: return words.2 & bit != 0
        default: return words.3 & bit != 0
        }
    }

    var inverted: ByteSet {
        var result = ByteSet()
        result.words = (~words.0, ~words.1, ~words.2, ~words.3)
        return result
    }

    static func == (left: ByteSet, right: ByteSet) -> Bool { left.words == right.words }
}

/// A compiled wildcard for a path: one pattern per component, and `**` for any number of components.
struct PathPattern: Sendable, Equatable {
    enum Part: Sendable, Equatable {
        case name(NamePattern)
        case anyDepth
    }

    let parts: [Part]

    /// Whether the whole path matches.
    ///
    /// A `**` at the end stands for at least one component, elsewhere for none or more.
    func matches(_ components: ArraySlice<ArraySlice<UInt8>>) -> Bool {
        var part = 0
        var index = components.startIndex
        var star: (part: Int, index: Int)?
        while true {
            if part < parts.count, case .anyDepth = parts[part] {
                part += 1
                if part == parts.count { return index < components.endIndex }
                star = (part, index)
                continue
            }
            if index == components.endIndex, part == parts.count { return true }
            if index < components.endIndex, part < parts.count, case .name(let pattern) = parts[part],
                pattern.matches(components[index])
            {
                part += 1
                index += 1
                continue
            }
            guard let last = star, last.index < components.endIndex else { return false }
            star = (last.part, last.index + 1)
            part = last.part
            index = last.index + 1
        }
    }
}

/// Reads the wildcard syntax that `.gitignore` and `loop.json` share.
enum WildcardSyntax {
    enum Failure: Error, Equatable {
        case openBracket
        case unknownClass
        case trailingBackslash
    }

    /// Splits a pattern at its slashes, those within brackets excepted: they belong to the set, which never matches one.
    static func compile(_ pattern: ArraySlice<UInt8>) throws(Failure) -> [PathPattern.Part] {
        var parts: [PathPattern.Part] = []
        var tokens: [NamePattern.Token] = []
        var position = pattern.startIndex
        func finish() {
            let starsOnly = tokens.count >= 2 && tokens.allSatisfy { $0 == .star }
            parts.append(starsOnly ? .anyDepth : .name(NamePattern(tokens)))
            tokens = []
        }
        while position < pattern.endIndex {
            let byte = pattern[position]
            position += 1
            switch byte {
            case slash: finish()
            case UInt8(ascii: "*"): tokens.append(.star)
            case UInt8(ascii: "?"): tokens.append(.any)
            case UInt8(ascii: "["): tokens.append(.set(try set(pattern, &position)))
            case UInt8(ascii: "\\"):
                guard position < pattern.endIndex else { throw .trailingBackslash }
                if pattern[position] == slash { finish() } else { tokens.append(.byte(pattern[position])) }
                position += 1
            default: tokens.append(.byte(byte))
            }
        }
        finish()
        return parts
    }

    /// Reads a set behind its `[`; a `]` in first place stands for itself.
    private static func set(_ pattern: ArraySlice<UInt8>, _ position: inout Int) throws(Failure) -> ByteSet {
        func peek(_ offset: Int = 0) -> UInt8? {
            position + offset < pattern.endIndex ? pattern[position + offset] : nil
        }
        var result = ByteSet()
        let negated = peek() == UInt8(ascii: "!") || peek() == UInt8(ascii: "^")
        if negated { position += 1 }
        var previous: UInt8?
        var first = true
        while true {
            guard var byte = peek() else { throw .openBracket }
            if byte == UInt8(ascii: "]") && !first { break }
            first = false
            position += 1
            if byte == UInt8(ascii: "["), peek() == UInt8(ascii: ":"), let name = className(pattern, position + 1) {
                guard let members = classes[String(decoding: name, as: UTF8.self)] else { throw .unknownClass }
                for member in UInt8.min...UInt8.max where members(member) { result.insert(member) }
                position += name.count + 3
                previous = nil
                continue
            }
            if byte == UInt8(ascii: "-"), let low = previous, let end = peek(), end != UInt8(ascii: "]") {
                position += 1
                var high = end
                if end == UInt8(ascii: "\\") {
                    guard let quoted = peek() else { throw .openBracket }
                    high = quoted
                    position += 1
                }
                if low <= high { for member in low...high { result.insert(member) } }
                previous = nil
                continue
            }
            if byte == UInt8(ascii: "\\") {
                guard let quoted = peek() else { throw .openBracket }
                byte = quoted
                position += 1
            }
            result.insert(byte)
            previous = byte
        }
        position += 1
        return negated ? result.inverted : result
    }

    /// The name in `[:name:]`; nil when the next `]` is not behind a colon, so that `[` stands for itself.
    private static func className(_ pattern: ArraySlice<UInt8>, _ start: Int) -> ArraySlice<UInt8>? {
        guard let end = pattern[start...].firstIndex(of: UInt8(ascii: "]")), end > start,
            pattern[end - 1] == UInt8(ascii: ":")
        else { return nil }
        return pattern[start..<(end - 1)]
    }

    private static let classes: [String: @Sendable (UInt8) -> Bool] = [
        "alpha": isLetter, "digit": isDigit, "alnum": { isLetter($0) || isDigit($0) },
        "upper": { (65...90).contains($0) }, "lower": { (97...122).contains($0) },
        "blank": { $0 == 32 || $0 == 9 }, "space": { $0 == 32 || (9...13).contains($0) },
        "cntrl": { $0 < 32 || $0 == 127 }, "print": { (32...126).contains($0) }, "graph": { (33...126).contains($0) },
        "punct": { (33...126).contains($0) && !isLetter($0) && !isDigit($0) },
        "xdigit": { isDigit($0) || (65...70).contains($0) || (97...102).contains($0) },
    ]

    @Sendable private static func isDigit(_ byte: UInt8) -> Bool { (48...57).contains(byte) }
    @Sendable private static func isLetter(_ byte: UInt8) -> Bool {
        (65...90).contains(byte) || (97...122).contains(byte)
    }
}
