extension JSON {
    /// The value as one line of JSON in UTF-8.
    public var bytes: [UInt8] {
        var out: [UInt8] = []
        write(to: &out, indent: nil, level: 0)
        return out
    }

    /// The value as one line of JSON.
    public var text: String { String(decoding: bytes, as: UTF8.self) }

    /// The value as JSON over several lines, each level indented by `indent` spaces.
    public func pretty(indent: Int = 2) -> String {
        var out: [UInt8] = []
        write(to: &out, indent: indent, level: 0)
        return String(decoding: out, as: UTF8.self)
    }

    private func write(to out: inout [UInt8], indent: Int?, level: Int) {
        switch self {
        case .null: out += "null".utf8
        case .bool(let bool): out += (bool ? "true" : "false").utf8
        case .integer(let integer): out += "\(integer)".utf8
        case .double(let double): out += (double.isFinite ? "\(double)" : "null").utf8
        case .string(let string): JSON.write(string, to: &out)
        case .array(let elements):
            JSON.list(elements, "[", "]", to: &out, indent: indent, level: level) { element, out in
                element.write(to: &out, indent: indent, level: level + 1)
            }
        case .object(let object):
            JSON.list(Array(object), "{", "}", to: &out, indent: indent, level: level) { entry, out in
                JSON.write(entry.key, to: &out)
                out += (indent == nil ? ":" : ": ").utf8
                entry.value.write(to: &out, indent: indent, level: level + 1)
            }
        }
    }

    private static func list<Element>(
        _ elements: [Element], _ open: String, _ close: String, to out: inout [UInt8], indent: Int?, level: Int,
        _ element: (Element, inout [UInt8]) -> Void
    ) {
        out += open.utf8
        for (index, each) in elements.enumerated() {
            if index > 0 { out.append(UInt8(ascii: ",")) }
            newline(to: &out, indent: indent, level: level + 1)
            element(each, &out)
        }
        if !elements.isEmpty { newline(to: &out, indent: indent, level: level) }
        out += close.utf8
    }

    private static func newline(to out: inout [UInt8], indent: Int?, level: Int) {
        guard let indent else { return }
        out.append(0x0A)
        out += [UInt8](repeating: 0x20, count: indent * level)
    }

    private static func write(_ string: String, to out: inout [UInt8]) {
        let hex = Array("0123456789abcdef".utf8)
        out.append(UInt8(ascii: "\""))
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""): out += "\\\"".utf8
            case UInt8(ascii: "\\"): out += "\\\\".utf8
            case 0x0A: out += "\\n".utf8
            case 0x0D: out += "\\r".utf8
            case 0x09: out += "\\t".utf8
            case 0..<0x20: out += "\\u00".utf8 + [hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            default: out.append(byte)
            }
        }
        out.append(UInt8(ascii: "\""))
    }
}
