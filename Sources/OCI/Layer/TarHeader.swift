/// Heads of entries of a tar archive: ustar, with a PAX header before it for what does not fit.
enum TarHeader {
    /// What kind an entry is, by its byte in the header.
    enum Kind: UInt8 {
        case file = 0x30
        case link = 0x32
        case folder = 0x35
    }

    /// What a header says.
    struct Fields {
        var path: [UInt8]
        var kind: Kind
        var size: Int64 = 0
        var mode: UInt16
        var user: UInt32 = 0
        var group: UInt32 = 0
        var target: [UInt8] = []
    }

    static let block = 512
    private static let largestOctal: Int64 = 0o77_777_777_777

    /// The head of an entry, PAX header included.
    static func bytes(_ fields: Fields) -> [UInt8] {
        var records: [UInt8] = []
        if !fits(fields.path) { records += record("path", fields.path) }
        if !fits(fields.target) { records += record("linkpath", fields.target) }
        if fields.size > largestOctal { records += record("size", Array("\(fields.size)".utf8)) }
        if fields.user > 0o7_777_777 { records += record("uid", Array("\(fields.user)".utf8)) }
        if fields.group > 0o7_777_777 { records += record("gid", Array("\(fields.group)".utf8)) }
        let own = ustar(fields, type: fields.kind.rawValue)
        if records.isEmpty { return own }
        var pax = Fields(path: Array("PaxHeaders/".utf8) + fields.path.suffix(64), kind: .file, mode: 0o644)
        pax.size = Int64(records.count)
        return ustar(pax, type: UInt8(ascii: "x")) + records + padding(after: Int64(records.count)) + own
    }

    /// What follows content of this size, up to the next block.
    static func padding(after size: Int64) -> [UInt8] {
        [UInt8](repeating: 0, count: Int((Int64(block) - size % Int64(block)) % Int64(block)))
    }

    /// The end of an archive: two empty blocks.
    static var end: [UInt8] { [UInt8](repeating: 0, count: 2 * block) }

    private static func fits(_ name: [UInt8]) -> Bool { name.count <= 100 && name.allSatisfy { $0 < 0x80 } }

    /// `25 path=…` and a line feed, where the number counts itself too.
    private static func record(_ key: String, _ value: [UInt8]) -> [UInt8] {
        let rest = key.utf8.count + value.count + 3
        var length = rest + "\(rest)".utf8.count
        if rest + "\(length)".utf8.count != length { length = rest + "\(length)".utf8.count }
        return Array("\(length) \(key)=".utf8) + value + [0x0A]
    }

    private static func ustar(_ fields: Fields, type: UInt8) -> [UInt8] {
        var header = [UInt8](repeating: 0, count: block)
        // Blanks stand for the sum itself.
        var sum = 8 * 0x20
        header.withUnsafeMutableBytes { header in
            func put(_ bytes: some Collection<UInt8>, at offset: Int) {
                var next = offset
                for byte in bytes {
                    header[next] = byte
                    sum += Int(byte)
                    next += 1
                }
            }
            func put(_ value: Int64, digits: Int, at offset: Int) {
                let text = String(value, radix: 8)
                put("\(String(repeating: "0", count: max(0, digits - text.utf8.count)))\(text)".utf8, at: offset)
            }
            put(fields.path.prefix(100), at: 0)
            put(Int64(fields.mode & 0o7777), digits: 7, at: 100)
            put(Int64(fields.user > 0o7_777_777 ? 0 : fields.user), digits: 7, at: 108)
            put(Int64(fields.group > 0o7_777_777 ? 0 : fields.group), digits: 7, at: 116)
            put(fields.size > largestOctal ? 0 : fields.size, digits: 11, at: 124)
            put(0, digits: 11, at: 136)
            put([type], at: 156)
            put(fields.target.prefix(100), at: 157)
            put("ustar\0".utf8, at: 257)
            put("00".utf8, at: 263)
            let digits = String(sum, radix: 8)
            put("\(String(repeating: "0", count: 6 - digits.utf8.count))\(digits)\0 ".utf8, at: 148)
        }
        return header
    }
}
