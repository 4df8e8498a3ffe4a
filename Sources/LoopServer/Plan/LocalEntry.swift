internal import Glibc
internal import Watcher

/// What a local path is, as far as it matters in a container.
struct LocalEntry: Equatable, Sendable {
    enum Kind: Equatable, Sendable {
        case file(size: Int64)
        case folder
        case link(target: [UInt8])
    }

    let kind: Kind
    /// Permission bits.
    let mode: UInt32
    /// Nanoseconds since 1970.
    let modified: Int64
    /// Inode and change time: as long as these stay, so did the content.
    private(set) var identity: Identity

    struct Identity: Equatable, Sendable {
        /// Of what never changes by its name, whatever happens to its inode.
        static let none = Identity(inode: 0, changed: 0, isShared: false)

        let inode: UInt64
        /// Nanoseconds since 1970.
        let changed: Int64
        /// Whether a regular file has other names, by which it can change as well.
        let isShared: Bool
    }

    /// Sockets, pipes and devices are nothing that travels.
    init?(_ status: stat, target: @autoclosure () -> [UInt8]?) {
        switch status.st_mode & S_IFMT {
        case S_IFREG: kind = .file(size: Int64(status.st_size))
        case S_IFDIR: kind = .folder
        case S_IFLNK:
            guard let target = target() else { return nil }
            kind = .link(target: target)
        default: return nil
        }
        mode = status.st_mode & 0o7777
        modified = nanoseconds(status.st_mtim)
        identity = Identity(
            inode: UInt64(status.st_ino), changed: nanoseconds(status.st_ctim),
            isShared: status.st_mode & S_IFMT == S_IFREG && status.st_nlink > 1)
    }

    /// A symbolic link that is nowhere on this disk.
    init(linkTo target: String) {
        kind = .link(target: Array(target.utf8))
        mode = 0o777
        modified = 0
        identity = .none
    }

    /// The same of a file in Nix's store: its content is what its name says, but `nix store optimise` makes it share an
    /// inode with others at any time.
    var inStore: LocalEntry {
        var entry = self
        entry.identity = .none
        return entry
    }

    /// What a walk found; `nil` for what does not travel.
    init?(_ found: TreeEntry) {
        switch found.kind {
        case .file: kind = .file(size: found.size)
        case .directory: kind = .folder
        case .link: kind = .link(target: found.target ?? [])
        case .other: return nil
        }
        mode = UInt32(found.mode)
        modified = found.modified
        identity = Identity(
            inode: found.inode, changed: found.changed, isShared: found.kind == .file && found.links > 1)
    }

    var isFolder: Bool { kind == .folder }

    /// Whether a write after `moment` (nanoseconds since 1970) would have shown in the change time.
    ///
    /// Kernels before 6.13 stamp files by a clock that ticks every 1 to 10 ms: two writes in one tick look the same.
    func isSettled(at moment: Int64) -> Bool { moment - identity.changed >= 20_000_000 }

    /// Whether both are regular files with the same bytes as far as the disk's bookkeeping says.
    func hasContent(of other: LocalEntry) -> Bool {
        guard case .file = kind else { return kind == other.kind }
        return kind == other.kind && modified == other.modified
            && (identity == other.identity || identity == .none || other.identity == .none)
    }
}

/// A timestamp of the kernel as one number.
func nanoseconds(_ time: timespec) -> Int64 { Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec) }

/// The project's folder as the engine reads it.
struct LocalTree: Sendable {
    /// The absolute path of the project's folder.
    let root: String

    /// The absolute path of something below, as bytes for the kernel, with its terminating zero.
    func systemPath(_ path: RelativePath) -> [CChar] {
        let joined = path.isRoot ? Array(root.utf8) : Array(root.utf8) + [UInt8(ascii: "/")] + path.bytes
        return joined.map { CChar(bitPattern: $0) } + [0]
    }

    /// What is there now; `nil` when there is nothing, or nothing that travels.
    func entry(_ path: RelativePath) -> LocalEntry? {
        let name = systemPath(path)
        var status = stat()
        guard lstat(name, &status) == 0 else { return nil }
        return LocalEntry(status, target: LocalTree.target(name))
    }

    /// Visits something and all that is below it, a folder before what is in it; ignored or not.
    func walk(_ start: RelativePath, visit: (RelativePath, LocalEntry) -> Void) {
        guard let entry = entry(start) else { return }
        visit(start, entry)
        guard entry.isFolder, let folder = opendir(systemPath(start)) else { return }
        defer { closedir(folder) }
        while let found = readdir(folder) {
            let name = withUnsafePointer(to: &found.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: UInt8.self, capacity: 256) { name in
                    Array(
                        UnsafeBufferPointer(
                            start: name, count: strlen(UnsafeRawPointer(name).assumingMemoryBound(to: CChar.self))))
                }
            }
            if name == [46] || name == [46, 46] { continue }
            walk(start.appending(name), visit: visit)
        }
    }

    /// Whether nothing that travels is at a path any more.
    ///
    /// A folder that cannot be read, or a disk that does not answer, hides what is there: that is not gone; nor is
    /// anything gone while the project's folder itself is not there. A link in
    /// place of a folder on the way is followed by the kernel, but never by a scan: what was below is gone.
    func isGone(_ path: RelativePath) -> Bool {
        var here = RelativePath.root
        for name in path.components {
            here = here.appending(name)
            var status = stat()
            guard lstat(systemPath(here), &status) == 0 else {
                return (errno == ENOENT || errno == ENOTDIR) && isThere
            }
            if here != path, status.st_mode & S_IFMT != S_IFDIR { return true }
        }
        return entry(path) == nil
    }

    private var isThere: Bool {
        var status = stat()
        return stat(systemPath(.root), &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func target(_ name: [CChar]) -> [UInt8]? {
        let target = [UInt8](unsafeUninitializedCapacity: Int(PATH_MAX)) { buffer, used in
            used = buffer.withMemoryRebound(to: CChar.self) { buffer in
                buffer.baseAddress.map { max(0, readlink(name, $0, buffer.count)) } ?? 0
            }
        }
        return target.isEmpty ? nil : target
    }
}
