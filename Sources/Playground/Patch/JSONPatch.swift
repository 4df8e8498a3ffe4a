internal import JSON

/// A JSON patch (RFC 6902): operations in order, all or none.
enum JSONPatch {
    /// An operation that does not apply, in the words of the library that Kubernetes uses.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    static func apply(_ patch: JSON, to document: JSON) throws -> JSON {
        guard let operations = patch.array else { throw Failure(description: "a JSON patch is a list of operations") }
        var document = document
        for operation in operations { try apply(operation, to: &document) }
        return document
    }

    private static func apply(_ operation: JSON, to document: inout JSON) throws {
        guard let name = operation["op"]?.string, let text = operation["path"]?.string else {
            throw Failure(description: "an operation without op or path")
        }
        let path = try pointer(text)
        switch name {
        case "add": try add(value(operation, name), at: path[...], to: &document, name, text)
        case "remove": _ = try remove(at: path[...], from: &document, name, text)
        case "replace":
            let value = try value(operation, name)
            guard get(path, in: document) != nil else { throw missing(name, text) }
            if path.isEmpty {
                document = value
            } else {
                try change(at: path[...], in: &document, name, text) { $0 = value }
            }
        case "move":
            let from = try pointer(operation["from"]?.string ?? "")
            guard !path.starts(with: from) || path == from else { throw missing(name, text) }
            let value = try remove(at: from[...], from: &document, name, text)
            try add(value, at: path[...], to: &document, name, text)
        case "copy":
            let from = try pointer(operation["from"]?.string ?? "")
            guard let value = get(from, in: document) else { throw missing(name, operation["from"]?.string ?? "") }
            try add(value, at: path[...], to: &document, name, text)
        case "test":
            // A missing member equals null, as in the library that Kubernetes uses.
            guard get(path, in: document) ?? .null == operation["value"] ?? .null else {
                throw Failure(description: "testing value \(text) failed: test failed")
            }
        default: throw Failure(description: "Unexpected kind: \(name)")
        }
    }

    private static func value(_ operation: JSON, _ name: String) throws -> JSON {
        guard let value = operation["value"] else { throw Failure(description: "\(name) operation without value") }
        return value
    }

    private static func missing(_ name: String, _ path: String) -> Failure {
        Failure(description: "\(name) operation does not apply: doc is missing path: \(path): missing value")
    }

    private static func pointer(_ text: String) throws -> [String] {
        guard text.isEmpty || text.hasPrefix("/") else { throw Failure(description: "not a JSON pointer: \(text)") }
        return text.split(separator: "/", omittingEmptySubsequences: false).dropFirst().map { segment in
            unescape(segment)
        }
    }

    /// `~1` is a slash, then `~0` a tilde, in one pass so that `~01` stays `~1`.
    private static func unescape(_ segment: Substring) -> String {
        var result = ""
        var isEscape = false
        for character in segment {
            if isEscape {
                result += character == "1" ? "/" : character == "0" ? "~" : "~\(character)"
                isEscape = false
            } else if character == "~" {
                isEscape = true
            } else {
                result.append(character)
            }
        }
        return result
    }

    private static func get(_ path: [String], in document: JSON) -> JSON? {
        var value: JSON? = document
        for key in path {
            switch value {
            case .object(let object)?: value = object[key]
            case .array(let elements)?:
                guard let index = Int(key), elements.indices.contains(index) else { return nil }
                value = elements[index]
            default: return nil
            }
        }
        return value
    }

    /// Goes to the member at a path, which must exist, and changes it there.
    private static func change(
        at path: ArraySlice<String>, in document: inout JSON, _ name: String, _ text: String,
        _ body: (inout JSON) throws -> Void
    ) throws {
        guard let key = path.first else { return try body(&document) }
        switch document {
        case .object(var object):
            guard var member = object[key] else { throw missing(name, text) }
            try change(at: path.dropFirst(), in: &member, name, text, body)
            object[key] = member
            document = .object(object)
        case .array(var elements):
            guard let index = Int(key), elements.indices.contains(index) else { throw missing(name, text) }
            try change(at: path.dropFirst(), in: &elements[index], name, text, body)
            document = .array(elements)
        default: throw missing(name, text)
        }
    }

    private static func add(
        _ value: JSON, at path: ArraySlice<String>, to document: inout JSON, _ name: String, _ text: String
    ) throws {
        guard let key = path.last else {
            document = value
            return
        }
        try change(at: path.dropLast(), in: &document, name, text) { parent in
            switch parent {
            case .object(var object):
                object[key] = value
                parent = .object(object)
            case .array(var elements):
                let index = key == "-" ? elements.count : Int(key) ?? -1
                guard (0...elements.count).contains(index) else {
                    throw Failure(description: "add operation does not apply: Unable to access invalid index: \(key)")
                }
                elements.insert(value, at: index)
                parent = .array(elements)
            default: throw missing(name, text)
            }
        }
    }

    private static func remove(
        at path: ArraySlice<String>, from document: inout JSON, _ name: String, _ text: String
    ) throws -> JSON {
        guard let key = path.last else { throw missing(name, text) }
        var removed = JSON.null
        try change(at: path.dropLast(), in: &document, name, text) { parent in
            switch parent {
            case .object(var object):
                guard let member = object[key] else { throw missing(name, text) }
                removed = member
                object[key] = nil
                parent = .object(object)
            case .array(var elements):
                guard let index = Int(key), elements.indices.contains(index) else { throw missing(name, text) }
                removed = elements.remove(at: index)
                parent = .array(elements)
            default: throw missing(name, text)
            }
        }
        return removed
    }
}
