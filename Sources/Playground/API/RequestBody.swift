internal import JSON

/// Reads what clients send: JSON, or the protobuf that typed clients of Kubernetes prefer.
enum RequestBody {
    /// The type without its parameters; JSON where none is named.
    static func mediaType(_ header: String?) -> String {
        let type = (header ?? "").prefix { $0 != ";" }
        return type.isEmpty ? "application/json" : type.lowercased()
    }

    /// The value, and the paths of keys that come twice in one object.
    static func read(_ body: [UInt8], contentType: String?) throws -> (value: JSON, duplicates: [String]) {
        switch mediaType(contentType) {
        case "application/vnd.kubernetes.protobuf": return (try Protobuf.object(body), [])
        case "application/json": return (try json(body), DuplicateKeys.find(in: body))
        case let other:
            throw StatusError(
                code: 415, reason: "UnsupportedMediaType",
                message: "the body of the request was in an unknown format (\(other)) - accepted media types include: "
                    + "application/json, application/vnd.kubernetes.protobuf")
        }
    }

    static func json(_ body: [UInt8]) throws -> JSON {
        do {
            return try JSON(parsing: body)
        } catch {
            throw StatusError.badRequest("error decoding the body as JSON: \(error)")
        }
    }
}

/// Finds keys that come twice in one object of a JSON text that is known to be valid.
struct DuplicateKeys {
    private let bytes: [UInt8]
    private var offset = 0
    private var found: [String] = []

    static func find(in bytes: [UInt8]) -> [String] {
        var scanner = DuplicateKeys(bytes: bytes)
        scanner.value(at: "")
        return scanner.found
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private var current: UInt8 { offset < bytes.count ? bytes[offset] : 0 }

    private mutating func skipSpace() {
        while [0x20, 0x0A, 0x0D, 0x09].contains(current) { offset += 1 }
    }

    private mutating func value(at path: String) {
        skipSpace()
        switch current {
        case UInt8(ascii: "{"): members(at: path)
        case UInt8(ascii: "["): elements(at: path)
        case UInt8(ascii: "\""): _ = string()
        default:
            while offset < bytes.count, !",]} \n\r\t".utf8.contains(current) { offset += 1 }
        }
    }

    private mutating func members(at path: String) {
        offset += 1
        var seen: Set<String> = []
        skipSpace()
        while offset < bytes.count, current != UInt8(ascii: "}") {
            let key = string()
            let inner = path.isEmpty ? key : "\(path).\(key)"
            if !seen.insert(key).inserted { found.append(inner) }
            skipSpace()
            offset += 1
            value(at: inner)
            skipSpace()
            if current == UInt8(ascii: ",") { offset += 1 }
            skipSpace()
        }
        offset += 1
    }

    private mutating func elements(at path: String) {
        offset += 1
        var index = 0
        skipSpace()
        while offset < bytes.count, current != UInt8(ascii: "]") {
            value(at: "\(path)[\(index)]")
            index += 1
            skipSpace()
            if current == UInt8(ascii: ",") { offset += 1 }
            skipSpace()
        }
        offset += 1
    }

    private mutating func string() -> String {
        let start = offset
        offset += 1
        while offset < bytes.count, current != UInt8(ascii: "\"") { offset += current == UInt8(ascii: "\\") ? 2 : 1 }
        offset += 1
        let text = Array(bytes[start..<min(offset, bytes.count)])
        return (try? JSON(parsing: text))?.string ?? String(decoding: text, as: UTF8.self)
    }
}
