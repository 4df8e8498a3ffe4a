internal import Glibc
internal import Reactor

/// The file operations that the node needs, on paths as the kernel takes them; every failure names its path.
enum Disk {
    static func read(_ path: String, limit: Int = 64 << 20) throws(SystemError) -> [UInt8] {
        let raw = open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw .last("open \(path)") }
        let file = OwnedDescriptor(raw)
        var bytes: [UInt8] = []
        while bytes.count < limit {
            var failure: Int32 = 0
            let chunk = [UInt8](unsafeUninitializedCapacity: min(65536, limit - bytes.count)) { buffer, count in
                let got = Glibc.read(file.raw, buffer.baseAddress, buffer.count)
                failure = got < 0 ? errno : 0
                count = max(0, got)
            }
            if failure == EINTR { continue }
            guard failure == 0 else { throw SystemError(code: failure, attempt: "read \(path)") }
            if chunk.isEmpty { break }
            bytes += chunk
        }
        return bytes
    }

    static func text(_ path: String) -> String? {
        (try? read(path)).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Writes beside the target and renames, so that a reader sees the old or the new content, never a part.
    static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) throws(SystemError) {
        // Two writers of one path, such as pushes of the same content, have drafts of their own.
        let draft = "\(path).\(Identifier.random(bytes: 4)).new"
        let raw = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard raw >= 0 else { throw .last("create \(draft)") }
        do {
            let file = OwnedDescriptor(raw)
            try write(bytes, to: file.raw, named: draft)
            // The umask took bits away at creation.
            guard fchmod(file.raw, mode) == 0 else { throw SystemError.last("chmod \(draft)") }
        }
        guard rename(draft, path) == 0 else { throw .last("rename \(draft)") }
    }

    static func write(_ bytes: [UInt8], to descriptor: Int32, named path: String) throws(SystemError) {
        var offset = 0
        while offset < bytes.count {
            let sent = bytes.withUnsafeBytes { buffer in
                Glibc.write(descriptor, buffer.baseAddress?.advanced(by: offset), buffer.count - offset)
            }
            if sent < 0, errno == EINTR { continue }
            guard sent >= 0 else { throw .last("write \(path)") }
            offset += sent
        }
    }

    /// Creates a directory and its missing parents; one that is there keeps its mode.
    static func makeDirectory(_ path: String, mode: mode_t = 0o755) throws(SystemError) {
        if mkdir(path, mode) == 0 {
            guard chmod(path, mode) == 0 else { throw .last("chmod \(path)") }
            return
        }
        switch errno {
        case EEXIST:
            guard kind(of: path) == .directory else { throw SystemError(code: ENOTDIR, attempt: "mkdir \(path)") }
        case ENOENT where parent(of: path) != path:
            try makeDirectory(parent(of: path))
            try makeDirectory(path, mode: mode)
        default: throw .last("mkdir \(path)")
        }
    }

    enum Kind { case missing, directory, file, link, socket, other }

    /// What is at the path; links are followed unless told otherwise.
    static func kind(of path: String, followingLinks: Bool = true) -> Kind {
        var status = stat()
        let result = followingLinks ? stat(path, &status) : lstat(path, &status)
        guard result == 0 else { return .missing }
        switch status.st_mode & S_IFMT {
        case S_IFDIR: return .directory
        case S_IFREG: return .file
        case S_IFLNK: return .link
        case S_IFSOCK: return .socket
        default: return .other
        }
    }

    static func exists(_ path: String) -> Bool { kind(of: path, followingLinks: false) != .missing }

    /// The names in a directory, sorted; none where it cannot be read.
    static func names(in path: String) -> [String] {
        guard let directory = opendir(path) else { return [] }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = Glibc.readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    /// Removes a file or a whole tree without following links.
    ///
    /// What cannot be removed stays.
    ///
    /// A directory that is a mount point stays, with everything that it shows: a forgotten mount must never cost the
    /// files behind it.
    static func removeTree(_ path: String) {
        var status = stat()
        guard lstat(path, &status) == 0 else { return }
        removeTree(path, on: status.st_dev)
    }

    private static func removeTree(_ path: String, on device: dev_t) {
        var status = stat()
        guard lstat(path, &status) == 0, status.st_dev == device else { return }
        if status.st_mode & S_IFMT == S_IFDIR {
            for name in names(in: path) { removeTree("\(path)/\(name)", on: device) }
            _ = rmdir(path)
        } else {
            _ = unlink(path)
        }
    }

    static func link(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 4096)
        let count = readlink(path, &buffer, buffer.count)
        return count < 0 ? nil : String(decoding: buffer.prefix(count).map(UInt8.init(bitPattern:)), as: UTF8.self)
    }

    /// The path with every link resolved; `nil` where something on the way is missing.
    static func resolved(_ path: String) -> String? {
        guard let real = realpath(path, nil) else { return nil }
        defer { free(real) }
        return String(cString: real)
    }

    static func parent(of path: String) -> String {
        guard let slash = path.lastIndex(of: "/") else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    static func name(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[path.index(after: $0)...]) } ?? path
    }

    /// Whether `path` is `folder` or lies below it, by the text of both.
    static func isInside(_ path: String, _ folder: String) -> Bool {
        folder == "/" || path == folder || path.hasPrefix(folder + "/")
    }
}
