/// The random parts of names and identities.
enum RandomNames {
    /// The characters of Kubernetes' own suffixes: no vowels, so that no words appear.
    static let alphabet = Array("bcdfghjklmnpqrstvwxz2456789")

    /// What of a `generateName` is taken, in characters: with the suffix it makes a name of 63, as in Kubernetes.
    static let longestPrefix = 58

    /// Five characters, as `generateName` adds.
    static func suffix() -> String { String((0..<5).map { _ in alphabet[Int.random(in: 0..<alphabet.count)] }) }

    /// A random (version 4) UUID.
    static func uid() -> String {
        var bytes = (0..<16).map { _ in UInt8.random(in: 0...255) }
        bytes[6] = bytes[6] & 0x0F | 0x40
        bytes[8] = bytes[8] & 0x3F | 0x80
        let digits = hex(bytes)
        var groups: [String] = []
        var rest = digits[...]
        for length in [8, 4, 4, 4, 12] {
            groups.append(String(rest.prefix(length)))
            rest = rest.dropFirst(length)
        }
        return groups.joined(separator: "-")
    }

    /// A secret of 256 bits.
    static func secret() -> String { hex((0..<32).map { _ in UInt8.random(in: 0...255) }) }

    private static func hex(_ bytes: [UInt8]) -> String {
        let digits = Array("0123456789abcdef")
        return String(bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] })
    }
}
