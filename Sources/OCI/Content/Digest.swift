internal import CHash

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits; other algorithms are not known here.
public struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// The 64 digits.
    public let hex: String

    /// Reads a digest; `nil` for anything that is not one.
    public init?(_ text: some StringProtocol) {
        guard text.hasPrefix("sha256:") else { return nil }
        let digits = text.dropFirst(7)
        let isHex = digits.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard digits.utf8.count == 64, isHex else { return nil }
        hex = String(digits)
    }

    /// The digest of bytes in memory.
    public init(of bytes: [UInt8]) {
        var running = RunningDigest()
        running.update(bytes)
        self = running.digest
    }

    fileprivate init(raw: [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        hex = String(decoding: raw.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    /// The digest as manifests have it.
    public var description: String { "sha256:\(hex)" }

    /// What people need of it to tell it from others.
    public var short: String { "sha256:\(hex.prefix(12))" }
}

/// A digest of bytes that come in pieces.
public struct RunningDigest: Sendable {
    private var state = chash_sha256()

    /// The digest of nothing.
    public init() { chash_sha256_init(&state) }

    /// Takes the next bytes.
    public mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// Takes the next bytes from memory of the caller's.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        chash_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    /// The digest of what came so far; more may follow.
    public var digest: Digest {
        var copy = state
        var raw = [UInt8](repeating: 0, count: 32)
        chash_sha256_final(&copy, &raw)
        return Digest(raw: raw)
    }
}
