/// A place in a text file: line and column count from 1, columns in characters.
public struct Position: Comparable, Hashable, Sendable, CustomStringConvertible {
    /// The line's number, from 1.
    public let line: Int
    /// The character's number in its line, from 1.
    public let column: Int

    /// A place by its numbers.
    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }

    /// The order of reading.
    public static func < (left: Position, right: Position) -> Bool {
        (left.line, left.column) < (right.line, right.column)
    }

    /// As `line:column`.
    public var description: String { "\(line):\(column)" }
}

/// A value of a configuration file that knows where it stands.
public struct LocatedJSON: Equatable, Sendable {
    /// What the value is.
    ///
    /// An object keeps every member, also those whose key repeats an earlier one.
    public enum Kind: Equatable, Sendable {
        case null
        case bool(Bool)
        case integer(Int64)
        case double(Double)
        case string(String)
        case array([LocatedJSON])
        case object([Member])
    }

    /// One key with its value.
    public struct Member: Equatable, Sendable {
        /// The key, without quotes.
        public let key: String
        /// Where the key begins.
        public let keyPosition: Position
        /// What stands behind the colon.
        public let value: LocatedJSON
    }

    /// What the value is.
    public let kind: Kind
    /// Where the value begins.
    public let position: Position

    /// The value without its places; of a repeated key, the last one holds.
    public var json: JSON {
        switch kind {
        case .null: .null
        case .bool(let bool): .bool(bool)
        case .integer(let integer): .integer(integer)
        case .double(let double): .double(double)
        case .string(let string): .string(string)
        case .array(let elements): .array(elements.map(\.json))
        case .object(let members):
            .object(members.reduce(into: JSONObject()) { object, member in object[member.key] = member.value.json })
        }
    }

    /// The kind in words for a message: `a string`, `an object`.
    public var kindName: String {
        switch kind {
        case .null: "null"
        case .bool: "true or false"
        case .integer, .double: "a number"
        case .string: "a string"
        case .array: "an array"
        case .object: "an object"
        }
    }
}

/// Why a text is not JSON5, and where.
public struct LocatedJSONError: Error, Equatable, CustomStringConvertible {
    /// What is wrong, in plain words.
    public let reason: String
    /// Where it is wrong.
    public let position: Position

    /// As `line:column: reason`.
    public var description: String { "\(position): \(reason)" }
}
