internal import Glibc

/// What a file system entry is.
public enum EntryKind: UInt8, Sendable {
    /// A regular file.
    case file
    /// A folder.
    case directory
    /// A symbolic link, which is never followed.
    case link
    /// A device, pipe or socket.
    case other
}

/// One entry of a tree, as `lstat` shows it.
public struct TreeEntry: Sendable, Equatable {
    /// Where it is.
    public var path: RelativePath
    /// What it is.
    public var kind: EntryKind
    /// The permission bits, `mode & 0o7777`.
    public var mode: UInt16
    /// The size in bytes.
    public var size: Int64
    /// The time of the last write in nanoseconds since 1970.
    public var modified: Int64
    /// The time of the last change of anything, owner and mode included, in nanoseconds since 1970.
    public var changed: Int64
    /// The inode's number.
    public var inode: UInt64
    /// How many names it has.
    public var links: UInt64
    /// What a symbolic link holds; nil for all else.
    public var target: [UInt8]?
}

/// A walk over a tree that leaves out what is ignored.
///
/// It keeps nothing but the folders that are still to be entered: whoever needs a table of the tree builds the one that
/// fits. It is a set of single looks, not a snapshot: what changes meanwhile is seen before, after, or not at all.
public enum TreeScan {
    /// Walks the subtree at `place` and hands each entry, `place` itself included unless it is the root, to `visit`: a
    /// folder before what is in it, else in the file system's order.
    ///
    /// When `visit` returns false for a folder, the walk does not enter it. Ignore files at and below the root are read
    /// afresh. Nothing is visited when `place` is ignored or not there. Returns the folders that could not be read.
    @discardableResult
    public static func walk(
        at place: RelativePath = .root, rules: IgnoreRules, visit: (TreeEntry) -> Bool
    ) -> [UnreadableFolder] {
        var waiting: [(folder: RelativePath, outer: IgnoreRules.Scope?)] = []
        if let parent = place.parent {
            guard let scope = rules.scope(within: parent), let top = entry(at: place, rules: rules),
                !rules.isIgnored(place, isDirectory: top.kind == .directory, in: scope), visit(top),
                top.kind == .directory
            else { return [] }
            waiting.append((place, scope))
        } else {
            waiting.append((.root, nil))
        }
        var unreadable: [UnreadableFolder] = []
        while let (folder, outer) = waiting.popLast() {
            let scope = outer.map { rules.scope(entering: folder, from: $0) } ?? rules.rootScope()
            let code = list(folder, rules) { entry in
                guard !rules.isIgnored(entry.path, isDirectory: entry.kind == .directory, in: scope) else { return }
                if visit(entry), entry.kind == .directory { waiting.append((entry.path, scope)) }
            }
            if let code { unreadable.append(UnreadableFolder(path: folder, code: code)) }
        }
        return unreadable
    }

    /// Looks at single paths, such as those of a change set, and hands each to `visit` with what is there now: nil when
    /// nothing is, or something that is ignored as what it is now, such as a folder where a file was.
    public static func look(
        at paths: some Sequence<RelativePath>, rules: IgnoreRules, visit: (RelativePath, TreeEntry?) -> Void
    ) {
        // A storm's paths share few folders: each folder's ignore files are read once.
        var scopes: [RelativePath: IgnoreRules.Scope?] = [:]
        for path in paths {
            guard let folder = path.parent else { continue }
            let scope = scopes[folder] ?? rules.scope(within: folder)
            scopes[folder] = .some(scope)
            guard let scope, let found = entry(at: path, rules: rules),
                !rules.isIgnored(path, isDirectory: found.kind == .directory, in: scope)
            else {
                visit(path, nil)
                continue
            }
            visit(path, found)
        }
    }

    /// The single entry at `path`, ignored or not; nil when nothing is there.
    public static func entry(at path: RelativePath, rules: IgnoreRules) -> TreeEntry? {
        let absolute = path.isRoot ? rules.root : rules.root + [slash] + path.bytes
        return absolute.withCString { entry(AT_FDCWD, $0, path) }
    }

    /// Returns the `errno` value when the folder is there and cannot be read.
    private static func list(_ folder: RelativePath, _ rules: IgnoreRules, _ body: (TreeEntry) -> Void) -> Int32? {
        let absolute = folder.isRoot ? rules.root : rules.root + [slash] + folder.bytes
        do throws(OpenFailure) {
            let open = try Folder(absolute, followLinks: folder.isRoot)
            let code = open.list { name, _ in
                guard let start = name.baseAddress else { return }
                let path = UnsafeRawPointer(start).assumingMemoryBound(to: CChar.self)
                if let entry = entry(open.descriptor, path, folder.appending(name)) { body(entry) }
            }
            return code == 0 ? nil : code
        } catch {
            return error.isGone ? nil : error.code
        }
    }

    private static func entry(_ folder: Int32, _ name: UnsafePointer<CChar>, _ path: RelativePath) -> TreeEntry? {
        var status = stat()
        guard fstatat(folder, name, &status, AT_SYMLINK_NOFOLLOW) == 0 else { return nil }
        let kind = EntryKind(mode: status.st_mode)
        return TreeEntry(
            path: path, kind: kind, mode: UInt16(status.st_mode & 0o7777), size: Int64(status.st_size),
            modified: status.st_mtim.nanoseconds, changed: status.st_ctim.nanoseconds, inode: UInt64(status.st_ino),
            links: UInt64(status.st_nlink),
            target: kind == .link ? target(folder, name) : nil)
    }

    private static func target(_ folder: Int32, _ name: UnsafePointer<CChar>) -> [UInt8]? {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(PATH_MAX)) { buffer in
            guard let start = buffer.baseAddress else { return nil }
            let count = readlinkat(folder, name, start, buffer.count)
            return count < 0 ? nil : buffer[..<count].map { UInt8(bitPattern: $0) }
        }
    }
}

extension timespec {
    fileprivate var nanoseconds: Int64 { Int64(tv_sec) * 1_000_000_000 + Int64(tv_nsec) }
}
