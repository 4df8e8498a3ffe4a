internal import JSON

/// A value with what the schema says of it: whether it has one owner as a whole, or each of its parts has its own.
struct TypedValue: Sendable {
    let value: JSON
    private let type: Schema.FieldType
    private let isAtomic: Bool

    /// An object of a kind.
    init(_ object: JSON, _ kind: ResourceKind) {
        self.init(object, .structure(kind.kind))
    }

    private init(_ value: JSON, _ type: Schema.FieldType, isAtomic: Bool = false) {
        self.value = value
        self.type = type
        self.isAtomic = isAtomic
    }

    /// A part with an owner of its own, and its name in a set of fields.
    typealias Part = (name: String, value: TypedValue)

    /// The parts in their order; `nil` where the value is one whole.
    var parts: [Part]? {
        guard !isAtomic else { return nil }
        switch (value, type) {
        case (.object(let object), .structure(let name)):
            let structure = Schema.structure(name)
            guard !structure.isAtomic else { return nil }
            return object.map { key, member in
                let field = structure.field(key)
                return (
                    "f:\(key)", TypedValue(member, field?.type ?? .any, isAtomic: field?.isAtomic ?? false)
                )
            }
        case (.object(let object), .stringMap), (.object(let object), .quantityMap), (.object(let object), .any):
            return object.map { ("f:\($0.key)", TypedValue($0.value, .any)) }
        case (.array(let elements), .set):
            return elements.map { ("v:\($0.text)", TypedValue($0, .any, isAtomic: true)) }
        case (.array(let elements), .list(let element, let keys)) where !keys.isEmpty:
            return elements.map { (Self.name(of: $0, by: keys), TypedValue($0, element)) }
        case (.null, .structure(let name)): return Schema.structure(name).isAtomic ? nil : []
        case (.null, .set), (.null, .stringMap): return []
        case (.null, .list(_, let keys)): return keys.isEmpty ? nil : []
        default: return nil
        }
    }

    /// Whether the parts are elements of a list.
    var isList: Bool { value.array != nil }

    private static func name(of element: JSON, by keys: [String]) -> String {
        var named = JSONObject()
        for key in keys.sorted() {
            // The one key that clients may leave out.
            named[key] = element[key] ?? (key == "protocol" ? "TCP" : .null)
        }
        return "k:\(JSON.object(named).text)"
    }

    /// The fields that whoever applies the value names with it.
    var fields: FieldSet {
        guard let parts else { return FieldSet(isMember: true) }
        var fields = FieldSet()
        for (name, part) in parts {
            var inner = part.fields
            if isList || part.value.isEmpty { inner.isMember = true }
            fields[name] = inner
        }
        return fields
    }

    /// Every field of the value, also those that only hold others.
    var allFields: FieldSet {
        var fields = FieldSet(isMember: true)
        for (name, part) in parts ?? [] { fields[name] = part.allFields }
        return fields
    }
}
