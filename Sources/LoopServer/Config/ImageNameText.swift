/// The rules of registries for the names of images, by their text alone.
enum ImageNameText {
    /// Why a text does not name an image.
    enum Flaw: Equatable {
        /// It begins like an address: `docker://…`.
        case scheme(rest: String)
        case digest(name: String)
        case tag(name: String)
        case upperCase(suggestion: String)
        case characters
    }

    /// What keeps a text from being an image's name without tag and digest: `web`, `ghcr.io/acme/web`.
    static func flaw(_ text: String) -> Flaw? {
        if let scheme = text.firstRange(of: "://") { return .scheme(rest: String(text[scheme.upperBound...])) }
        if let at = text.firstIndex(of: "@") { return .digest(name: withoutTag(String(text[..<at]))) }
        let name = withoutTag(text)
        if name != text { return .tag(name: name) }
        let (host, path) = parts(text)
        guard host.map(isHost) ?? true else { return .characters }
        if isPath(path) { return nil }
        return isPath(path.lowercased()) ? .upperCase(suggestion: prefix(host) + path.lowercased()) : .characters
    }

    /// What keeps a text from naming one image of a registry: as `flaw`, but a tag or digest may follow.
    static func referenceFlaw(_ text: String) -> Flaw? {
        if let scheme = text.firstRange(of: "://") { return .scheme(rest: String(text[scheme.upperBound...])) }
        var rest = text
        if let at = rest.firstIndex(of: "@") {
            let digest = rest[rest.index(after: at)...].split(separator: ":", omittingEmptySubsequences: false)
            guard digest.count == 2, digest[1].utf8.count >= 32, digest[1].allSatisfy(\.isHexDigit) else {
                return .characters
            }
            rest = String(rest[..<at])
        }
        let name = withoutTag(rest)
        if name != rest, !isTag(String(rest.dropFirst(name.count + 1))) { return .characters }
        guard let flaw = flaw(name) else { return nil }
        if case .upperCase(let suggestion) = flaw {
            return .upperCase(suggestion: suggestion + text.dropFirst(name.count))
        }
        return flaw
    }

    /// Whether a text can be a tag.
    static func isTag(_ text: String) -> Bool {
        guard (1...128).contains(text.utf8.count), let first = text.utf8.first, ![45, 46].contains(first) else {
            return false
        }
        return text.utf8.allSatisfy { isLetter($0 | 0x20) || isDigit($0) || "_.-".utf8.contains($0) }
    }

    /// Whether a text is a host: a name or an address, perhaps with a port.
    static func isHost(_ text: String) -> Bool {
        var host = text[...]
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            guard host[..<end].dropFirst().utf8.allSatisfy({ isDigit($0) || "abcdefABCDEF:.".utf8.contains($0) }) else {
                return false
            }
            host = "a" + host[host.index(after: end)...]
        }
        let parts = host.split(separator: ":", omittingEmptySubsequences: false)
        guard let name = parts.first, parts.count <= 2 else { return false }
        if parts.count == 2 {
            guard let port = UInt16(parts[1]), port > 0 else { return false }
        }
        return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { label in
            !label.isEmpty && label.first != "-" && label.last != "-"
                && label.utf8.allSatisfy { isLetter($0 | 0x20) || isDigit($0) || $0 == UInt8(ascii: "-") }
        }
    }

    /// Whether a text is the path of a repository: lower-case words joined by `.`, `_`, `__` or `-`, parts joined by `/`.
    static func isPath(_ text: String) -> Bool {
        guard (1...255).contains(text.utf8.count) else { return false }
        return text.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { part in
            guard let first = part.utf8.first, let last = part.utf8.last, isWord(first), isWord(last) else {
                return false
            }
            let joints = part.utf8.split(whereSeparator: isWord)
            return joints.allSatisfy { joint in
                joint.elementsEqual(".".utf8) || joint.elementsEqual("_".utf8) || joint.elementsEqual("__".utf8)
                    || joint.allSatisfy { $0 == UInt8(ascii: "-") }
            }
        }
    }

    /// A first part with a point or a port is a host, by Docker's rule.
    static func parts(_ text: String) -> (host: String?, path: String) {
        let first = text.prefix { $0 != "/" }
        let isHost = first.count < text.count && (first == "localhost" || first.contains { ".:".contains($0) })
        return isHost ? (String(first), String(text.dropFirst(first.count + 1))) : (nil, text)
    }

    private static func withoutTag(_ text: String) -> String {
        let lastPart = text.lastIndex(of: "/") ?? text.startIndex
        return text[lastPart...].firstIndex(of: ":").map { String(text[..<$0]) } ?? text
    }

    private static func prefix(_ host: String?) -> String { host.map { $0 + "/" } ?? "" }

    private static func isLetter(_ byte: UInt8) -> Bool { (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isWord(_ byte: UInt8) -> Bool { isLetter(byte) || isDigit(byte) }
}
