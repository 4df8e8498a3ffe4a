internal import Glibc
internal import Reactor

/// Files that are read whole.
enum SmallFile {
    /// The bytes of a regular file; throws `SystemError`, with `EFBIG` for one that has more than `limit`.
    static func read(_ path: String, limit: Int) throws -> [UInt8] {
        let raw = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard raw >= 0 else { throw SystemError.last("read \(path)") }
        defer { close(raw) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let got = Glibc.read(raw, &buffer, buffer.count)
            if got < 0, errno == EINTR { continue }
            guard got >= 0 else { throw SystemError.last("read \(path)") }
            if got == 0 { return bytes }
            bytes += buffer[..<got]
            guard bytes.count <= limit else { throw SystemError(code: EFBIG, attempt: "read \(path)") }
        }
    }

    /// The text of one of the kernel's files, such as those in `/proc`; `nil` where it cannot be read.
    static func text(_ path: String) -> String? {
        (try? read(path, limit: 64 << 10)).map { String(decoding: $0, as: UTF8.self) }
    }
}
