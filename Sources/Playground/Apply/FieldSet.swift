internal import JSON

/// A set of fields of an object, as `fieldsV1` writes it.
///
/// Parts are named as in that notation: `f:` and a field's name, `k:` and the keys of a list's element, `v:` and an
/// element of a set.
struct FieldSet: Equatable, Sendable {
    /// Whether the field at this place itself is in the set, not only parts of it.
    var isMember = false
    private var parts: [String: FieldSet] = [:]

    init(isMember: Bool = false) {
        self.isMember = isMember
    }

    /// Reads `fieldsV1`; `nil` where this is something else.
    init?(_ fields: JSON?) {
        guard let object = fields?.object else { return nil }
        for (name, value) in object {
            if name == "." {
                isMember = true
                continue
            }
            guard ["f:", "k:", "v:", "i:"].contains(name.prefix(2)), var part = FieldSet(value) else { return nil }
            // What is named and has no parts is itself in the set.
            if part.isEmpty { part.isMember = true }
            parts[name] = part
        }
    }

    var isEmpty: Bool { !isMember && parts.isEmpty }

    /// The fields below a part; empty where there are none.
    subscript(part: String) -> FieldSet {
        get { parts[part] ?? FieldSet() }
        set { parts[part] = newValue.isEmpty ? nil : newValue }
    }

    /// The set as `fieldsV1` has it.
    var json: JSON {
        var object = JSONObject()
        if isMember, !parts.isEmpty { object["."] = [:] }
        for (name, part) in sorted { object[name] = part.json }
        return .object(object)
    }

    private var sorted: [(key: String, value: FieldSet)] {
        parts.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
    }

    func union(_ other: FieldSet) -> FieldSet {
        var result = self
        result.isMember = isMember || other.isMember
        result.parts.merge(other.parts) { $0.union($1) }
        return result
    }

    func subtracting(_ other: FieldSet) -> FieldSet {
        var result = FieldSet(isMember: isMember && !other.isMember)
        for (name, part) in parts { result[name] = part.subtracting(other[name]) }
        return result
    }

    func intersection(_ other: FieldSet) -> FieldSet {
        var result = FieldSet(isMember: isMember && other.isMember)
        for (name, part) in parts { result[name] = part.intersection(other[name]) }
        return result
    }

    /// The fields' paths as conflicts name them: `.spec.template.spec.containers[name="c"].image`.
    var paths: [String] { paths(below: "") }

    private func paths(below path: String) -> [String] {
        let parts = sorted.map { (path: path + Self.step($0.key), fields: $0.value) }
        return parts.filter(\.fields.isMember).map(\.path) + parts.flatMap { $0.fields.paths(below: $0.path) }
    }

    private static func step(_ part: String) -> String {
        let rest = String(part.dropFirst(2))
        switch part.prefix(2) {
        case "f:": return ".\(rest)"
        case "k:":
            let keys = (try? JSON(parsing: rest))?.object ?? JSONObject()
            return "[\(keys.map { "\($0.key)=\($0.value.text)" }.joined(separator: ","))]"
        default: return "[=\(rest)]"
        }
    }
}
