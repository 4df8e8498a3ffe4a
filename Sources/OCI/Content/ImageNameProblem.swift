/// What is wrong with an image's name, and what it could be.
public struct ImageNameProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// What is wrong, with the part that it is in.
    public let reason: String
    /// A name that would do; `nil` where none comes to mind.
    public let suggestion: String?

    init(_ reason: String, suggestion: String? = nil) {
        self.reason = reason
        self.suggestion = suggestion
    }

    /// One line for people.
    public var description: String { suggestion.map { "\(reason); did you mean \"\($0)\"?" } ?? reason }
}

extension ImageName {
    /// Takes a name apart and checks every part by the rules of the distribution specification.
    public init(checking text: String) throws(ImageNameProblem) {
        self.init(text)
        if let problem = ImageName.problem(in: text) { throw problem }
    }

    /// What keeps a text from being an image's name; `nil` where it is one.
    public static func problem(in text: String) -> ImageNameProblem? {
        if text.isEmpty { return ImageNameProblem("the image's name is empty") }
        if let odd = text.unicodeScalars.first(where: { $0.value <= 0x20 || $0.value >= 0x7F }) {
            return ImageNameProblem("\"\(shown(text))\": \(named(odd)) in an image's name")
        }
        if let scheme = text.firstRange(of: "://") {
            return ImageNameProblem(
                "\"\(shown(text))\": an image's name has no scheme", suggestion: String(text[scheme.upperBound...]))
        }
        let name = ImageName(text)
        return problem(inRegistry: name.registry, of: text) ?? problem(inRepository: name, of: text)
            ?? name.tag.flatMap { problem(inTag: $0, of: text) }
            ?? name.digest.flatMap { digest in
                Digest(digest) == nil
                    ? ImageNameProblem("\"\(shown(text))\": after @ goes sha256: and 64 hexadecimal digits") : nil
            }
    }

    /// Whether a text can be a tag.
    public static func isTag(_ text: String) -> Bool { problem(inTag: text, of: text) == nil }

    private static func problem(inRegistry registry: String, of text: String) -> ImageNameProblem? {
        guard !registry.isEmpty else { return nil }
        let isBracketed = registry.hasPrefix("[")
        let host = isBracketed ? registry.dropFirst().prefix { $0 != "]" } : registry.prefix { $0 != ":" }
        let rest = registry.dropFirst(host.count + (isBracketed ? 2 : 0))
        let isHost =
            !host.isEmpty
            && host.utf8.allSatisfy {
                isLowerOrDigit($0) || isUpper($0) || $0 == 0x2E || $0 == 0x2D || (isBracketed && $0 == 0x3A)
            }
        let isPort = rest.isEmpty || rest.hasPrefix(":") && UInt16(rest.dropFirst()) != nil
        if isHost, isPort { return nil }
        return ImageNameProblem("\"\(shown(text))\": \"\(registry)\" is not a registry's host and port")
    }

    private static func problem(inRepository name: ImageName, of text: String) -> ImageNameProblem? {
        let repository = name.repository
        if repository.isEmpty { return ImageNameProblem("\"\(shown(text))\": there is no name after the registry") }
        if repository.utf8.count + name.registry.utf8.count + 1 > 255 {
            return ImageNameProblem("\"\(shown(text))\": an image's name has at most 255 characters")
        }
        for part in repository.split(separator: "/", omittingEmptySubsequences: false) {
            if part.isEmpty { return ImageNameProblem("\"\(shown(text))\": an empty part between slashes") }
            if part.utf8.contains(where: isUpper) {
                var lower = name
                lower.repository = repository.lowercased()
                return ImageNameProblem(
                    "\"\(shown(text))\": upper-case letters in \"\(part)\"; names of images are lower-case",
                    suggestion: "\(lower)")
            }
            if !isPart(part) {
                return ImageNameProblem(
                    "\"\(shown(text))\": \"\(part)\" is not made of lower-case letters and digits with single . _ or "
                        + "dashes between them")
            }
        }
        return nil
    }

    private static func problem(inTag tag: String, of text: String) -> ImageNameProblem? {
        let isAllowed = tag.utf8.allSatisfy { isLowerOrDigit($0) || isUpper($0) || "._-".utf8.contains($0) }
        if tag.isEmpty { return ImageNameProblem("\"\(shown(text))\": the tag after : is empty") }
        if tag.utf8.count > 128 { return ImageNameProblem("\"\(shown(text))\": a tag has at most 128 characters") }
        if isAllowed, let first = tag.utf8.first, first != 0x2E, first != 0x2D { return nil }
        return ImageNameProblem(
            "\"\(shown(text))\": the tag \"\(tag)\" is not made of letters, digits, _ . - (these two not first)"
        )
    }

    /// Letters and digits; between them one dot, one or two underscores, or any number of dashes.
    private static func isPart(_ part: some StringProtocol) -> Bool {
        var separator: [UInt8] = []
        var isFirst = true
        for byte in part.utf8 {
            if isLowerOrDigit(byte) {
                let isOne =
                    [[], [0x2E], [0x5F], [0x5F, 0x5F]].contains(separator) || separator.allSatisfy { $0 == 0x2D }
                guard isOne, !isFirst || separator.isEmpty else { return false }
                separator = []
                isFirst = false
            } else if [0x2E, 0x5F, 0x2D].contains(byte) {
                separator.append(byte)
            } else {
                return false
            }
        }
        return separator.isEmpty && !isFirst
    }

    private static func shown(_ text: String) -> String { text.count > 120 ? "\(text.prefix(117))..." : text }

    private static func named(_ scalar: Unicode.Scalar) -> String {
        switch scalar {
        case " ": "a blank"
        case "\n": "a line break"
        default: scalar.value < 0x20 || scalar.value == 0x7F ? "a control character" : "\"\(scalar)\""
        }
    }

    private static func isLowerOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
    private static func isUpper(_ byte: UInt8) -> Bool { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) }
}

extension ImageName {
    /// The registry that has it, and its name there: what stands without a registry is the Hub's, by Docker's rule.
    public var location: (registry: String, repository: String) {
        guard ["", "docker.io", "index.docker.io"].contains(registry) else { return (registry, repository) }
        return ("docker.io", repository.contains("/") ? repository : "library/\(repository)")
    }
}
