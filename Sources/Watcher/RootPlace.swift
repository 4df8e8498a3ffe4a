internal import Glibc

/// Where the root is supposed to be: whether a folder is there, whether it is still the same, and the watches on the
/// folders above it that tell when either changes.
///
/// Above the root only the folders' own removal and renaming is watched, so that other people's files there wake nobody.
/// The deepest folder that exists is also watched for removed entries: a folder in which somebody still is, a shell or loopd
/// itself, says nothing of its own removal. While the root is missing, or when it is a link, which can be pointed
/// elsewhere, it is watched for new entries, too. Folders above it whose ignore files count are watched for these as well.
struct RootPlace {
    /// Which folder it is.
    struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
    }

    /// The absolute path as it was given; a link in last place is followed.
    let path: [UInt8]
    private var watches: Set<Int32> = []
    /// The watches on folders with ignore files.
    private var ruleWatches: Set<Int32> = []
    /// The name, in the deepest existing folder, that leads towards the root.
    private var nextName: ArraySlice<UInt8> = []

    init(_ path: String) {
        self.path = absolutePath(path)
    }

    /// The folder that is there now; nil when there is none.
    var identity: Identity? {
        var status = stat()
        guard path.withCString({ stat($0, &status) }) == 0, status.st_mode & S_IFMT == S_IFDIR else { return nil }
        return Identity(device: UInt64(status.st_dev), inode: UInt64(status.st_ino))
    }

    /// Whether a watch is on one of the folders above.
    func owns(_ watch: Int32) -> Bool { watches.contains(watch) || ruleWatches.contains(watch) }

    /// Whether an event above the root says something about it: the folder itself, or the entry on the way to the root.
    func concerns(_ event: Inotify.Record) -> Bool {
        event.name.isEmpty || event.name.elementsEqual(nextName)
    }

    /// Whether an event is about an ignore file outside the root.
    func concernsRules(_ event: Inotify.Record) -> Bool {
        guard ruleWatches.contains(event.watch), IgnoreRules.isOuterSource(event.name) else { return false }
        // A file that was just created has nothing in it yet.
        return event.isDirectory || !event.has(IN_CREATE)
    }

    /// Watches the folders outside the root that hold ignore files.
    mutating func armRules(_ inotify: Inotify, folders: [[UInt8]]) {
        let mask = UInt32(
            IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE | IN_ONLYDIR | IN_MASK_ADD)
        for folder in folders {
            if let watch = try? inotify.watch(folder.isEmpty ? [slash] : folder, mask: mask) {
                ruleWatches.insert(watch)
            }
        }
    }

    /// Sets the watches above the root on a new instance.
    mutating func arm(_ inotify: Inotify) {
        watches = []
        ruleWatches = []
        while true {
            let missing = identity == nil
            let existing = arm(inotify, watchEntries: missing || isLink)
            // What appeared between the look and the watch would never be reported: look again.
            if (identity == nil) == missing, existing == deepestExisting { return }
        }
    }

    private mutating func arm(_ inotify: Inotify, watchEntries: Bool) -> Int {
        let deepest = deepestExisting
        nextName = deepest < names.count ? names[deepest] : []
        for depth in 0...deepest {
            var mask = Inotify.selfMask | UInt32(IN_ONLYDIR)
            if depth == deepest { mask |= UInt32(IN_DELETE) }
            if watchEntries && depth == deepest {
                mask |= UInt32(IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_ATTRIB)
            }
            let folder = depth == 0 ? [slash] : names[..<depth].flatMap { [slash] + $0 }
            if let watch = try? inotify.watch(folder, mask: mask) { watches.insert(watch) }
        }
        return deepest
    }

    private var names: [ArraySlice<UInt8>] { path.split(separator: slash) }

    private var isLink: Bool {
        var status = stat()
        return path.withCString { lstat($0, &status) } == 0 && status.st_mode & S_IFMT == S_IFLNK
    }

    /// How many names lead to the deepest folder above the root that exists.
    private var deepestExisting: Int {
        let names = names
        for depth in stride(from: names.count - 1, to: 0, by: -1) {
            var status = stat()
            let folder = names[..<depth].flatMap { [slash] + $0 }
            if folder.withCString({ stat($0, &status) }) == 0, status.st_mode & S_IFMT == S_IFDIR { return depth }
        }
        return 0
    }
}
