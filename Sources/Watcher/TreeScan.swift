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
    /// The inode's number.
    public var inode: UInt64
    /// What a symbolic link holds; nil for all else.
    public var target: [UInt8]?
}

/// A walk over a tree that leaves out what is ignored.
public struct TreeScan: Sendable {
    /// Walks the subtree at `place` and hands each entry to `visit`, a folder before what is in it. When `visit` returns
    /// false for a folder, the walk does not enter it. The order is otherwise the file system's. Ignore files are read
    /// afresh on the way. Returns the folders that could not be read.
    @discardableResult
    public static func walk(
        _ root: String, at place: RelativePath = .root, rules: IgnoreRules, visit: (TreeEntry) -> Bool
    ) -> [UnreadableFolder] { [] }

    /// The single entry at `path`; nil when nothing is there.
    public static func entry(_ root: String, at path: RelativePath) -> TreeEntry? { nil }
}
