/// The rules of Kubernetes for names.
enum KubernetesName {
    /// A DNS label (RFC 1123): 1 to 63 lower-case letters, digits and `-`, a letter or digit at both ends.
    static func isLabel(_ name: some StringProtocol) -> Bool {
        guard (1...63).contains(name.utf8.count), name.first != "-", name.last != "-" else { return false }
        return name.utf8.allSatisfy { isLowerCaseOrDigit($0) || $0 == UInt8(ascii: "-") }
    }

    /// A DNS subdomain: labels joined by points, at most 253 characters.
    static func isSubdomain(_ name: String) -> Bool {
        name.utf8.count <= 253 && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isLabel)
    }

    /// A label's key: a name of at most 63 characters, with an optional subdomain and `/` before it.
    static func isLabelKey(_ key: String) -> Bool {
        let parts = key.split(separator: "/", omittingEmptySubsequences: false)
        guard let name = parts.last, parts.count <= 2, !name.isEmpty, isLabelValue(String(name)) else { return false }
        return parts.count == 1 || isSubdomain(String(parts[0]))
    }

    /// A label's value: empty, or at most 63 letters, digits, `-`, `_` and `.`, a letter or digit at both ends.
    static func isLabelValue(_ value: String) -> Bool {
        guard let first = value.utf8.first, let last = value.utf8.last else { return true }
        guard value.utf8.count <= 63, isLetterOrDigit(first), isLetterOrDigit(last) else { return false }
        return value.utf8.allSatisfy { isLetterOrDigit($0) || "-_.".utf8.contains($0) }
    }

    /// The nearest DNS label to any text: `My App` becomes `my-app`.
    ///
    /// Empty when nothing of the text can stand in one.
    static func label(from text: String) -> String {
        var label: [UInt8] = []
        for byte in text.lowercased().utf8 {
            if isLowerCaseOrDigit(byte) {
                label.append(byte)
            } else if !label.isEmpty, label.last != UInt8(ascii: "-") {
                label.append(UInt8(ascii: "-"))
            }
        }
        label = Array(label.prefix(63))
        while label.last == UInt8(ascii: "-") { label.removeLast() }
        return String(decoding: label, as: UTF8.self)
    }

    private static func isLowerCaseOrDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }

    private static func isLetterOrDigit(_ byte: UInt8) -> Bool {
        isLowerCaseOrDigit(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
    }
}
