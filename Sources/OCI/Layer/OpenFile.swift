internal import Glibc
internal import Reactor

/// A file that stays readable whatever happens to its name.
final class OpenFile: Sendable {
    private let descriptor: Int32
    let path: String

    /// Opens a file for reading.
    init(_ path: String) throws(SystemError) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        self.path = path
        guard descriptor >= 0 else { throw .last("open \(path)") }
    }

    /// A new file without a name, which is gone with this object.
    init(temporaryIn folder: String) throws(SystemError) {
        var name = Array("\(folder)/loopd-image-XXXXXX".utf8CString)
        descriptor = mkstemp(&name)
        path = "a temporary file in \(folder)"
        guard descriptor >= 0 else { throw .last("create \(path)") }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        _ = unlink(name)
    }

    deinit { close(descriptor) }

    /// Its size now, and whether it is an ordinary file.
    func status() throws(SystemError) -> (size: Int64, isRegular: Bool) {
        var about = stat()
        guard fstat(descriptor, &about) == 0 else { throw .last("stat \(path)") }
        return (Int64(about.st_size), about.st_mode & S_IFMT == S_IFREG)
    }

    /// Reads exactly `count` bytes; a file that ends before is an error.
    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
        try await offPool { try self.readNow(at: offset, count: count) }
    }

    /// Does the same, and blocks.
    func readNow(at offset: Int64, count: Int) throws -> [UInt8] {
        var failure: SystemError?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            while filled < count {
                let got = pread(
                    descriptor, buffer.baseAddress?.advanced(by: filled), count - filled, off_t(offset) + off_t(filled))
                if got > 0 {
                    filled += got
                } else if got == 0 || errno != EINTR {
                    failure =
                        got == 0
                        ? SystemError(code: EIO, attempt: "read \(path): it ends too early") : .last("read \(path)")
                    return
                }
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// Appends bytes, and blocks.
    func writeNow(_ bytes: [UInt8]) throws(SystemError) {
        try OpenFile.write(bytes, to: descriptor, path)
    }

    /// Writes all the bytes to a descriptor, and blocks.
    static func write(_ bytes: [UInt8], to descriptor: Int32, _ path: String) throws(SystemError) {
        var failure: SystemError?
        bytes.withUnsafeBytes { buffer in
            var done = 0
            while done < buffer.count {
                let sent = Glibc.write(descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done)
                if sent >= 0 {
                    done += sent
                } else if errno != EINTR {
                    failure = .last("write \(path)")
                    return
                }
            }
        }
        if let failure { throw failure }
    }
}
