/// One file, folder or link of a layer.
public struct LayerEntry: Equatable, Sendable {
    /// What is at the path.
    public enum Content: Equatable, Sendable {
        case folder
        /// The content of a file on disk, by its path; links are followed.
        case file([UInt8])
        /// These bytes.
        case bytes([UInt8])
        /// A symbolic link to this target.
        case link([UInt8])
    }

    /// Where it is in the image; slashes at the beginning and end do not matter.
    ///
    /// It need not be UTF-8.
    public var path: [UInt8]
    /// What is there.
    public var content: Content
    /// The permission bits.
    ///
    /// `nil` is 0755 for folders and for files that their owner may run on disk, else 0644: what somebody's umask says
    /// is not a difference.
    public var mode: UInt16?
    /// The owner's number.
    public var user: UInt32
    /// The group's number.
    public var group: UInt32

    /// An entry by its path in the image.
    public init(_ path: [UInt8], _ content: Content, mode: UInt16? = nil, user: UInt32 = 0, group: UInt32 = 0) {
        self.path = path
        self.content = content
        self.mode = mode
        self.user = user
        self.group = group
    }

    /// An entry by its path in the image.
    public init(_ path: String, _ content: Content, mode: UInt16? = nil, user: UInt32 = 0, group: UInt32 = 0) {
        self.init(Array(path.utf8), content, mode: mode, user: user, group: group)
    }

    /// The file `disk` as `path`.
    public static func file(_ path: String, from disk: String, mode: UInt16? = nil) -> LayerEntry {
        LayerEntry(path, .file(Array(disk.utf8)), mode: mode)
    }
}

/// Why a layer cannot be made.
public enum LayerProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// A file changed between two looks at it; building again takes it as it is then.
    case changed(String)
    /// A file cannot be read: what was tried and why it failed.
    case unreadable(String)
    /// A path that no image can have.
    case path(String)

    /// One line for people.
    public var description: String {
        switch self {
        case .changed(let path): "\(path) changed while it was put into a layer"
        case .unreadable(let what): what
        case .path(let what): what
        }
    }
}
