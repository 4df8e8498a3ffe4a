internal import JSON

/// A set of requirements on labels, from a query (`app=web,tier in (a, b),!old`) or from an object's `selector`.
struct LabelSelector: Sendable, Equatable {
    enum Requirement: Sendable, Equatable {
        case isIn(String, [String])
        case isNotIn(String, [String])
        case exists(String)
        case isAbsent(String)
        case isGreater(String, Int)
        case isLess(String, Int)
    }

    let requirements: [Requirement]

    /// No requirement.
    static let everything = LabelSelector(requirements: [])

    init(requirements: [Requirement]) {
        self.requirements = requirements
    }

    /// The `selector` of a Deployment or ReplicaSet: `matchLabels` and `matchExpressions`.
    init(selector: JSON?) {
        var requirements: [Requirement] = []
        for (key, value) in selector?["matchLabels"]?.object ?? JSONObject() {
            requirements.append(.isIn(key, [value.string ?? ""]))
        }
        for expression in selector?["matchExpressions"]?.array ?? [] {
            let key = expression["key"]?.string ?? ""
            let values = (expression["values"]?.array ?? []).compactMap(\.string)
            switch expression["operator"]?.string {
            case "In": requirements.append(.isIn(key, values))
            case "NotIn": requirements.append(.isNotIn(key, values))
            case "Exists": requirements.append(.exists(key))
            case "DoesNotExist": requirements.append(.isAbsent(key))
            default: break
            }
        }
        self.requirements = requirements
    }

    /// Reads a query's `labelSelector`.
    ///
    /// Throws 400 with the API's wording where it cannot be read.
    init(parsing text: String) throws {
        var reader = LabelSelectorReader(text)
        requirements = try reader.requirements()
    }

    /// Whether labels (an object of strings, or nothing) meet every requirement.
    func matches(_ labels: JSON?) -> Bool {
        requirements.allSatisfy { requirement in
            switch requirement {
            case .isIn(let key, let values): labels?[key]?.string.map(values.contains) ?? false
            case .isNotIn(let key, let values): !(labels?[key]?.string.map(values.contains) ?? false)
            case .exists(let key): labels?[key] != nil
            case .isAbsent(let key): labels?[key] == nil
            case .isGreater(let key, let bound): labels?[key]?.string.flatMap { Int($0) }.map { $0 > bound } ?? false
            case .isLess(let key, let bound): labels?[key]?.string.flatMap { Int($0) }.map { $0 < bound } ?? false
            }
        }
    }
}

/// Reads the text form of a label selector.
private struct LabelSelectorReader {
    private var tokens: [String] = []
    private var position = 0
    private let text: String

    init(_ text: String) {
        self.text = text
        var word = ""
        var symbol = ""
        func isSymbol(_ character: Character) -> Bool { "=!<>".contains(character) }
        for character in text {
            if !symbol.isEmpty, !isSymbol(character) || symbol == "<" || symbol == ">" {
                tokens.append(symbol)
                symbol = ""
            }
            if isSymbol(character) || " \t,()".contains(character) {
                if !word.isEmpty { tokens.append(word) }
                word = ""
                if isSymbol(character) {
                    // "!" before a key stands alone; "!=" belongs together.
                    symbol.append(character)
                } else if ",()".contains(character) {
                    tokens.append(String(character))
                }
            } else {
                word.append(character)
            }
        }
        if !symbol.isEmpty { tokens.append(symbol) }
        if !word.isEmpty { tokens.append(word) }
    }

    private var current: String? { position < tokens.count ? tokens[position] : nil }

    private mutating func next() -> String? {
        defer { position += 1 }
        return current
    }

    private func failure(_ detail: String) -> StatusError {
        .badRequest("unable to parse requirement: \(detail)")
    }

    private func isWord(_ token: String) -> Bool {
        !["=", "==", "!=", "!", "<", ">", ",", "(", ")"].contains(token)
    }

    mutating func requirements() throws -> [LabelSelector.Requirement] {
        var requirements: [LabelSelector.Requirement] = []
        while current != nil {
            requirements.append(try requirement())
            guard let separator = next() else { break }
            guard separator == "," else { throw failure("found '\(separator)', expected: ',' or 'end of string'") }
            guard current != nil else { throw failure("found '', expected: identifier after ','") }
        }
        return requirements
    }

    private mutating func requirement() throws -> LabelSelector.Requirement {
        guard let first = next() else { throw failure("found '', expected: identifier") }
        if first == "!" {
            guard let key = next(), isWord(key) else { throw failure("found '', expected: identifier") }
            return .isAbsent(key)
        }
        guard isWord(first) else { throw failure("found '\(first)', expected: !, identifier, or 'end of string'") }
        guard let operation = current, operation != "," else { return .exists(first) }
        position += 1
        switch operation {
        case "=", "==": return .isIn(first, [value()])
        case "!=": return .isNotIn(first, [value()])
        case "in": return .isIn(first, try values())
        case "notin": return .isNotIn(first, try values())
        case "<", ">":
            let text = value()
            guard let bound = Int(text) else {
                throw failure(
                    "values[0][\(first)]: Invalid value: \"\(text)\": for 'Gt', 'Lt' operators, the value must be an "
                        + "integer")
            }
            return operation == ">" ? .isGreater(first, bound) : .isLess(first, bound)
        default:
            throw failure("found '\(operation)', expected: in, notin, =, ==, !=, gt, lt")
        }
    }

    private mutating func value() -> String {
        guard let current, isWord(current) else { return "" }
        position += 1
        return current
    }

    private mutating func values() throws -> [String] {
        guard next() == "(" else { throw failure("found '\(tokens[min(position, tokens.count) - 1])' expected: '('") }
        var values: [String] = []
        var isExpectingWord = true
        while let token = next() {
            switch token {
            case ")":
                if isExpectingWord { values.append("") }
                return values
            case ",":
                if isExpectingWord { values.append("") }
                isExpectingWord = true
            default:
                guard isWord(token) else { throw failure("found '\(token)', expected: ',', or ')'") }
                values.append(token)
                isExpectingWord = false
            }
        }
        throw failure("found '', expected: ',' or ')'")
    }
}
