/// One change of a batch.
///
/// Paths are below the destination.
public enum FileOperation: Equatable, Sendable {
    /// Puts staged content in its place.
    ///
    /// The owner and mode of a replaced file stay; its exec bits follow `mode`.
    case place(stage: UInt32, path: [UInt8], mode: UInt32, modified: Int64)
    /// Makes a folder, and what is missing above it; replaces a file or link of that name.
    case makeFolder(path: [UInt8], mode: UInt32)
    /// Makes a symbolic link, in place of whatever file or link there was.
    case link(path: [UInt8], target: [UInt8])
    /// Sets mode and modification time of a file, or the mode of a folder.
    case touch(path: [UInt8], mode: UInt32, modified: Int64)
    /// Removes a file, a link or an empty folder; with `recursive` a folder with what is in it.
    ///
    /// Nothing there is success.
    case remove(path: [UInt8], recursive: Bool)

    /// The path that the operation is about.
    public var path: [UInt8] {
        switch self {
        case .place(_, let path, _, _), .makeFolder(let path, _), .link(let path, _), .touch(let path, _, _),
            .remove(let path, _):
            return path
        }
    }
}

/// Applies a batch: folders, then everything that appears, in one go, then touches and removals.
///
/// A batch too long for one frame comes in several on one stream; all but the last have `isLast` false. Answered by
/// `committed`, in as many frames as it takes, or by one `failure` when nothing was applied.
public struct Commit: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// Must be the destination's newest; else the batch is refused as a whole with `ESTALE`.
    public var generation: UInt64
    /// The changes, in order.
    public var operations: [FileOperation]
    /// Whether no further frame belongs to this.
    public var isLast: Bool

    /// A request with every field.
    public init(destination: UInt32, generation: UInt64, operations: [FileOperation], isLast: Bool = true) {
        self.destination = destination
        self.generation = generation
        self.operations = operations
        self.isLast = isLast
    }
}

/// How one operation went.
public struct OperationResult: Equatable, Sendable {
    /// What deserves a warning though it worked.
    public struct Flags: OptionSet, Equatable, Sendable {
        /// The bits.
        public let rawValue: UInt8

        /// The set with these bits.
        public init(rawValue: UInt8) {
            self.rawValue = rawValue
        }

        /// The file is itself a mount, so it was overwritten in place: a reader may have seen half of it.
        public static let writtenInPlace = Flags(rawValue: 1)
        /// The replaced file had another owner, which could not be kept.
        public static let ownerChanged = Flags(rawValue: 2)
        /// Since the destination was opened or last committed to, somebody put another folder in its place: what was there
        /// before is not there now.
        public static let destinationReplaced = Flags(rawValue: 4)
        /// The folder or link was there already, as it is wanted.
        public static let unchanged = Flags(rawValue: 8)
    }

    /// Zero, or the error number of Linux.
    public var code: Int32
    /// What deserves a warning.
    public var flags: Flags
    /// Mode and stamp of what is there now, where the operation left something.
    public var mode: UInt32
    /// What tells that the content is still the same.
    public var stamp: FileStamp
    /// On failure, one line for people.
    public var text: [UInt8]

    /// A result with every field.
    public init(
        code: Int32 = 0, flags: Flags = [], mode: UInt32 = 0, stamp: FileStamp = FileStamp(), text: [UInt8] = []
    ) {
        self.code = code
        self.flags = flags
        self.mode = mode
        self.stamp = stamp
        self.text = text
    }
}

/// The results of a batch, in the order of its operations; all frames but the last have `isLast` false.
public struct Committed: Equatable, Sendable {
    /// One for every operation.
    public var results: [OperationResult]
    /// Whether no further frame belongs to this.
    public var isLast: Bool

    /// An answer with every field.
    public init(results: [OperationResult], isLast: Bool = true) {
        self.results = results
        self.isLast = isLast
    }
}
