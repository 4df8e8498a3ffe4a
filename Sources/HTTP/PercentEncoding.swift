/// Percent-encoding of URLs (RFC 3986).
public enum PercentEncoding {
    /// Encodes everything but unreserved characters, for use as one segment of a path.
    public static func encode(segment text: String) -> String { encode(text.utf8) }

    /// Encodes everything but unreserved characters, for use as a name or value in a query.
    public static func encode(query text: String) -> String { encode(text.utf8) }

    /// A query string (without `?`) of names and values in their order.
    public static func query(_ items: [(String, String)]) -> String {
        items.map { encode(query: $0.0) + "=" + encode(query: $0.1) }.joined(separator: "&")
    }

    /// Decodes `%XX`; with `plusIsSpace`, as in a query, also `+`.
    ///
    /// A `%` that no two digits follow stays as it is, and bytes that are not UTF-8 are replaced.
    public static func decode(_ text: some StringProtocol, plusIsSpace: Bool = false) -> String {
        let bytes = Array(text.utf8)
        var out: [UInt8] = []
        out.reserveCapacity(bytes.count)
        var index = 0
        while index < bytes.count {
            if bytes[index] == UInt8(ascii: "%"), index + 2 < bytes.count,
                let high = hexDigit(bytes[index + 1]), let low = hexDigit(bytes[index + 2])
            {
                out.append(high << 4 | low)
                index += 3
            } else {
                out.append(plusIsSpace && bytes[index] == UInt8(ascii: "+") ? UInt8(ascii: " ") : bytes[index])
                index += 1
            }
        }
        return String(decoding: out, as: UTF8.self)
    }

    private static func encode(_ bytes: String.UTF8View) -> String {
        let hex = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in bytes {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                out.append(byte)
            default: out += [UInt8(ascii: "%"), hex[Int(byte >> 4)], hex[Int(byte & 15)]]
            }
        }
        return String(decoding: out, as: UTF8.self)
    }
}

/// The value of a hexadecimal digit in ASCII.
func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}

extension HTTPRequest {
    /// The decoded segments of the target's path: `/a%20b/c` is `["a b", "c"]`, `/` is empty, a final slash gives an empty
    /// last segment.
    public var path: [String] {
        let raw = target.prefix { $0 != "?" }
        let segments = raw.split(separator: "/", omittingEmptySubsequences: false).map { PercentEncoding.decode($0) }
        return raw == "/" ? [] : Array(segments.dropFirst())
    }

    /// The decoded names and values of the target's query, in their order; a name without `=` has an empty value.
    public var query: [(String, String)] {
        guard let mark = target.firstIndex(of: "?") else { return [] }
        return target[target.index(after: mark)...].split(separator: "&").map { item in
            let parts = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let value = parts.count > 1 ? PercentEncoding.decode(parts[1], plusIsSpace: true) : ""
            return (PercentEncoding.decode(parts[0], plusIsSpace: true), value)
        }
    }
}
