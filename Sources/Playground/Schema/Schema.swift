/// The fields of the served kinds: their names in the API's order, their types, and how lists merge.
///
/// One table answers which fields a client misspelt, what a wrong type is called, by which key a strategic merge patch
/// pairs the elements of a list, and what has an owner of its own in a server-side apply.
enum Schema {
    /// What a field holds.
    indirect enum FieldType: Equatable, Sendable {
        /// Text; empty text is no text unless it is kept.
        case string(keptEmpty: Bool)
        /// A whole number of a Go type; zero is nothing unless it is kept.
        case integer(String, keptZero: Bool)
        case boolean(keptFalse: Bool)
        case quantity
        case integerOrString
        case time
        /// Anything, as it is.
        case any
        case stringMap
        case quantityMap
        case structure(String)
        /// A list whose elements are told apart by `keys`; without any it is one whole.
        ///
        /// A strategic merge pairs elements by the first key alone.
        case list(FieldType, keys: [String])
        /// A list of text that a strategic merge unites.
        case set
    }

    struct Field: Sendable {
        let name: String
        let type: FieldType
        /// Whether a strategic merge may say which members stay (`$retainKeys`).
        let retainsKeys: Bool
        /// Whether it has one owner as a whole, though its type has parts.
        let isAtomic: Bool
    }

    struct Structure: Sendable {
        let name: String
        let fields: [Field]
        /// Whether such a structure has one owner as a whole.
        let isAtomic: Bool
        private let index: [String: Int]

        init(name: String, fields: [Field], isAtomic: Bool = false) {
            self.name = name
            self.fields = fields
            self.isAtomic = isAtomic
            index = Dictionary(fields.enumerated().map { ($1.name, $0) }) { first, _ in first }
        }

        func field(_ name: String) -> Field? { index[name].map { fields[$0] } }
    }

    /// Every structure by its name.
    static let structures: [String: Structure] = {
        var structures: [String: Structure] = [:]
        for line in (SchemaTable.objects + "\n" + SchemaTable.services + "\n" + SchemaTable.pods).split(separator: "\n")
        {
            let words = line.split(separator: " ")
            guard let head = words.first, head.hasSuffix(":") else { continue }
            let isAtomic = head.hasSuffix("!:")
            let name = String(head.dropLast(isAtomic ? 2 : 1))
            structures[name] = Structure(name: name, fields: words.dropFirst().map(field), isAtomic: isAtomic)
        }
        return structures
    }()

    static func structure(_ name: String) -> Structure { structures[name] ?? Structure(name: name, fields: []) }

    /// The structure of a kind's objects.
    static func structure(of kind: ResourceKind) -> Structure { structure(kind.kind) }

    private static func field(_ text: Substring) -> Field {
        let parts = text.split(separator: ":", maxSplits: 1)
        var notation = parts.count > 1 ? parts[1] : "o"
        let retainsKeys = notation.hasSuffix("^")
        if retainsKeys { notation = notation.dropLast() }
        let isAtomic = notation.hasSuffix("!")
        if isAtomic { notation = notation.dropLast() }
        return Field(name: String(parts[0]), type: type(notation), retainsKeys: retainsKeys, isAtomic: isAtomic)
    }

    private static func type(_ notation: Substring) -> FieldType {
        if notation.hasPrefix("[") {
            let end = notation.firstIndex(of: "]") ?? notation.endIndex
            let element = type(notation[notation.index(after: notation.startIndex)..<end])
            let rest = end == notation.endIndex ? "" : notation[notation.index(after: end)...]
            if rest == "@" { return .set }
            return .list(element, keys: rest.dropFirst().split(separator: ",").map(String.init))
        }
        switch notation {
        case "s": return .string(keptEmpty: false)
        case "S": return .string(keptEmpty: true)
        case "i": return .integer("int32", keptZero: true)
        case "I": return .integer("int32", keptZero: false)
        case "l": return .integer("int64", keptZero: true)
        case "L": return .integer("int64", keptZero: false)
        case "b": return .boolean(keptFalse: true)
        case "B": return .boolean(keptFalse: false)
        case "q": return .quantity
        case "x": return .integerOrString
        case "t": return .time
        case "o": return .any
        case "ms": return .stringMap
        case "mq": return .quantityMap
        default: return .structure(String(notation))
        }
    }
}
