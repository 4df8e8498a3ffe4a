internal import Glibc

/// An open folder: one descriptor, closed when the value ends.
struct Folder: ~Copyable {
    private let stream: OpaquePointer
    /// Valid while this value lives.
    let descriptor: Int32

    /// Opens a folder; `followLinks` concerns the last component only.
    ///
    /// Throws the `errno` value: `ENOTDIR` or `ELOOP` for what is no folder.
    init(_ path: [UInt8], followLinks: Bool) throws(OpenFailure) {
        let flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (followLinks ? 0 : O_NOFOLLOW)
        let opened = path.withCString { open($0, flags) }
        guard opened >= 0 else { throw OpenFailure(code: errno) }
        guard let stream = fdopendir(opened) else {
            let code = errno
            close(opened)
            throw OpenFailure(code: code)
        }
        self.stream = stream
        descriptor = opened
    }

    deinit {
        closedir(stream)
    }

    /// Calls `body` with each entry's name and type, `.` and `..` excepted.
    ///
    /// Returns 0, or the `errno` value that ended it.
    func list(_ body: (UnsafeBufferPointer<UInt8>, EntryKind) -> Void) -> Int32 {
        guard let nameOffset = MemoryLayout<dirent>.offset(of: \.d_name) else { return EINVAL }
        while true {
            errno = 0
            guard let entry = readdir(stream) else { return errno }
            // The name is read where it lies: the record ends with it, so a copy of the struct would read beyond it.
            let start = UnsafeRawPointer(entry).advanced(by: nameOffset).assumingMemoryBound(to: UInt8.self)
            let length = strlen(UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self))
            let name = UnsafeBufferPointer(start: start, count: length)
            if name[0] == UInt8(ascii: "."), length == 1 || (length == 2 && name[1] == UInt8(ascii: ".")) { continue }
            body(name, kind(entry.pointee.d_type, start))
        }
    }

    /// Some file systems leave the type out of the listing.
    private func kind(_ type: UInt8, _ name: UnsafePointer<UInt8>) -> EntryKind {
        switch Int(type) {
        case Int(DT_DIR): return .directory
        case Int(DT_REG): return .file
        case Int(DT_LNK): return .link
        case Int(DT_UNKNOWN):
            var status = stat()
            let path = UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self)
            guard fstatat(descriptor, path, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return .other }
            return EntryKind(mode: status.st_mode)
        default: return .other
        }
    }
}

/// Why a folder could not be opened: an `errno` value.
struct OpenFailure: Error {
    let code: Int32

    /// Whether the folder is simply not there any more, which is no fault but a race with whoever removed it.
    var isGone: Bool { code == ENOENT || code == ENOTDIR || code == ELOOP }
}

extension EntryKind {
    init(mode: mode_t) {
        switch mode & S_IFMT {
        case S_IFREG: self = .file
        case S_IFDIR: self = .directory
        case S_IFLNK: self = .link
        default: self = .other
        }
    }
}
