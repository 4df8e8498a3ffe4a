internal import Glibc

/// What the watcher's thread does: sleep until the kernel has news, take them in, let batches go when they settle.
///
/// It sleeps without a time limit unless a batch is on its way: an idle tree costs no wake-ups.
struct WatchLoop: ~Copyable {
    private let root: String
    private let options: WatchOptions
    private let mailbox: Mailbox
    /// Readable or hung up when the loop has to end.
    private let wake: OwnedDescriptor
    private let limit: Int?

    private var place: RootPlace
    private var folders: FolderWatches?
    private var inotify: Inotify?
    /// The root that the watches are on; nil while it is missing.
    private var identity: RootPlace.Identity?
    private var settling: Settling
    private var news = EventNews()
    /// How many unwatched folders were reported at most since all were watched.
    private var reported = 0
    /// Whether the kernel has no instance for us.
    private var isStarved = false
    private var announced = Announced.nothing
    private var ready = false

    /// What was last said about the root.
    private enum Announced {
        case nothing
        case vanished
        case present
    }

    init(root: String, options: WatchOptions, mailbox: Mailbox, wake: consuming OwnedDescriptor, limit: Int?) {
        self.root = root
        self.options = options
        self.mailbox = mailbox
        self.wake = wake
        self.limit = limit
        place = RootPlace(root)
        settling = Settling(options)
    }

