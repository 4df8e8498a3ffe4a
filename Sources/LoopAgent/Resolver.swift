import CAgent

/// Finds what a path means without ever leaving its root, whatever links lie on the way.
///
/// `openat2` does it in the kernel; where that is missing (before Linux 5.6) or forbidden (seccomp answers EPERM or
/// ENOSYS), the path is walked by descriptor, one name at a time, and links are followed by hand under the same rules.
struct Resolver {
    enum Scope {
        /// Absolute links and `..` end at the root, as after `chroot`.
        case inRoot
        /// Leaving the root is an error (EXDEV).
        case beneath
    }

    private let kernel: Bool

    init(walkOnly: Bool) {
        var available = false
        if !walkOnly {
            let probe = cagent_open_within(-100, ".", CAGENT_HANDLE | CAGENT_DIRECTORY, CAGENT_IN_ROOT)
            available = probe >= 0
            if probe >= 0 { close(probe) }
        }
        kernel = available
    }

    /// A handle (`O_PATH`) on what `path` means; an empty path is the root itself.
    func resolve(_ path: Bytes, _ scope: Scope, of root: Int32) throws(SystemFailure) -> Descriptor {
        guard !path.contains(0) else { throw SystemFailure(EINVAL, "a path with a zero byte") }
        guard kernel else { return try walk(path, scope, root) }
        let flag = scope == .beneath ? CAGENT_BENEATH : CAGENT_IN_ROOT
        let name = path.isEmpty ? Bytes(".") : path
        return try Descriptor(name.withCString { cagent_open_within(root, $0, CAGENT_HANDLE, flag) })
    }

    private func walk(_ path: Bytes, _ scope: Scope, _ root: Int32) throws(SystemFailure) -> Descriptor {
        var trail = Trail(root)
        if scope == .beneath, path.first == UInt8(ascii: "/") { throw SystemFailure(code: EXDEV) }
        var rest = names(path)
        var links = 0
        while let name = rest.popLast() {
            if name == [46, 46] {
                guard trail.leave() || scope == .inRoot else { throw SystemFailure(code: EXDEV) }
                continue
            }
            let next = try Descriptor(
                name.withCString { cagent_open(trail.top, $0, CAGENT_HANDLE | CAGENT_NOFOLLOW, 0) })
            guard try status(next.raw).isLink else {
                trail.enter(next.release())
                continue
            }
            links += 1
            guard links <= 40 else { throw SystemFailure(code: ELOOP) }
            let target = try readLink(next.raw)
            if target.first == UInt8(ascii: "/") {
                guard scope == .inRoot else { throw SystemFailure(code: EXDEV) }
                while trail.leave() {}
            }
            rest += names(target)
        }
        return try trail.end()
    }

    /// The names of a path, last one first.
    private func names(_ path: Bytes) -> [Bytes] {
        path.split(separator: UInt8(ascii: "/")).map { Array($0) }.filter { $0 != [46] }.reversed()
    }
}

/// The folders from the root to where a walk is, all open, so that `..` needs no second look at the disk.
private struct Trail: ~Copyable {
    private let root: Int32
    private var folders: [Int32] = []

    init(_ root: Int32) {
        self.root = root
    }

    var top: Int32 { folders.last ?? root }

    mutating func enter(_ folder: Int32) { folders.append(folder) }

    /// False at the root.
    mutating func leave() -> Bool {
        guard let last = folders.popLast() else { return false }
        close(last)
        return true
    }

    /// The last folder, as the caller's.
    mutating func end() throws(SystemFailure) -> Descriptor {
        if let last = folders.popLast() { return try Descriptor(last) }
        return try Descriptor(cagent_open(root, ".", CAGENT_HANDLE | CAGENT_DIRECTORY, 0))
    }

    deinit {
        for folder in folders { close(folder) }
    }
}
