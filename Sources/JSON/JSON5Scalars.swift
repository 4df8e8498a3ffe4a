extension JSON5Parser {
    // MARK: Strings

    mutating func string() throws(LocatedJSONError) -> String {
        let start = source.offset
        let quote = source.current
        source.offset += 1
        var text: [UInt8] = []
        while let byte = source.current {
            switch byte {
            case quote:
                source.offset += 1
                return String(decoding: text, as: UTF8.self)
            case UInt8(ascii: "\\"):
                source.offset += 1
                try escape(into: &text, start)
            case 0x0A, 0x0D: throw source.error("the string does not end on its line", at: start)
            default:
                text.append(byte)
                source.offset += 1
            }
        }
        throw source.error("the string does not end", at: start)
    }

    private mutating func escape(into text: inout [UInt8], _ start: Int) throws(LocatedJSONError) {
        guard let (scalar, length) = source.scalar() else { throw source.error("the string does not end", at: start) }
        let place = source.offset - 1
        source.offset += length
        switch scalar {
        case "b": text.append(0x08)
        case "f": text.append(0x0C)
        case "n": text.append(0x0A)
        case "r": text.append(0x0D)
        case "t": text.append(0x09)
        case "v": text.append(0x0B)
        case "0":
            if let next = source.current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(next) {
                throw source.error("an escape by octal digits", at: place)
            }
            text.append(0)
        case "1"..."9": throw source.error("an escape by octal digits", at: place)
        case "x": text += String(try escaped(digits: 2, place)).utf8
        case "u": text += String(try escaped(digits: 4, place)).utf8
        case "\r" where source.current == 0x0A: source.offset += 1
        case "\n", "\r", "\u{2028}", "\u{2029}": break
        default: text += String(Character(scalar)).utf8
        }
    }

    private mutating func escaped(digits: Int, _ place: Int) throws(LocatedJSONError) -> Character {
        guard var code = source.hexadecimal(from: source.offset, digits: digits) else {
            throw source.error("\(digits) hexadecimal digits should follow", at: place)
        }
        source.offset += digits
        if code & 0xFC00 == 0xD800, source.current == UInt8(ascii: "\\"), source.byte(ahead: 1) == UInt8(ascii: "u"),
            let low = source.hexadecimal(from: source.offset + 2, digits: 4), low & 0xFC00 == 0xDC00
        {
            code = 0x10000 + ((code & 0x3FF) << 10) + (low & 0x3FF)
            source.offset += 6
        }
        guard let scalar = Unicode.Scalar(code) else { throw source.error("half of a surrogate pair", at: place) }
        return Character(scalar)
    }

    // MARK: Numbers

    mutating func number() throws(LocatedJSONError) -> LocatedJSON.Kind {
        let start = source.offset
        let isNegative = source.current == UInt8(ascii: "-")
        if isNegative || source.current == UInt8(ascii: "+") { source.offset += 1 }
        let kind: LocatedJSON.Kind
        if source.current == UInt8(ascii: "0"), source.byte(ahead: 1).map({ $0 | 0x20 }) == UInt8(ascii: "x") {
            kind = try hexadecimalNumber(start, isNegative)
        } else {
            kind = try decimalNumber(start, isNegative)
        }
        if let (scalar, _) = source.scalar(), scalar.properties.isIDContinue || scalar == "." || scalar == "$" {
            throw source.error("not a number; text stands in quotes", at: start)
        }
        return kind
    }

    private mutating func hexadecimalNumber(_ start: Int, _ isNegative: Bool) throws(LocatedJSONError)
        -> LocatedJSON.Kind
    {
        source.offset += 2
        let first = source.offset
        while let byte = source.current, Character(Unicode.Scalar(byte)).isHexDigit { source.offset += 1 }
        guard source.offset > first else { throw source.error("a hexadecimal digit should follow", at: first) }
        let digits = String(decoding: source.bytes[first..<source.offset], as: UTF8.self)
        guard let integer = Int64((isNegative ? "-" : "") + digits, radix: 16) else {
            throw source.error("a number out of range", at: start)
        }
        return .integer(integer)
    }

    private mutating func decimalNumber(_ start: Int, _ isNegative: Bool) throws(LocatedJSONError) -> LocatedJSON.Kind {
        if source.current == UInt8(ascii: "I") || source.current == UInt8(ascii: "N") {
            throw source.error("Infinity and NaN are not allowed", at: start)
        }
        let whole = digits()
        if whole.count > 1, whole.first == UInt8(ascii: "0") {
            throw source.error("a number with a leading zero", at: start)
        }
        var fraction: ArraySlice<UInt8>?
        if source.current == UInt8(ascii: ".") {
            source.offset += 1
            fraction = digits()
        }
        guard !whole.isEmpty || fraction?.isEmpty == false else { throw source.error("not a number", at: start) }
        var exponent = ""
        if source.current.map({ $0 | 0x20 }) == UInt8(ascii: "e") {
            source.offset += 1
            let sign = source.current == UInt8(ascii: "-") ? "-" : ""
            if !sign.isEmpty || source.current == UInt8(ascii: "+") { source.offset += 1 }
            let power = digits()
            guard !power.isEmpty else { throw source.error("a digit should follow the exponent") }
            exponent = "e" + sign + String(decoding: power, as: UTF8.self)
        }
        // Put together in the form that the standard library reads: `.5` and `5.` are not.
        let sign = isNegative ? "-" : ""
        let before = whole.isEmpty ? "0" : String(decoding: whole, as: UTF8.self)
        if fraction == nil, exponent.isEmpty, let integer = Int64(sign + before) { return .integer(integer) }
        let after = fraction.map { "." + String(decoding: $0, as: UTF8.self) + ($0.isEmpty ? "0" : "") } ?? ""
        guard let double = Double(sign + before + after + exponent), double.isFinite else {
            throw source.error("a number out of range", at: start)
        }
        return .double(double)
    }

    private mutating func digits() -> ArraySlice<UInt8> {
        let start = source.offset
        while let byte = source.current, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) { source.offset += 1 }
        return source.bytes[start..<source.offset]
    }
}