    /// Works until `wake` says otherwise.
    mutating func run() {
        startOver()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 65_536, alignment: 8)
        defer { buffer.deallocate() }
        while pause() {
            guard let inotify else {
                startOver()
                continue
            }
            var events: [Inotify.Record] = []
            if inotify.read(buffer, { events.append($0) }) {
                let now = monotonicNow()
                for event in events { take(event, now) }
                if news.rootInDoubt { checkRoot(now) }
                if news.editedAbove { checkRulesAbove(now) }
            }
            settle()
        }
        mailbox.close()
    }

    /// Sleeps until there is something to do.
    ///
    /// Returns false when the loop has to end.
    private mutating func pause() -> Bool {
        var timeout: Int32 = -1
        if let deadline = settling.deadline() {
            let now = monotonicNow()
            // Rounded up: a call that comes back too early would only have to sleep again.
            timeout = deadline <= now ? 0 : Int32(clamping: (deadline - now + 999_999) / 1_000_000)
        }
        // Without an instance, because others took the last one, there is nothing to wait for but the clock.
        if inotify == nil { timeout = 1_000 }
        var waits = [
            pollfd(fd: wake.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: inotify?.descriptor ?? -1, events: Int16(POLLIN), revents: 0),
        ]
        while poll(&waits, nfds_t(waits.count), timeout) < 0 {
            guard errno == EINTR else { return false }
        }
        return waits[0].revents == 0
    }

    private mutating func take(_ event: Inotify.Record, _ now: UInt64) {
        if place.owns(event.watch) {
            if place.concerns(event) { news.rootInDoubt = true }
            if place.concernsRules(event) { news.editedAbove = true }
            // A link can lead to a folder above itself, which then is the root as well.
            guard folders?.tree.node(watch: event.watch) != nil else { return }
        }
        guard folders != nil else { return }
        folders?.take(event, at: now, into: &settling, news: &news) { [mailbox] path in mailbox.put(.finished(path)) }
    }

    /// Lets the batch go whose time has come.
    ///
    /// What its events made necessary comes first: setting the watches anew after lost events, reading edited ignore
    /// files.
    private mutating func settle() {
        let now = monotonicNow()
        guard let deadline = settling.deadline(), deadline <= now else { return }
        if news.overflowed || news.editedRules.contains(.root) && rootRulesChanged() {
            startOver()
        } else {
            for folder in news.editedRules where folders?.refresh(folder) == true {
                settling.rescan(folder, at: monotonicNow())
            }
        }
        news.editedRules = []
        for folder in folders?.retryRefused() ?? [] { settling.rescan(folder, at: monotonicNow()) }
        report()
        if let changes = settling.settle(at: monotonicNow()), !changes.isEmpty { mailbox.put(.settled(changes)) }
    }

    private func rootRulesChanged() -> Bool {
        guard let scope = folders?.rules.rootScope(), let known = folders?.tree.scope(of: WatchTree.root) else {
            return true
        }
        return !scope.isSame(as: known)
    }

    /// Has everything compared after ignore files above the root were touched, and watched anew when they say something
    /// else than before.
    private mutating func checkRulesAbove(_ now: UInt64) {
        news.editedAbove = false
        guard let rules = folders?.rules else { return }
        if !rules.reread().isSameAbove(rules) { news.overflowed = true }
        // Whoever compared in between may have read what they said meanwhile.
        settling.rescan(.root, at: now)
    }

    /// Compares what is at the root's path with what is watched.
    private mutating func checkRoot(_ now: UInt64) {
        news.rootInDoubt = false
        // The kernel may have taken back the root's watch although a folder with its number is there: a new one.
        let watched = folders?.tree.watch(of: WatchTree.root) != nil
        // While the root is missing, the folder to wait in may have become another one.
        guard identity == nil || place.identity != identity || !watched else {
            // It was away and is back: who looked meanwhile saw nothing.
            settling.rescan(.root, at: now)
            return
        }
        announce(nil)
        settling = Settling(options)
        startOver()
    }

    /// Sets all watches anew on a fresh instance: the kernel drops the old ones at once, and no event of theirs is left.
    private mutating func startOver() {
        let before = identity
        identity = nil
        folders = nil
        inotify = nil
        news = EventNews()
        settling.forgetWriters()
        do throws(WatchError) {
            rebuild(try Inotify())
            isStarved = false
        } catch {
            // Tried every second, said once.
            if case .limit(let limit) = error, !isStarved { mailbox.put(.limitReached(limit)) }
            isStarved = true
            return
        }
        let isFirst = announced == .nothing
        // Lost or late events do not hide that it is another folder.
        if before != nil, identity != before { announce(nil) }
        announce(identity)
        if identity != nil && !isFirst { settling.rescan(.root, at: monotonicNow()) }
    }

    private mutating func announce(_ root: RootPlace.Identity?) {
        switch (announced, root) {
        case (.vanished, nil), (.present, .some): return
        case (_, nil): mailbox.put(.rootVanished)
        case (.vanished, .some): mailbox.put(.rootRestored)
        case (.nothing, .some): break
        }
        announced = root == nil ? .vanished : .present
        if let folders, !ready {
            ready = true
            mailbox.put(.ready(folders: folders.tree.watchCount))
        }
    }

    private mutating func rebuild(_ inotify: Inotify) {
        self.inotify = inotify
        place.arm(inotify)
        identity = place.identity
        guard identity != nil, let rules = try? IgnoreRules(root: root, patterns: options.ignore) else { return }
        var folders = FolderWatches(rules: rules, inotify: inotify, limit: limit)
        place.armRules(inotify, folders: rules.outerFolders)
        folders.attachRoot()
        self.folders = consume folders
        report()
    }

    /// Passes on what the walk could not do.
    private mutating func report() {
        for folder in folders?.takeUnreadable() ?? [] { mailbox.put(.unreadable(folder)) }
        guard let unwatched = folders?.tree.refused.count else { return }
        if unwatched == 0, reported > 0 {
            reported = 0
            mailbox.put(.limitLifted)
        }
        guard unwatched > reported else { return }
        reported = unwatched
        let needed = unwatched + (folders?.tree.watchCount ?? 0)
        mailbox.put(
            .limitReached(
                limit.map { WatchLimit(setting: "fs.inotify.max_user_watches", value: $0, needed: needed) }
                    ?? Inotify.watchLimit(needed: needed)))
    }
}
