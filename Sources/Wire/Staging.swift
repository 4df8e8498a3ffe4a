/// Announces content that follows as `data` frames on the same stream, ended by `stageEnd`.
///
/// Answered by `staged`, or at any moment by `failure`, after which the stream's remaining frames are dropped.
public struct Stage: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The host's number for this content, unique per destination until it is placed or abandoned.
    ///
    /// A number that is staged again replaces the earlier content.
    public var stage: UInt32
    /// How many bytes to expect; nothing depends on it.
    public var sizeHint: UInt64
    /// The path that it is for; named in failures.
    public var path: [UInt8]
    /// Whether `copy` frames name parts of the file that is at `path` now: opened here, so that it stays the same file
    /// whatever is renamed over it meanwhile.
    public var hasBase: Bool

    /// A request with every field.
    public init(destination: UInt32, stage: UInt32, sizeHint: UInt64, path: [UInt8], hasBase: Bool = false) {
        self.destination = destination
        self.stage = stage
        self.sizeHint = sizeHint
        self.path = path
        self.hasBase = hasBase
    }
}

/// Content that is on disk, not yet in its place.
public struct Staged: Equatable, Sendable {
    /// The host's number for this content.
    public var stage: UInt32
    /// The hash of what was written, computed while it was written.
    public var sha256: [UInt8]
    /// The size that the file has on disk.
    public var size: UInt64

    /// An acknowledgement with every field.
    public init(stage: UInt32, sha256: [UInt8], size: UInt64) {
        self.stage = stage
        self.sha256 = sha256
        self.size = size
    }
}

/// Gives up staged or half-staged content, because the file changed again.
///
/// Not answered.
public struct Abandon: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The host's number for this content.
    public var stage: UInt32

    /// A request with every field.
    public init(destination: UInt32, stage: UInt32) {
        self.destination = destination
        self.stage = stage
    }
}

/// Asks where content lies that is staged and complete, and not committed yet: the container's own programs can look at it
/// there before it lands.
///
/// Answered by `located` or `failure`.
public struct Locate: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The host's number for the content.
    public var stage: UInt32

    /// A request with every field.
    public init(destination: UInt32, stage: UInt32) {
        self.destination = destination
        self.stage = stage
    }
}
