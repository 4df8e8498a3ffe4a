/// The bytes of a JSON5 text, how far they are read, and which line and column that is.
struct JSON5Source {
    let bytes: [UInt8]
    var offset = 0
    /// The last place that was asked for: places are asked for in order, so each line is counted once.
    private var known = (offset: 0, position: Position(line: 1, column: 1))

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { offset == bytes.count }
    var current: UInt8? { offset < bytes.count ? bytes[offset] : nil }
    func byte(ahead distance: Int) -> UInt8? {
        offset + distance < bytes.count ? bytes[offset + distance] : nil
    }

    /// The character at the present place, for a message.
    var currentInWords: String {
        guard current != nil else { return "the end of the file" }
        let character = String(decoding: bytes[offset..<min(offset + 64, bytes.count)], as: UTF8.self).first ?? " "
        return character.isNewline ? "the end of the line" : "\"\(character)\""
    }

    // MARK: Places

    var position: Position {
        mutating get {
            if offset < known.offset { known = (0, Position(line: 1, column: 1)) }
            known = (offset, JSON5Source.advance(known.position, over: bytes[known.offset..<offset]))
            return known.position
        }
    }

    func error(_ reason: String, at place: Int? = nil) -> LocatedJSONError {
        let start = Position(line: 1, column: 1)
        return LocatedJSONError(
            reason: reason, position: JSON5Source.advance(start, over: bytes[..<(place ?? offset)]))
    }

    private static func advance(_ position: Position, over bytes: ArraySlice<UInt8>) -> Position {
        var (line, column) = (position.line, position.column)
        for character in String(decoding: bytes, as: UTF8.self) {
            // A carriage return with its line feed is one character.
            switch character {
            case "\n", "\r", "\r\n", "\u{2028}", "\u{2029}": (line, column) = (line + 1, 1)
            case "\u{FEFF}" where line == 1 && column == 1: break
            default: column += 1
            }
        }
        return Position(line: line, column: column)
    }

    // MARK: Characters

    func checkEncoding() throws(LocatedJSONError) {
        guard String(validating: bytes, as: UTF8.self) == nil else { return }
        var good = 0
        var decoder = UTF8()
        var rest = bytes.makeIterator()
        while case .scalarValue(let scalar) = decoder.decode(&rest) { good += UTF8.width(scalar) }
        throw error("not UTF-8", at: good)
    }

    /// The character at the present place with its length in bytes.
    ///
    /// The text was checked to be UTF-8.
    func scalar() -> (Unicode.Scalar, Int)? {
        guard let first = current else { return nil }
        let length = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4
        let end = min(offset + length, bytes.count)
        guard let scalar = String(decoding: bytes[offset..<end], as: UTF8.self).unicodeScalars.first else { return nil }
        return (scalar, length)
    }

    /// The same for a character of a name, which may be written as `\u0061`.
    func identifierScalar() throws(LocatedJSONError) -> (Unicode.Scalar, Int)? {
        guard current == UInt8(ascii: "\\") else { return scalar() }
        guard byte(ahead: 1) == UInt8(ascii: "u"), let code = hexadecimal(from: offset + 2, digits: 4),
            let scalar = Unicode.Scalar(code)
        else { throw error("\\u and four hexadecimal digits should be here") }
        return (scalar, 6)
    }

    /// A number of exactly so many hexadecimal digits.
    func hexadecimal(from start: Int, digits: Int) -> UInt32? {
        guard start + digits <= bytes.count else { return nil }
        var code: UInt32 = 0
        for byte in bytes[start..<start + digits] {
            guard let digit = Character(Unicode.Scalar(byte)).hexDigitValue else { return nil }
            code = code << 4 | UInt32(digit)
        }
        return code
    }

    // MARK: Space and comments

    mutating func skipSpace() throws(LocatedJSONError) {
        while let byte = current {
            switch byte {
            case 0x09, 0x0A, 0x0B, 0x0C, 0x0D, 0x20: offset += 1
            case UInt8(ascii: "/"): try skipComment()
            case 0x80...:
                guard let (scalar, length) = scalar(), isSpace(scalar) else { return }
                offset += length
            default: return
            }
        }
    }

    private func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\u{FEFF}" || scalar == "\u{2028}" || scalar == "\u{2029}"
            || scalar.properties.generalCategory == .spaceSeparator
    }

    private mutating func skipComment() throws(LocatedJSONError) {
        let start = offset
        switch byte(ahead: 1) {
        case UInt8(ascii: "/"):
            while let (scalar, length) = scalar(), !isLineEnd(scalar) { offset += length }
        case UInt8(ascii: "*"):
            offset += 2
            while current != UInt8(ascii: "*") || byte(ahead: 1) != UInt8(ascii: "/") {
                guard !isAtEnd else { throw error("the comment does not end", at: start) }
                offset += 1
            }
            offset += 2
        default: throw error("a comment begins with // or /*")
        }
    }

    func isLineEnd(_ scalar: Unicode.Scalar) -> Bool {
        scalar == "\n" || scalar == "\r" || scalar == "\u{2028}" || scalar == "\u{2029}"
    }
}
