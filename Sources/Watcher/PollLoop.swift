internal import Glibc

/// The watcher's thread where the kernel's events cannot be trusted: it walks the tree at an interval and compares.
struct PollLoop: ~Copyable {
    /// What tells one state of an entry from another.
    private struct Signature: Equatable {
        let kind: EntryKind
        let mode: UInt16
        let size: Int64
        let modified: Int64
        let changed: Int64
        let inode: UInt64

        init(_ entry: TreeEntry) {
            kind = entry.kind
            mode = entry.mode
            inode = entry.inode
            // A folder's times follow those of its entries, which are compared themselves.
            let isFolder = entry.kind == .directory
            size = isFolder ? 0 : entry.size
            modified = isFolder ? 0 : entry.modified
            changed = isFolder ? 0 : entry.changed
        }
    }

    private let root: String
    private let options: WatchOptions
    private let mailbox: Mailbox
    /// Readable or hung up when the loop has to end.
    private let wake: OwnedDescriptor
    private let place: RootPlace
    private var identity: RootPlace.Identity?
    private var rules: IgnoreRules?
    private var isReady = false
    private var known: [RelativePath: Signature] = [:]
    private var unreadable: Set<RelativePath> = []

    init(root: String, options: WatchOptions, mailbox: Mailbox, wake: consuming OwnedDescriptor) {
        self.root = root
        self.options = options
        self.mailbox = mailbox
        self.wake = wake
        place = RootPlace(root)
    }

    /// Works until `wake` says otherwise.
    mutating func run() {
        identity = place.identity
        if identity == nil {
            mailbox.put(.rootVanished)
        } else {
            known = scan()
            announceReady()
        }
        while pause() { look() }
        mailbox.close()
    }

    private mutating func announceReady() {
        guard !isReady else { return }
        isReady = true
        mailbox.put(.ready(folders: known.values.count { $0.kind == .directory } + 1))
    }

    /// Sleeps for one interval.
    ///
    /// Returns false when the loop has to end.
    private func pause() -> Bool {
        let interval = Int32(clamping: max(1, (options.poll ?? .seconds(1)).nanoseconds / 1_000_000))
        var waits = pollfd(fd: wake.raw, events: Int16(POLLIN), revents: 0)
        while poll(&waits, 1, interval) < 0 {
            guard errno == EINTR else { return false }
        }
        return waits.revents == 0
    }

    private mutating func look() {
        let start = monotonicNow()
        let found = place.identity
        guard found == identity else {
            if identity != nil { mailbox.put(.rootVanished) }
            identity = found
            known = found == nil ? [:] : scan()
            if found != nil {
                mailbox.put(.rootRestored)
                announceReady()
                mailbox.put(.settled(ChangeSet(paths: [], rescan: [.root], firstEvent: start, lastEvent: start)))
            }
            return
        }
        guard found != nil else { return }
        let before = rules
        let present = scan()
        // What was listed while the root went away is nobody's state.
        guard place.identity == identity else { return }
        var paths = Set(present.filter { known[$0.key] != $0.value }.keys)
        for path in known.keys where present[path] == nil { paths.insert(path) }
        known = present
        var rescan = Set(paths.filter(IgnoreRules.isIgnoreFile).compactMap(\.parent))
        if let before, let rules, !rules.isSameAbove(before) { rescan.insert(.root) }
        guard !paths.isEmpty || !rescan.isEmpty else { return }
        mailbox.put(.settled(ChangeSet(paths: paths, rescan: rescan, firstEvent: start, lastEvent: start)))
    }

    private mutating func scan() -> [RelativePath: Signature] {
        guard let rules = try? IgnoreRules(root: root, patterns: options.ignore) else { return known }
        self.rules = rules
        var found: [RelativePath: Signature] = [:]
        found.reserveCapacity(known.count)
        let failed = TreeScan.walk(rules: rules) { entry in
            found[entry.path] = Signature(entry)
            return true
        }
        for folder in failed where !unreadable.contains(folder.path) { mailbox.put(.unreadable(folder)) }
        unreadable = Set(failed.map(\.path))
        return found
    }
}
