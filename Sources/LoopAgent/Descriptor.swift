import CAgent

/// One owner for one descriptor: closed when the value ends.
struct Descriptor: ~Copyable {
    private(set) var raw: Int32

    init(_ raw: Int32) throws(SystemFailure) {
        guard raw >= 0 else { throw .last() }
        self.raw = raw
    }

    /// Takes a descriptor that is known to be open.
    init(opened raw: Int32) {
        self.raw = raw
    }

    /// Gives the number away: the caller closes it from now on.
    consuming func release() -> Int32 {
        let number = raw
        raw = -1
        return number
    }

    deinit {
        if raw >= 0 { close(raw) }
    }
}

/// What lies under a name; a link is itself.
func status(_ folder: Int32, _ name: Bytes = []) throws(SystemFailure) -> cagent_status {
    var status = cagent_status()
    try checked(name.withCString { cagent_status_at(folder, $0, &status) })
    return status
}

extension cagent_status {
    var isFile: Bool { mode & 0o170000 == 0o100000 }
    var isFolder: Bool { mode & 0o170000 == 0o040000 }
    var isLink: Bool { mode & 0o170000 == 0o120000 }
    var permissions: UInt32 { mode & 0o7777 }
    var stamp: FileStamp { FileStamp(size: size, modified: modified, changed: changed, inode: inode) }
}

func readLink(_ folder: Int32, _ name: Bytes = []) throws(SystemFailure) -> Bytes {
    var buffer = [CChar](repeating: 0, count: 4096)
    let count = name.withCString { readlinkat(folder, $0, &buffer, buffer.count) }
    guard count >= 0 else { throw .last() }
    return buffer[..<count].map { UInt8(bitPattern: $0) }
}

/// Writes all of it; a full disk can show in the middle.
func writeAll(_ fd: Int32, _ bytes: Bytes, count: Int) throws(SystemFailure) {
    var offset = 0
    while offset < count {
        let written = bytes.withUnsafeBytes { write(fd, $0.baseAddress.map { $0 + offset }, count - offset) }
        if written < 0 {
            guard cagent_errno() == EINTR else { throw .last() }
        } else {
            offset += written
        }
    }
}
