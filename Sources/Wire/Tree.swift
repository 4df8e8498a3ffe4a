/// Asks what lies in a destination.
///
/// Answered by any number of `entries` and non-final failures, then `listed`.
public struct List: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The paths to look at; none is the whole destination.
    ///
    /// One that does not exist gives an entry of kind `absent`.
    public var paths: [[UInt8]]
    /// Whether folders are descended into.
    public var isRecursive: Bool
    /// Names that are passed over at every depth, with what is below.
    public var skip: [[UInt8]]

    /// A request with every field.
    public init(destination: UInt32, paths: [[UInt8]] = [], isRecursive: Bool = true, skip: [[UInt8]] = []) {
        self.destination = destination
        self.paths = paths
        self.isRecursive = isRecursive
        self.skip = skip
    }
}

/// Which inode content it is: as long as all of these stay, so did the content.
public struct FileStamp: Equatable, Hashable, Sendable {
    /// Bytes.
    public var size: UInt64
    /// Nanoseconds since 1970.
    public var modified: Int64
    /// Nanoseconds since 1970.
    public var changed: Int64
    /// The inode number.
    public var inode: UInt64

    /// A stamp with every field.
    public init(size: UInt64 = 0, modified: Int64 = 0, changed: Int64 = 0, inode: UInt64 = 0) {
        self.size = size
        self.modified = modified
        self.changed = changed
        self.inode = inode
    }
}

/// One thing in a tree.
public struct Entry: Equatable, Sendable {
    /// What it is.
    ///
    /// A symbolic link is itself, never what it points at.
    public enum Kind: UInt8, Equatable, Sendable {
        case file, folder, link, other, absent
    }

    /// The path below the destination.
    public var path: [UInt8]
    /// What it is.
    public var kind: Kind
    /// Permission bits (`07777`).
    public var mode: UInt32
    /// What tells that the content is still the same.
    public var stamp: FileStamp
    /// Where a symbolic link points.
    public var target: [UInt8]

    /// An entry with every field.
    public init(path: [UInt8], kind: Kind, mode: UInt32 = 0, stamp: FileStamp = FileStamp(), target: [UInt8] = []) {
        self.path = path
        self.kind = kind
        self.mode = mode
        self.stamp = stamp
        self.target = target
    }
}

/// Asks for the hashes of regular files.
///
/// Answered by any number of `digest` and non-final failures, then `digested`.
public struct DigestRequest: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The files, below the destination.
    public var paths: [[UInt8]]

    /// A request with every field.
    public init(destination: UInt32, paths: [[UInt8]]) {
        self.destination = destination
        self.paths = paths
    }
}

/// The hash of one file, and the stamp that the file had before and after it was read.
public struct Digest: Equatable, Sendable {
    /// The path below the destination.
    public var path: [UInt8]
    /// The 32 bytes of the hash.
    public var sha256: [UInt8]
    /// What tells that the content is still the same.
    public var stamp: FileStamp

    /// A digest with every field.
    public init(path: [UInt8], sha256: [UInt8], stamp: FileStamp) {
        self.path = path
        self.sha256 = sha256
        self.stamp = stamp
    }
}
