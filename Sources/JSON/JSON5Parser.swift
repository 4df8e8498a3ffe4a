extension LocatedJSON {
    /// Parses one JSON5 text: JSON with comments, trailing commas, unquoted keys, single quotes and the numbers of
    /// ECMAScript, but without `Infinity` and `NaN`, which no setting can mean.
    ///
    /// Nesting deeper than 128 is an error, as is anything after the value.
    public init(parsingJSON5 bytes: [UInt8]) throws(LocatedJSONError) {
        var parser = JSON5Parser(bytes)
        self = try parser.document()
    }

    /// Parses one JSON5 text.
    public init(parsingJSON5 text: String) throws(LocatedJSONError) {
        try self.init(parsingJSON5: Array(text.utf8))
    }
}

/// A recursive-descent parser for JSON5 that keeps the place of every value and key.
struct JSON5Parser {
    var source: JSON5Source
    private var open: [(what: String, close: String, position: Position)] = []

    init(_ bytes: [UInt8]) {
        source = JSON5Source(bytes)
    }

    mutating func document() throws(LocatedJSONError) -> LocatedJSON {
        try source.checkEncoding()
        let value = try value()
        try source.skipSpace()
        guard source.isAtEnd else { throw source.error("something follows the value") }
        return value
    }

    private mutating func value() throws(LocatedJSONError) -> LocatedJSON {
        try source.skipSpace()
        let position = source.position
        guard let byte = source.current else { throw ended("a value should be") }
        let kind: LocatedJSON.Kind
        switch byte {
        case UInt8(ascii: "{"): kind = try object(position)
        case UInt8(ascii: "["): kind = try array(position)
        case UInt8(ascii: "\""), UInt8(ascii: "'"): kind = .string(try string())
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "+"), UInt8(ascii: "-"):
            kind = try number()
        default: kind = try word()
        }
        return LocatedJSON(kind: kind, position: position)
    }

    private mutating func word() throws(LocatedJSONError) -> LocatedJSON.Kind {
        let start = source.offset
        guard let word = try identifier() else {
            throw source.error("a value should be here, not \(source.currentInWords)")
        }
        switch word {
        case "true": return .bool(true)
        case "false": return .bool(false)
        case "null": return .null
        case "Infinity", "NaN": throw source.error("\(word) is not allowed", at: start)
        default: throw source.error("\(word) is not a value; text stands in quotes", at: start)
        }
    }

    private mutating func enter(_ what: String, _ close: String, _ position: Position) throws(LocatedJSONError) {
        guard open.count < 128 else { throw source.error("nested deeper than 128") }
        open.append((what, close, position))
        source.offset += 1
    }

    private mutating func object(_ position: Position) throws(LocatedJSONError) -> LocatedJSON.Kind {
        try enter("the object", "}", position)
        var members: [LocatedJSON.Member] = []
        while try !closes(UInt8(ascii: "}")) {
            let keyPosition = source.position
            let key = try key()
            try source.skipSpace()
            guard let byte = source.current else { throw ended("a colon should be") }
            guard byte == UInt8(ascii: ":") else { throw source.error("a colon should follow the key \"\(key)\"") }
            source.offset += 1
            members.append(.init(key: key, keyPosition: keyPosition, value: try value()))
            try separator(UInt8(ascii: "}"))
        }
        return .object(members)
    }

    private mutating func key() throws(LocatedJSONError) -> String {
        guard let byte = source.current else { throw ended("a key should be") }
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { return try string() }
        if let name = try identifier() { return name }
        throw source.error("a key should be here, not \(source.currentInWords)")
    }

    private mutating func array(_ position: Position) throws(LocatedJSONError) -> LocatedJSON.Kind {
        try enter("the array", "]", position)
        var elements: [LocatedJSON] = []
        while try !closes(UInt8(ascii: "]")) {
            elements.append(try value())
            try separator(UInt8(ascii: "]"))
        }
        return .array(elements)
    }

    /// Whether the innermost object or array ends here; steps over its closing character.
    private mutating func closes(_ close: UInt8) throws(LocatedJSONError) -> Bool {
        try source.skipSpace()
        guard source.current == close else { return false }
        source.offset += 1
        open.removeLast()
        return true
    }

    private mutating func separator(_ close: UInt8) throws(LocatedJSONError) {
        try source.skipSpace()
        switch source.current {
        case UInt8(ascii: ","): source.offset += 1
        case close: break
        case nil: throw ended("a comma should be")
        default:
            let end = open.last?.close ?? ""
            throw source.error("a comma or \(end) should be here, not \(source.currentInWords)")
        }
    }

    /// The file's end in a place where something is missing: the opening character is what the reader has to find.
    private func ended(_ expected: String) -> LocatedJSONError {
        guard let open = open.last else { return source.error("the file ends where \(expected)") }
        return source.error("the file ends before the \(open.close) of \(open.what) that begins at \(open.position)")
    }

    /// An unquoted name in the sense of ECMAScript; `nil`, without moving, where none begins.
    private mutating func identifier() throws(LocatedJSONError) -> String? {
        var name = ""
        while let (scalar, length) = try source.identifierScalar() {
            let isPart = scalar.properties.isIDContinue || scalar == "\u{200C}" || scalar == "\u{200D}"
            let isStart = scalar.properties.isIDStart || scalar == "_"
            guard scalar == "$" || isStart || (!name.isEmpty && isPart) else { break }
            name.unicodeScalars.append(scalar)
            source.offset += length
        }
        return name.isEmpty ? nil : name
    }
}
