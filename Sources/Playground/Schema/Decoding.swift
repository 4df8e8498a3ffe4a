internal import JSON

/// An object as the API understands it, and what of it nobody knows.
struct DecodedObject {
    /// Known fields in the API's order, without nulls and without what is empty and means nothing.
    var value: JSON
    /// The paths of fields that no structure has: `spec.replicsa`.
    var unknown: [String] = []
}

/// Reads an object against the schema.
struct ObjectDecoder {
    private var unknown: [String] = []

    /// Decodes an object of a kind.
    ///
    /// Throws a `WrongType` where a value cannot be what the field holds.
    static func decode(_ value: JSON, as structure: Schema.Structure) throws -> DecodedObject {
        var decoder = ObjectDecoder()
        let decoded = try decoder.structure(value, structure, at: "")
        return DecodedObject(value: decoded, unknown: decoder.unknown)
    }

    /// A value of another type than its field's, in the words of Go's decoder.
    struct WrongType: Error, CustomStringConvertible {
        let found: String
        /// `DeploymentSpec.spec.replicas`: the innermost structure, and the path without indices.
        let field: String
        let expected: String

        var description: String {
            field.isEmpty
                ? "json: cannot unmarshal \(found) into Go value of type \(expected)"
                : "json: cannot unmarshal \(found) into Go struct field \(field) of type \(expected)"
        }
    }

    private mutating func structure(_ value: JSON, _ structure: Schema.Structure, at path: String) throws -> JSON {
        guard let object = value.object else {
            throw WrongType(found: Self.name(of: value), field: "", expected: "v1.\(structure.name)")
        }
        var result = JSONObject()
        for field in structure.fields {
            guard let given = object[field.name], !given.isNull else { continue }
            result[field.name] = try decode(
                given, field.type, at: Self.join(path, field.name), owner: structure.name)
        }
        for (key, _) in object where structure.field(key) == nil { unknown.append(Self.join(path, key)) }
        return .object(result)
    }

    /// The value as its type keeps it; `nil` where it is empty and that means nothing.
    private mutating func decode(
        _ value: JSON, _ type: Schema.FieldType, at path: String, owner: String
    ) throws -> JSON? {
        func wrong(_ expected: String) -> WrongType {
            let plain = path.split(separator: ".").map { $0.prefix { $0 != "[" } }.joined(separator: ".")
            return WrongType(found: Self.name(of: value), field: "\(owner).\(plain)", expected: expected)
        }
        switch type {
        case .any: return value
        case .string(let keptEmpty):
            guard let text = value.string else { throw wrong("string") }
            return Self.kept(value, unless: text.isEmpty && !keptEmpty)
        case .time:
            guard let text = value.string else { throw wrong("string") }
            return Self.kept(value, unless: text.isEmpty)
        case .integer(let name, let keptZero):
            guard let number = value.integer else { throw wrong(name) }
            // What fits cannot overflow where controllers add it up.
            if name == "int32", Int32(exactly: number) == nil {
                throw WrongType(found: "number \(number)", field: wrong(name).field, expected: name)
            }
            return Self.kept(.integer(number), unless: number == 0 && !keptZero)
        case .boolean(let keptFalse):
            guard let bool = value.bool else { throw wrong("bool") }
            return Self.kept(value, unless: !bool && !keptFalse)
        case .integerOrString:
            guard value.string != nil || value.integer != nil else { throw wrong("intstr.IntOrString") }
            return value
        case .quantity: return try quantity(value) ?? { throw wrong("resource.Quantity") }()
        case .stringMap, .quantityMap:
            guard let map = value.object else { throw wrong("map[string]string") }
            var result = JSONObject()
            for (key, element) in map where !element.isNull {
                if type == .quantityMap {
                    guard let amount = try quantity(element) else { throw wrong("resource.Quantity") }
                    result[key] = amount
                } else {
                    guard element.string != nil else {
                        throw WrongType(
                            found: Self.name(of: element), field: wrong("").field, expected: "string")
                    }
                    result[key] = element
                }
            }
            return Self.kept(.object(result), unless: result.isEmpty)
        case .structure(let name):
            guard value.object != nil else { throw wrong("v1.\(name)") }
            return try structure(value, Schema.structure(name), at: path)
        case .set:
            return try decode(value, .list(.string(keptEmpty: true), keys: []), at: path, owner: owner)
        case .list(let element, _):
            guard let elements = value.array else { throw wrong("[]\(Self.goName(element))") }
            var result: [JSON] = []
            for (index, each) in elements.enumerated() {
                let kept: Schema.FieldType = element == .string(keptEmpty: false) ? .string(keptEmpty: true) : element
                if let decoded = try decode(each, kept, at: "\(path)[\(index)]", owner: owner) {
                    result.append(decoded)
                }
            }
            return Self.kept(.array(result), unless: result.isEmpty)
        }
    }

    /// A quantity in text, as the API stores it; a number means itself.
    private func quantity(_ value: JSON) throws -> JSON? {
        switch value {
        case .string(let text):
            guard Quantity(text) != nil else { return nil }
            return value
        case .integer(let number): return .string(String(number))
        case .double(let number): return .string(String(number))
        default: return nil
        }
    }

    /// The value, or nothing. (In `condition ? nil : value` the `nil` would be JSON's null.)
    private static func kept(_ value: JSON, unless isNothing: Bool) -> JSON? {
        guard !isNothing else { return nil }
        return value
    }

    private static func join(_ path: String, _ name: String) -> String { path.isEmpty ? name : "\(path).\(name)" }

    private static func name(of value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "bool"
        case .integer, .double: "number"
        case .string: "string"
        case .array: "array"
        case .object: "object"
        }
    }

    private static func goName(_ type: Schema.FieldType) -> String {
        switch type {
        case .structure(let name): "v1.\(name)"
        case .integer(let name, _): name
        default: "string"
        }
    }
}
