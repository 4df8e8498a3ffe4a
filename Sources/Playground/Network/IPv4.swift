/// An IPv4 address.
struct IPv4: Hashable, Sendable, CustomStringConvertible {
    /// In the host's byte order.
    let value: UInt32

    init(value: UInt32) { self.value = value }

    init(_ first: UInt8, _ second: UInt8, _ third: UInt8, _ fourth: UInt8) {
        value = UInt32(first) << 24 | UInt32(second) << 16 | UInt32(third) << 8 | UInt32(fourth)
    }

    /// Four numbers with dots between them; a leading zero, which some take for octal, makes no address.
    init?(_ text: String) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        let bytes = parts.compactMap { part in
            part.utf8.allSatisfy { (48...57).contains($0) } && (part == "0" || part.first != "0") ? UInt8(part) : nil
        }
        guard parts.count == 4, bytes.count == 4 else { return nil }
        self.init(bytes[0], bytes[1], bytes[2], bytes[3])
    }

    var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> UInt32(24 - 8 * $0)) } }

    var description: String { bytes.map(String.init).joined(separator: ".") }
}

/// An IPv4 network: `10.96.0.0/16`.
struct IPv4Network: Sendable, CustomStringConvertible {
    let address: IPv4
    let prefix: Int

    /// The addresses that hosts can have.
    var hosts: ClosedRange<UInt32> { (address.value + 1)...(address.value + (UInt32(1) << UInt32(32 - prefix)) - 2) }

    var description: String { "\(address)/\(prefix)" }
}
