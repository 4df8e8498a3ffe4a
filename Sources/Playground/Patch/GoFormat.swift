internal import JSON

/// Values as Go's `%+v` prints them, which Kubernetes quotes in messages.
enum GoFormat {
    static func map(_ value: JSON) -> String {
        switch value {
        case .null: "<nil>"
        case .bool(let bool): String(bool)
        case .integer(let integer): String(integer)
        case .double(let double): String(double)
        case .string(let string): string
        case .array(let elements): "[" + elements.map(map).joined(separator: " ") + "]"
        case .object(let object):
            "map["
                + object.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
                .map { "\($0.key):\(map($0.value))" }.joined(separator: " ") + "]"
        }
    }
}
