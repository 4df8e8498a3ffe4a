/// What a watcher reports.
public enum WatchEvent: Sendable, Equatable {
    /// Every folder that can be watched is watched; from here on no change is missed. Changes made while the watches were
    /// being set follow as `settled`.
    case ready(folders: Int)
    /// The tree has been quiet for long enough: compare these places with the disk.
    case settled(ChangeSet)
    /// A write just finished, or a file was renamed into place. Its content may be prepared before its batch settles. A
    /// hint only: it is dropped when nobody takes it in time, and the path comes again in `settled`.
    case finished(RelativePath)
    /// The root is not there: not yet, or it was deleted, moved away or unmounted. The watcher waits for it.
    case rootVanished
    /// The root is there again, perhaps another folder of that name; a `settled` that rescans the root follows.
    case rootRestored
    /// The kernel's limit keeps some folders unwatched; what is watched stays watched.
    case limitReached(WatchLimit)
    /// Every folder is watched again after `limitReached`.
    case limitLifted
    /// A folder cannot be read, so nothing below it is seen.
    case unreadable(UnreadableFolder)
}

/// A limit of the kernel that was reached, with its remedy.
public struct WatchLimit: Sendable, Equatable, CustomStringConvertible {
    /// The name for `sysctl`: `fs.inotify.max_user_watches` or `fs.inotify.max_user_instances`, or
    /// `user.max_inotify_watches` in a user namespace.
    public let setting: String
    /// Its present value; nil when it could not be read.
    public let value: Int?
    /// How much this watcher alone needs; other programs of the same user count as well.
    public let needed: Int

    /// Names a limit, its value and the need.
    public init(setting: String, value: Int?, needed: Int) {
        self.setting = setting
        self.value = value
        self.needed = needed
    }

    /// The command that lifts the limit until the next boot: twice the need, and never less than now.
    public var command: String {
        var proposal = 8_192
        if setting.hasSuffix("instances") { proposal = 512 }
        while proposal < needed * 2 || proposal <= (value ?? 0) { proposal *= 2 }
        return "sudo sysctl \(setting)=\(proposal)"
    }

    /// One line for a person.
    public var description: String {
        let now = value.map { " (\($0))" } ?? ""
        return "\(setting)\(now) is used up; \(needed) needed here, beside this user's other programs: \(command)"
    }
}

/// A folder that could not be watched or listed.
public struct UnreadableFolder: Sendable, Equatable, CustomStringConvertible {
    /// The folder.
    public let path: RelativePath
    /// What the kernel answered, an `errno` value.
    public let code: Int32

    /// Names a folder and the kernel's answer.
    public init(path: RelativePath, code: Int32) {
        self.path = path
        self.code = code
    }

    /// One line for a person.
    public var description: String { "cannot watch \(path): \(message(code))" }
}

/// Why a watcher could not be made.
public enum WatchError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The kernel's limit on inotify instances is reached.
    case limit(WatchLimit)
    /// A system call failed.
    case system(attempt: String, code: Int32)
    /// A pattern of `WatchOptions.ignore` is longer than 4,096 bytes or holds a zero byte.
    case pattern(String)

    /// One line for a person.
    public var description: String {
        switch self {
        case .limit(let limit): limit.description
        case .system(let attempt, let code): "\(attempt): \(message(code))"
        case .pattern(let text): "not a pattern: \(escaped(Array(text.utf8)))"
        }
    }
}
