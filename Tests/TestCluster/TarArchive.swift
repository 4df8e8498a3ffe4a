/// A tar file in memory (ustar), as image layers are.
struct TarArchive {
    private(set) var bytes: [UInt8] = []

    mutating func folder(_ name: String, mode: Int = 0o755, owner: Int = 0) {
        header(name + "/", type: "5", size: 0, mode: mode, owner: owner, target: "")
    }

    mutating func link(_ name: String, to target: String) {
        header(name, type: "2", size: 0, mode: 0o777, owner: 0, target: target)
    }

    mutating func file(_ name: String, _ content: [UInt8], mode: Int = 0o644) {
        header(name, type: "0", size: content.count, mode: mode, owner: 0, target: "")
        bytes += content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }

    /// The end: two empty blocks.
    mutating func end() { bytes += [UInt8](repeating: 0, count: 1024) }

    private mutating func header(_ name: String, type: String, size: Int, mode: Int, owner: Int, target: String) {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            for (index, byte) in text.utf8.enumerated() { block[offset + index] = byte }
        }
        func octal(_ value: Int, digits: Int) -> String {
            let text = String(value, radix: 8)
            return String(repeating: "0", count: digits - text.utf8.count) + text
        }
        put(name, at: 0)
        put(octal(mode, digits: 7), at: 100)
        put(octal(owner, digits: 7), at: 108)
        put(octal(owner, digits: 7), at: 116)
        put(octal(size, digits: 11), at: 124)
        put(octal(0, digits: 11), at: 136)
        put("        ", at: 148)
        put(type, at: 156)
        put(target, at: 157)
        put("ustar", at: 257)
        put("00", at: 263)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, digits: 6) + "\0 ", at: 148)
        bytes += block
    }
}
