internal import JSON

/// Reads typed values out of a located tree and collects what is wrong with it.
///
/// Every reading function reports its problem and returns `nil`, so that one pass finds every problem.
struct ConfigurationReader {
    /// A value with its JSON path.
    struct Node {
        let value: LocatedJSON
        let path: String

        func element(_ index: Int, _ value: LocatedJSON) -> Node { Node(value: value, path: "\(path)[\(index)]") }

        /// A member's node.
        func member(_ key: String, _ value: LocatedJSON) -> Node { Node(value: value, path: Node.path(path, key)) }

        /// The JSON path of a member; keys that are no plain names stand in brackets.
        static func path(_ path: String, _ key: String) -> String {
            let isPlain =
                !key.isEmpty
                && key.utf8.allSatisfy { byte in
                    let letter = byte | 0x20
                    return (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(letter) || byte == UInt8(ascii: "_")
                        || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || byte == UInt8(ascii: "$")
                        || byte == UInt8(ascii: "-")
                }
            return isPlain ? "\(path).\(key)" : "\(path)[\(JSON.string(key).text)]"
        }
    }

    let file: String
    let directory: String
    private(set) var problems: [Problem] = []
    /// Where values stand that are looked at again later, by JSON path.
    private(set) var places: [String: Position] = [:]
    /// Which service writes where, to find those that would write into one folder of one container.
    var claims: [DestinationClaim] = []
    /// Which service brings files to a folder of nodes.
    var nodeFolders: [String: String] = [:]
    /// Which service builds or runs which image.
    var imageClaims: [ImageClaim] = []

    /// The builds that were read so far: the named ones first.
    var builds: [Build] = []

    init(file: String, directory: String) {
        self.file = file
        self.directory = directory
    }

    var hasErrors: Bool { problems.contains { $0.severity == .error } }

    mutating func note(_ node: Node) { places[node.path] = node.value.position }

    mutating func error(_ node: Node, _ message: String, hint: String? = nil) {
        report(.error, node, message, hint: hint)
    }

    mutating func warning(_ node: Node, _ message: String, hint: String? = nil) {
        report(.warning, node, message, hint: hint)
    }

    private mutating func report(_ severity: Problem.Severity, _ node: Node, _ message: String, hint: String?) {
        problems.append(
            Problem(
                severity, file: file, position: node.value.position, path: node.path, message, hint: hint))
    }

    private mutating func wrongType(_ node: Node, _ expected: String, hint: String? = nil) {
        error(node, "\(expected) should be here, not \(node.value.kindName)", hint: hint)
    }

    // MARK: Objects

    /// The members of an object by key, repeated keys reported.
    mutating func members(_ node: Node) -> [(key: String, node: Node)]? {
        guard case .object(let members) = node.value.kind else {
            wrongType(node, "an object")
            return nil
        }
        var first: [String: Position] = [:]
        var found: [(key: String, node: Node)] = []
        for member in members {
            let child = node.member(member.key, member.value)
            if let position = first[member.key] {
                problems.append(
                    Problem(
                        file: file, position: member.keyPosition, path: child.path,
                        "\"\(member.key)\" is here twice", hint: "the first one is at \(position)"))
            } else {
                first[member.key] = member.keyPosition
                found.append((member.key, child))
            }
        }
        return found
    }

    /// The members of an object with fixed keys: unknown ones are reported.
    mutating func section(_ node: Node, _ keys: ConfigurationKeys) -> [String: Node]? {
        guard let members = members(node), case .object(let all) = node.value.kind else { return nil }
        var found: [String: Node] = [:]
        for (key, child) in members {
            guard !keys.known.contains(key) else {
                found[key] = child
                continue
            }
            let place = all.first { $0.key == key }?.keyPosition
            problems.append(
                Problem(
                    file: file, position: place, path: child.path, "unknown key \"\(key)\"", hint: keys.hint(for: key)))
        }
        return found
    }

    // MARK: Values

    mutating func string(_ node: Node?) -> String? {
        guard let node else { return nil }
        guard case .string(let text) = node.value.kind else {
            wrongType(node, "a string")
            return nil
        }
        guard !text.isEmpty else {
            error(node, "an empty string")
            return nil
        }
        // A C string would silently end there.
        guard !text.utf8.contains(0) else {
            error(node, "a NUL character in a string")
            return nil
        }
        return text
    }

    mutating func bool(_ node: Node?) -> Bool? {
        guard let node else { return nil }
        guard case .bool(let bool) = node.value.kind else {
            wrongType(node, "true or false")
            return nil
        }
        return bool
    }

    mutating func elements(_ node: Node?) -> [Node]? {
        guard let node else { return nil }
        guard case .array(let elements) = node.value.kind else {
            wrongType(node, "an array", hint: "in brackets: [ … ]")
            return nil
        }
        return elements.enumerated().map { node.element($0.offset, $0.element) }
    }

    /// The strings of an array with their nodes; elements of other kinds are reported and left out.
    mutating func strings(_ node: Node?) -> [(text: String, node: Node)]? {
        elements(node)?.compactMap { element in string(element).map { ($0, element) } }
    }

    mutating func duration(_ node: Node?, in range: ClosedRange<Duration>) -> Duration? {
        guard let node else { return nil }
        let example = "a number with ms, s or m: \"5ms\", \"1s\""
        guard case .string(let text) = node.value.kind else {
            wrongType(node, "a duration", hint: example)
            return nil
        }
        guard let duration = DurationText.parse(text) else {
            error(node, "\"\(text)\" is not a duration", hint: example)
            return nil
        }
        guard range.contains(duration) else {
            let bounds = "\(DurationText.text(range.lowerBound)) to \(DurationText.text(range.upperBound))"
            error(node, "\"\(text)\" is out of range", hint: bounds)
            return nil
        }
        return duration
    }

    /// One of a few words.
    mutating func choice(_ node: Node?, _ words: [String], later: [String] = []) -> String? {
        guard let node, let word = string(node) else { return nil }
        if words.contains(word) { return word }
        if later.contains(word) {
            error(node, "\"\(word)\" is not supported yet", hint: "supported: \(words.joined(separator: ", "))")
        } else {
            let near = NearestName.of(word, among: words)
            error(
                node, "unknown value \"\(word)\"",
                hint: near.map { "did you mean \"\($0)\"?" } ?? "one of: \(words.joined(separator: ", "))")
        }
        return nil
    }

    // MARK: Names

    mutating func label(_ node: Node?) -> String? {
        guard let node, let name = string(node) else { return nil }
        guard KubernetesName.isLabel(name) else {
            let near = KubernetesName.label(from: name)
            error(
                node, "\"\(name)\" is not a DNS label: lower-case letters, digits and -, at most 63",
                hint: near.isEmpty ? nil : "for example \"\(near)\"")
            return nil
        }
        return name
    }
}
