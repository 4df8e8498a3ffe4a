internal import CHash
internal import Glibc
internal import Reactor

/// A content digest, `sha256:` and 64 lower-case hexadecimal digits; other algorithms are not known here.
struct Digest: Hashable, Sendable, CustomStringConvertible {
    /// The 64 digits.
    let hex: String

    init?(_ text: some StringProtocol) {
        guard text.hasPrefix("sha256:") else { return nil }
        let digits = text.dropFirst(7)
        let isHex = digits.utf8.allSatisfy {
            (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains($0)
        }
        guard digits.utf8.count == 64, isHex else { return nil }
        hex = String(digits)
    }

    init(of bytes: [UInt8]) {
        var running = RunningDigest()
        running.update(bytes)
        self = running.digest
    }

    fileprivate init(raw: [UInt8]) {
        let digits = Array("0123456789abcdef".utf8)
        hex = String(decoding: raw.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }

    var description: String { "sha256:\(hex)" }
}

/// A digest of bytes that come in pieces.
struct RunningDigest: Sendable {
    private var state = chash_sha256()

    init() { chash_sha256_init(&state) }

    mutating func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { chash_sha256_update(&state, $0.baseAddress, $0.count) }
    }

    /// The digest of what came so far; more may follow.
    var digest: Digest {
        var copy = state
        var raw = [UInt8](repeating: 0, count: 32)
        chash_sha256_final(&copy, &raw)
        return Digest(raw: raw)
    }
}
