/// What kubectl says of a file that it cannot read: a pure function of its words.
struct YAMLComplaint: Equatable, Sendable {
    /// The file; `nil` where kubectl names none.
    var file: String?
    /// The line, counted from the beginning of the document in the file.
    var line: Int?
    /// What is wrong there.
    var words: String

    /// Understands `error: error parsing FILE: error converting YAML to JSON: yaml: line 5: …`, and what is said of objects
    /// that are none: `error: unable to decode "FILE": …`.
    init(_ text: String, among files: [String]) {
        words = text.droppingPrefix("error: ")
        if let found = files.first(where: { words.hasPrefix("error parsing \($0): ") }) {
            file = found
            words = String(words.dropFirst("error parsing \(found): ".count))
                .droppingPrefix("error converting YAML to JSON: ").droppingPrefix("yaml: ")
            let rest = words.droppingPrefix("line ")
            let number = rest.prefix { $0.isNumber }
            guard rest != words, rest.dropFirst(number.count).hasPrefix(": ") else { return }
            line = Int(number)
            words = String(rest.dropFirst(number.count + 2))
        } else if let found = files.first(where: { words.hasPrefix("unable to decode \"\($0)\": ") }) {
            file = found
            words = String(words.dropFirst("unable to decode \"\(found)\": ".count))
            // What is in the document is not repeated: it may be a Secret.
            if let object = words.firstRange(of: " in '{") { words = String(words[..<object.lowerBound]) }
        }
    }

    /// The line in a whole file, of which `documents` could be read before.
    static func line(_ line: Int, after documents: Int, in text: String) -> Int {
        var begin = 0
        var passed = 0
        var hasContent = false
        for (number, content) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if content.hasPrefix("---") {
                if hasContent { passed += 1 }
                if passed > documents { break }
                (begin, hasContent) = (number + 1, false)
            } else if !content.allSatisfy(\.isWhitespace), !content.hasPrefix("#") {
                hasContent = true
            }
        }
        return begin + line
    }
}
