internal import Glibc

/// An IPv4 or IPv6 address: 4 or 16 bytes.
struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    let bytes: [UInt8]

    /// From 4 or 16 bytes.
    init(bytes: [UInt8]) { self.bytes = bytes }

    /// From its text, an IPv6 address also in brackets; `nil` where it is a name.
    init?(_ text: some StringProtocol) {
        var text = String(text)
        if text.hasPrefix("["), text.hasSuffix("]") { text = String(text.dropFirst().dropLast()) }
        var (four, six) = (in_addr(), in6_addr())
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            let all = withUnsafeBytes(of: &six) { Array($0) }
            // An IPv4 address in IPv6's clothes.
            bytes = all.starts(with: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]) ? Array(all[12...]) : all
        } else {
            return nil
        }
    }

    var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        _ = inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init), as: UTF8.self)
    }

    /// Whether it is this machine's own.
    var isLoopback: Bool {
        bytes.count == 4
            ? bytes[0] == 127 || bytes == [0, 0, 0, 0] : bytes.dropLast().allSatisfy { $0 == 0 } && bytes.last ?? 0 <= 1
    }
}

/// Addresses with a common beginning: `10.244.0.0/16`.
struct IPRange: Hashable, Sendable {
    private let base: [UInt8]
    private let length: Int

    /// From its text; `nil` where it is none.
    init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(parts[0]), let length = Int(parts[1]),
            (0...address.bytes.count * 8).contains(length)
        else { return nil }
        base = address.bytes
        self.length = length
    }

    func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == base.count else { return false }
        return (0..<length).allSatisfy { bit in
            (address.bytes[bit / 8] ^ base[bit / 8]) & (0x80 >> UInt8(bit % 8)) == 0
        }
    }
}
