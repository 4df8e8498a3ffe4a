internal import Glibc

/// One inotify instance: adds and removes watches, and reads what the kernel has to say.
final class Inotify: Sendable {
    let descriptor: Int32

    /// What is asked of every folder.
    ///
    /// `IN_EXCL_UNLINK` ends the news about files that are deleted and still open.
    static let folderMask =
        UInt32(
            IN_CREATE | IN_DELETE | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_MOVED_FROM | IN_MOVED_TO | IN_ONLYDIR)
        | UInt32(IN_EXCL_UNLINK)
    /// What is asked of the root's folder in addition, and of the folders above it: whether they go away.
    static let selfMask = UInt32(IN_DELETE_SELF | IN_MOVE_SELF)

    init() throws(WatchError) {
        descriptor = inotify_init1(Int32(IN_CLOEXEC) | Int32(IN_NONBLOCK))
        guard descriptor >= 0 else {
            let code = errno
            if code == EMFILE, let limit = Self.instanceLimit() { throw .limit(limit) }
            throw .system(attempt: "inotify_init1", code: code)
        }
    }

    deinit {
        close(descriptor)
    }

    /// Watches an open folder, whatever its path has become meanwhile and however long it is.
    ///
    /// Returns the watch descriptor; the same one again for a folder that is watched already.
    func watch(_ folder: borrowing Folder, mask: UInt32 = folderMask) throws(OpenFailure) -> Int32 {
        // The descriptor's own entry is a link, so it has to be followed; the folder itself was opened without.
        try watch(Array("/proc/self/fd/\(folder.descriptor)".utf8), mask: mask)
    }

    /// Watches what `path` leads to.
    func watch(_ path: [UInt8], mask: UInt32) throws(OpenFailure) -> Int32 {
        let watch = path.withCString { inotify_add_watch(descriptor, $0, mask) }
        guard watch >= 0 else { throw OpenFailure(code: errno) }
        return watch
    }

    func unwatch(_ watch: Int32) {
        _ = inotify_rm_watch(descriptor, watch)
    }

    /// Reads what is there without waiting.
    ///
    /// Returns whether there was anything.
    func read(_ buffer: UnsafeMutableRawBufferPointer, _ body: (Record) -> Void) -> Bool {
        let count = Glibc.read(descriptor, buffer.baseAddress, buffer.count)
        guard count > 0 else { return false }
        Record.parse(UnsafeRawBufferPointer(rebasing: buffer[..<count]), body)
        return true
    }

    /// One event as the kernel writes it: 16 bytes and a name padded with zeros.
    struct Record {
        let watch: Int32
        let mask: UInt32
        let cookie: UInt32
        let name: ArraySlice<UInt8>

        func has(_ bits: Int32) -> Bool { mask & UInt32(bitPattern: bits) != 0 }
        var isDirectory: Bool { mask & UInt32(IN_ISDIR) != 0 }

        /// Splits a buffer into records; a cut-off record at the end is left out.
        static func parse(_ buffer: UnsafeRawBufferPointer, _ body: (Record) -> Void) {
            var offset = 0
            while offset + 16 <= buffer.count {
                let length = Int(buffer.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
                guard offset + 16 + length <= buffer.count else { return }
                let name = buffer[(offset + 16)..<(offset + 16 + length)].prefix { $0 != 0 }
                body(
                    Record(
                        watch: buffer.loadUnaligned(fromByteOffset: offset, as: Int32.self),
                        mask: buffer.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self),
                        cookie: buffer.loadUnaligned(fromByteOffset: offset + 8, as: UInt32.self),
                        name: Array(name)[...]))
                offset += 16 + length
            }
        }
    }

    /// The limit on instances, when it is that and not the process's own limit on descriptors.
    private static func instanceLimit() -> WatchLimit? {
        let probe = open("/dev/null", O_RDONLY | O_CLOEXEC)
        guard probe >= 0 else { return nil }
        close(probe)
        return WatchLimit(setting: "fs.inotify.max_user_instances", value: setting("max_user_instances"), needed: 1)
    }

    /// The limit on watches, and the need of it.
    ///
    /// A user namespace, such as a rootless container's, has a limit of its own beside the machine's: the lower one counts.
    static func watchLimit(needed: Int) -> WatchLimit {
        let machine = setting("max_user_watches")
        if let own = number(in: "/proc/sys/user/max_inotify_watches"), own < machine ?? 0 {
            return WatchLimit(setting: "user.max_inotify_watches", value: own, needed: needed)
        }
        return WatchLimit(setting: "fs.inotify.max_user_watches", value: machine, needed: needed)
    }

    /// The value of a setting in `/proc/sys/fs/inotify`.
    static func setting(_ name: String) -> Int? { number(in: "/proc/sys/fs/inotify/\(name)") }

    private static func number(in path: String) -> Int? {
        guard let text = contents(of: Array(path.utf8)) else { return nil }
        return Int(String(decoding: text.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }
}
