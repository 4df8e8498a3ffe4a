import CAgent

/// Calls `body` for every child of this process, adopted orphans included, as `/proc` lists them.
func forEachChild(_ body: (pid_t) -> Void) {
    let folder = cagent_open(-1, "/proc", CAGENT_READ | CAGENT_DIRECTORY, 0)
    guard folder >= 0 else { return }
    defer { close(folder) }
    let own = getpid()
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = cagent_read_folder(folder, &buffer, buffer.count)
        guard count > 0 else { return }
        var record = 0
        while record < count {
            // struct linux_dirent64: inode (8), offset (8), length (2), type (1), name.
            let length = Int(buffer[record + 16]) | Int(buffer[record + 17]) << 8
            if let pid = number(in: buffer, at: record + 19), parent(of: pid, in: folder) == own { body(pid) }
            record += length
        }
    }
}

/// A null-terminated decimal number, or `nil` for any other name.
private func number(in bytes: [UInt8], at start: Int) -> pid_t? {
    var value: pid_t = 0
    var index = start
    while bytes[index] != 0 {
        guard bytes[index] >= 48, bytes[index] <= 57, value < 100_000_000 else { return nil }
        value = value * 10 + pid_t(bytes[index] - 48)
        index += 1
    }
    return value
}

/// The fourth field of `/proc/<pid>/stat`.
///
/// The second is the program's name in parentheses, which may hold anything.
private func parent(of pid: pid_t, in folder: Int32) -> pid_t? {
    var digits: [UInt8] = []
    var rest = pid
    while rest > 0 {
        digits.append(48 + UInt8(rest % 10))
        rest /= 10
    }
    var path: [CChar] = []
    for digit in digits.reversed() { path.append(CChar(digit)) }
    for byte: UInt8 in [47, 115, 116, 97, 116, 0] { path.append(CChar(byte)) }
    let file = cagent_open(folder, path, CAGENT_READ, 0)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var text = [UInt8](repeating: 0, count: 512)
    let count = read(file, &text, text.count - 1)
    guard count > 0, let name = text[..<count].lastIndex(of: 41), name + 4 < count else { return nil }
    var value: pid_t = 0
    var index = name + 4
    while index < count, text[index] >= 48, text[index] <= 57 {
        value = value &* 10 &+ pid_t(text[index] - 48)
        index += 1
    }
    return value
}
