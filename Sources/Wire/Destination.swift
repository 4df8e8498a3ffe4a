/// Asks for a folder (or a single mounted file) to write into.
///
/// Answered by `opened` or `failure`.
public struct Open: Equatable, Sendable {
    /// The absolute path, as the container sees it.
    public var path: [UInt8]
    /// Where the container's root is, seen by the helper: `/proc/7/root`, or empty for the helper's own.
    public var root: [UInt8]
    /// Who writes; usually the session's.
    public var generation: UInt64
    /// Whether missing folders are made.
    public var createIfMissing: Bool

    /// A request with every field.
    public init(path: [UInt8], root: [UInt8] = [], generation: UInt64, createIfMissing: Bool = true) {
        self.path = path
        self.root = root
        self.generation = generation
        self.createIfMissing = createIfMissing
    }
}

/// A destination that is ready.
public struct Opened: Equatable, Sendable {
    /// What was there.
    public enum Kind: UInt8, Equatable, Sendable {
        /// A folder.
        case folder
        /// Nothing; a folder was made.
        case created
        /// A single file, typically a `subPath` mount; operations name it by the empty path.
        case file
    }

    /// The number by which later requests name this destination.
    public var destination: UInt32
    /// What it is.
    public var kind: Kind
    /// Where staged files lie, as the helper sees it; empty while there is no such place.
    public var staging: [UInt8]
    /// Whether staged files are on the destination's mount, so that they land by rename.
    public var isSameMount: Bool
    /// The owner of the destination.
    public var owner: UInt32
    /// Zero, or the error number that writing here gives: `EROFS`, `EACCES`, `ENOSPC`.
    ///
    /// Listing works all the same.
    public var obstacle: Int32
    /// The destination's mode and the helper's user, for the message about an obstacle.
    public var mode: UInt32
    /// The user that the helper runs as.
    public var uid: UInt32

    /// An answer with every field.
    public init(
        destination: UInt32, kind: Kind, staging: [UInt8], isSameMount: Bool, owner: UInt32, obstacle: Int32,
        mode: UInt32, uid: UInt32
    ) {
        self.destination = destination
        self.kind = kind
        self.staging = staging
        self.isSameMount = isSameMount
        self.owner = owner
        self.obstacle = obstacle
        self.mode = mode
        self.uid = uid
    }
}
