/// Takes out of a static executable what does not run: symbols and debug information.
enum ElfStripping {
    /// The program up to the last byte that is loaded; `nil` where the file is no 64-bit little-endian ELF.
    ///
    /// Linkers put what is loaded first, so that cutting the end off is enough. The table of sections lies there, too: no
    /// loader needs it, and its header fields become zero.
    static func stripped(_ file: [UInt8]) -> [UInt8]? {
        guard file.count >= 64, file.starts(with: [0x7F, 0x45, 0x4C, 0x46, 2, 1]) else { return nil }
        let (table, size, count) = (number(file, 32, 8), number(file, 54, 2), number(file, 56, 2))
        guard size == 56, count > 0, table >= 64, table <= file.count - count * size else { return nil }
        var end = table + count * size
        for header in stride(from: table, to: table + count * size, by: size) {
            let (offset, length) = (number(file, header + 8, 8), number(file, header + 32, 8))
            guard offset >= 0, length >= 0, offset <= file.count, length <= file.count - offset else { return nil }
            end = max(end, offset + length)
        }
        var result = Array(file[..<end])
        // e_shoff, and e_shnum with e_shstrndx.
        for place in Array(40..<48) + Array(60..<64) { result[place] = 0 }
        return result
    }

    private static func number(_ file: [UInt8], _ place: Int, _ size: Int) -> Int {
        Int(truncatingIfNeeded: (0..<size).reduce(UInt64(0)) { $0 | UInt64(file[place + $1]) << (8 * UInt64($1)) })
    }
}
