/// The helper as a tar archive of one folder and one file (POSIX ustar).
enum HelperArchive {
    /// Two zero blocks end it, and padding to tar's record of 10 KiB: a tar that reads whole records needs no end of file.
    static func tar(_ program: HelperProgram, path: String) -> [UInt8] {
        var archive = header(String(path.prefix { $0 != "/" }) + "/", size: 0, mode: 0o700, type: "5")
        archive += header(path, size: program.bytes.count, mode: 0o700, type: "0")
        archive += program.bytes
        let record = 20 * 512
        let end = archive.count + (512 - archive.count % 512) % 512 + 1024
        archive += [UInt8](repeating: 0, count: (end + record - 1) / record * record - archive.count)
        return archive
    }

    private static func header(_ name: String, size: Int, mode: Int, type: String) -> [UInt8] {
        var block = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            block.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func octal(_ number: Int, _ digits: Int) -> String {
            let text = String(number, radix: 8)
            return String(repeating: "0", count: max(0, digits - text.count)) + text
        }
        put(name, at: 0)
        put(octal(mode, 7), at: 100)
        put(octal(0, 7), at: 108)
        put(octal(0, 7), at: 116)
        put(octal(size, 11), at: 124)
        put(octal(0, 11), at: 136)
        put("        ", at: 148)
        put(type, at: 156)
        put("ustar", at: 257)
        put("00", at: 263)
        let sum = block.reduce(0) { $0 + Int($1) }
        put(octal(sum, 6), at: 148)
        block[154] = 0
        block[155] = 0x20
        return block
    }
}
