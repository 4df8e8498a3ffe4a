package import Glibc
internal import Reactor

/// Files on the host, by paths that need not be UTF-8.
package enum Disk {
    package static func read(_ path: String) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { throw SystemError.last("open \(path)") }
        defer { close(file) }
        var about = stat()
        fstat(file, &about)
        var bytes = [UInt8](repeating: 0, count: Int(about.st_size))
        var done = 0
        while true {
            if done == bytes.count { bytes += [UInt8](repeating: 0, count: 65536) }
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(file, $0.baseAddress?.advanced(by: done), $0.count - done)
            }
            guard got >= 0 else { throw SystemError.last("read \(path)") }
            guard got > 0 else { break }
            done += got
        }
        return Array(bytes.prefix(done))
    }

    /// Writes a file, making its folders; an existing one is written in place.
    package static func write(_ path: [UInt8], _ bytes: [UInt8], mode: mode_t = 0o644) throws {
        if let cut = path.lastIndex(of: 0x2F) { try folder(Array(path[..<cut])) }
        let file = withCString(path) { open($0, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode) }
        guard file >= 0 else { throw SystemError.last("create \(String(decoding: path, as: UTF8.self))") }
        do {
            defer { close(file) }
            var done = 0
            while done < bytes.count {
                let sent = bytes.withUnsafeBytes {
                    Glibc.write(file, $0.baseAddress?.advanced(by: done), $0.count - done)
                }
                guard sent >= 0 else { throw SystemError.last("write \(String(decoding: path, as: UTF8.self))") }
                done += sent
            }
            fchmod(file, mode)
        }
        if mode & 0o111 != 0 { untilNobodyWrites(path) }
    }

    /// Waits until nobody has a program open for writing, at most a minute.
    ///
    /// A child that another test starts just then holds the descriptor that wrote it from its fork to its exec, and until
    /// that has passed running the program fails with `ETXTBSY`. A lease for reading is given only when there is no writer;
    /// where a file system has no leases nothing is waited for.
    package static func untilNobodyWrites(_ path: [UInt8]) {
        let (setSignal, setLease): (Int32, Int32) = (10, 1024)
        let file = withCString(path) { open($0, O_RDONLY | O_CLOEXEC) }
        guard file >= 0 else { return }
        // Who comes to write while this has the lease causes a signal, and that of its own would end the tests.
        _ = fcntl(file, setSignal, SIGURG)
        for _ in 0..<60_000 {
            guard fcntl(file, setLease, Int32(F_RDLCK)) != 0, errno == EAGAIN else { break }
            usleep(1000)
        }
        // The lease goes with its descriptor.
        close(file)
    }

    /// Makes a folder and those above it.
    package static func folder(_ path: [UInt8]) throws {
        for index in path.indices where index > 0 && (path[index] == 0x2F || index == path.count - 1) {
            let part = path[index] == 0x2F ? Array(path[..<index]) : path
            guard withCString(part, { mkdir($0, 0o755) }) == 0 || errno == EEXIST else {
                throw SystemError.last("mkdir \(String(decoding: part, as: UTF8.self))")
            }
        }
    }

    package static func link(_ target: String, at path: String) throws {
        guard symlink(target, path) == 0 else { throw SystemError.last("symlink \(path)") }
    }

    package static func rename(_ path: String, to other: String) throws {
        guard Glibc.rename(path, other) == 0 else { throw SystemError.last("rename \(path)") }
    }

    package static func mode(_ path: String, _ mode: mode_t) throws {
        guard chmod(path, mode) == 0 else { throw SystemError.last("chmod \(path)") }
    }

    /// Removes a file, a link, or a folder with everything in it; nothing is fine, too.
    package static func remove(_ path: String) { remove(Array(path.utf8)) }

    private static func remove(_ path: [UInt8]) {
        guard withCString(path, { unlink($0) }) != 0, errno == EISDIR || errno == EPERM else { return }
        guard let folder = withCString(path, { opendir($0) }) else { return }
        var names: [[UInt8]] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { Array($0.prefix { $0 != 0 }) }
            if name != [0x2E], name != [0x2E, 0x2E] { names.append(name) }
        }
        closedir(folder)
        for name in names { remove(path + [0x2F] + name) }
        _ = withCString(path) { rmdir($0) }
    }

    private static func withCString<Result>(_ path: [UInt8], _ body: (UnsafePointer<CChar>) -> Result) -> Result {
        (path + [0]).withUnsafeBufferPointer { buffer in
            buffer.withMemoryRebound(to: CChar.self) { pointer in
                // Never empty: it ends with a zero.
                pointer.baseAddress.map(body) ?? "".withCString(body)
            }
        }
    }
}
