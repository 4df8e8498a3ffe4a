internal import Glibc
internal import Reactor

/// A folder that only its owner can enter, for one socket or what a session needs for a while; removed at the end.
///
/// A lock in it is held as long as its process lives. What a killed loopd has left behind has no holder, and goes when the
/// next one makes its folder.
final class SocketDirectory: Sendable {
    private static let prefix = "loopd-"

    let path: String
    private let lock: OwnedDescriptor
    var socket: String { "\(path)/kube.sock" }

    private init(path: String, lock: consuming OwnedDescriptor) {
        self.path = path
        self.lock = lock
    }

    /// Makes the folder in the first of `parents` that can hold it: a socket's path has at most 107 bytes.
    static func create(in parents: [String] = standardParents) throws -> SocketDirectory {
        var failure = SystemError(code: ENOENT, attempt: "make a folder for a socket")
        for parent in parents {
            let template = Array("\(parent)/\(prefix)XXXXXX".utf8CString)
            guard template.count + "/kube.sock".utf8.count <= 108 else {
                failure = SystemError(code: ENAMETOOLONG, attempt: "make a folder for a socket in \(parent)")
                continue
            }
            sweep(parent)
            failure = SystemError(code: EAGAIN, attempt: "make a folder for a socket in \(parent)")
            // Another loopd that starts may take a folder without its lock for a killed one's, and remove it: then a new one.
            for _ in 0..<20 where failure.code == EAGAIN {
                var name = template
                // mkdtemp makes it with mode 0700.
                guard name.withUnsafeMutableBufferPointer({ $0.baseAddress.map { mkdtemp($0) != nil } }) == true else {
                    failure = .last("make a folder for a socket in \(parent)")
                    break
                }
                let path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
                if let made = locked(path, creating: true) { return made }
                let code = errno
                if code != EWOULDBLOCK, code != ENOENT { failure = .last("make a folder for a socket in \(parent)") }
                remove(path)
            }
        }
        throw failure
    }

    static var standardParents: [String] {
        let runtime = getenv("XDG_RUNTIME_DIR").map { [String(cString: $0)] } ?? []
        return runtime.filter { !$0.isEmpty } + ["/tmp"]
    }

    /// Removes the folder with all that is in it.
    ///
    /// While something else still writes there it may stay; the next loopd then finds it by its lock, and removes it.
    func remove() {
        let lock = Array("lock".utf8CString)
        chmod(path, 0o700)
        for name in SocketDirectory.entries(of: Array(path.utf8CString)) where name != lock {
            SocketDirectory.remove(name, in: Array(path.utf8CString))
        }
        // Last: without it nobody would know that the folder may go.
        unlink(SocketDirectory.lockFile(path))
        guard rmdir(path) != 0, errno == ENOTEMPTY else { return }
        Glibc.close(open(SocketDirectory.lockFile(path), O_CREAT | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0o600))
    }

    /// Removes a folder with all that is in it.
    static func remove(_ path: String) { remove(Array(path.utf8CString)) }

    private static func remove(_ path: [CChar]) {
        // Programs put files there, too: into folders that are read-only, with names that are no text.
        chmod(path, 0o700)
        for name in entries(of: path) { remove(name, in: path) }
        rmdir(path)
    }

    private static func remove(_ name: [CChar], in folder: [CChar]) {
        let path = folder.dropLast() + [CChar(UInt8(ascii: "/"))] + name
        var about = stat()
        // Never into what a link leads to.
        if unlink(path) != 0, lstat(path, &about) == 0, about.st_mode & S_IFMT == S_IFDIR { remove(path) }
    }

    /// The names in a folder.
    static func names(in path: String) -> [String] {
        entries(of: Array(path.utf8CString)).map { name in
            String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// The names in a folder, each with a zero at its end.
    private static func entries(of path: [CChar]) -> [[CChar]] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [[CChar]] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                bytes.prefix { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
            }
            let dot = CChar(UInt8(ascii: "."))
            if name != [dot, 0], name != [dot, dot, 0] { names.append(name) }
        }
        return names
    }

    private static func lockFile(_ path: String) -> String { "\(path)/lock" }

    /// The folder with its lock held, or `nil` where another process holds it or there is none.
    private static func locked(_ path: String, creating: Bool) -> SocketDirectory? {
        let flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (creating ? O_CREAT | O_EXCL : 0)
        let raw = open(lockFile(path), flags, 0o600)
        guard raw >= 0 else { return nil }
        let lock = OwnedDescriptor(raw)
        // The kernel lets go of it whatever the process dies of; children do not inherit it.
        guard flock(lock.raw, LOCK_EX | LOCK_NB) == 0 else { return nil }
        var about = stat()
        guard fstat(lock.raw, &about) == 0, about.st_nlink > 0 else {
            // Removed before the lock was ours.
            errno = ENOENT
            return nil
        }
        return SocketDirectory(path: path, lock: lock)
    }

    /// Removes folders of this user whose process is gone.
    private static func sweep(_ parent: String) {
        for name in names(in: parent) where name.hasPrefix(prefix) && name.utf8.count == prefix.utf8.count + 6 {
            let path = "\(parent)/\(name)"
            var about = stat()
            // A folder of somebody else's may be a trap, and is not ours to remove.
            guard lstat(path, &about) == 0, about.st_mode & S_IFMT == S_IFDIR, about.st_uid == geteuid() else {
                continue
            }
            locked(path, creating: false)?.remove()
        }
    }
}
