/// Decides when a batch of events leaves: a pure state machine over times that it is given.
///
/// A batch leaves after `debounce` of quiet. While a path of it waits for its other half (it was removed or renamed away,
/// or is open for writing), the batch is held back, for at most `pairWait` from that path's first such event. `maxWait`
/// after its first event a batch leaves in any case. A path that stays open for writing beyond its first batch, such as
/// a log, no longer holds others back: it leaves on its own when it is closed, or every `maxWait`.
struct Settling {
    /// What an event says about a path.
    enum Touch: Equatable {
        /// It is whole: closed after writing, renamed into place, a link, a folder.
        case finished
        /// Its mode, owner or times changed; whether somebody writes to it remains as it was.
        case attributes
        /// It is being written to.
        case open
        /// It is gone, or renamed to an unknown place.
        case removed
        /// It is gone for good: its content was renamed to another path of the tree.
        case renamed
    }

    let debounce: UInt64
    let pairWait: UInt64
    let maxWait: UInt64

    private struct Batch {
        var firstEvent: UInt64
        var lastEvent: UInt64
        var paths: Set<RelativePath> = []
        var rescan: Set<RelativePath> = []
        /// Paths whose first event in this batch was their creation: nothing follows when they are removed again.
        var born: Set<RelativePath> = []
    }
    private enum Half {
        case open
        case removed
    }

    private var batch: Batch?
    private var waiting: [RelativePath: (half: Half, since: UInt64)] = [:]
    /// The waiting paths by time; entries whose path no longer waits, or waits anew, are stale.
    private var order: [(path: RelativePath, since: UInt64)] = []
    /// Open paths that were in a batch already; the time is that of the first event since then, nil when there was none.
    private var lingering: [RelativePath: UInt64?] = [:]

    init(_ options: WatchOptions) {
        debounce = options.debounce.nanoseconds
        pairWait = options.pairWait.nanoseconds
        maxWait = options.maxWait.nanoseconds
    }

    /// Takes an event in.
    ///
    /// `created` marks the first sign of a path that was not there before.
    mutating func record(_ path: RelativePath, _ touch: Touch, created: Bool = false, at now: UInt64) {
        if touch == .open || touch == .attributes, let since = lingering[path] {
            lingering[path] = .some(since ?? now)
            return
        }
        if touch != .attributes { lingering[path] = nil }
        extend(now)
        let known = batch?.paths.insert(path).inserted == false
        if created && !known { batch?.born.insert(path) }
        switch touch {
        case .attributes: break
        case .finished, .renamed: waiting[path] = nil
        case .open: wait(path, .open, now)
        case .removed:
            if batch?.born.contains(path) == true { waiting[path] = nil } else { wait(path, .removed, now) }
        }
    }

    /// Takes in that a whole subtree must be compared.
    mutating func rescan(_ path: RelativePath, at now: UInt64) {
        extend(now)
        batch?.rescan.insert(path)
        // Their closing may come by another name, or never.
        if !lingering.isEmpty { lingering = lingering.filter { !$0.key.isInside(path) } }
    }

    /// Forgets who is open for writing: after lost events nobody knows.
    mutating func forgetWriters() {
        waiting = [:]
        order = []
        lingering = [:]
    }

    /// When to call `settle` next; nil while nothing is to come.
    mutating func deadline() -> UInt64? {
        let lingered = lingering.values.compactMap { $0 }.min().map { $0 + maxWait }
        guard let batch else { return lingered }
        var quiet = batch.lastEvent + debounce
        if let since = lastWaiting() { quiet = max(quiet, since + pairWait) }
        let own = min(quiet, batch.firstEvent + maxWait)
        return lingered.map { min($0, own) } ?? own
    }

    /// The batch that has to leave at `now`; nil when there is none yet.
    mutating func settle(at now: UInt64) -> ChangeSet? {
        for case (let path, let since?) in lingering where since + maxWait <= now {
            lingering[path] = .some(nil)
            // With others on their way it leaves with them; alone it has waited long enough.
            if batch == nil { batch = Batch(firstEvent: since, lastEvent: since) }
            batch?.paths.insert(path)
        }
        guard let deadline = deadline(), deadline <= now, let batch else { return nil }
        let open = waiting.filter { $0.value.half == .open && batch.paths.contains($0.key) }.map(\.key)
        for path in open { lingering[path] = .some(nil) }
        waiting = [:]
        order = []
        self.batch = nil
        return ChangeSet(
            paths: batch.paths, rescan: batch.rescan,
            unfinished: batch.paths.filter { lingering[$0] != nil },
            firstEvent: batch.firstEvent, lastEvent: batch.lastEvent)
    }

    private mutating func extend(_ now: UInt64) {
        if batch == nil { batch = Batch(firstEvent: now, lastEvent: now) }
        batch?.lastEvent = now
    }

    private mutating func wait(_ path: RelativePath, _ half: Half, _ now: UInt64) {
        if let present = waiting[path] {
            waiting[path] = (half, present.since)
        } else {
            waiting[path] = (half, now)
            order.append((path, now))
        }
    }

    /// The time since when the youngest waiting path waits.
    ///
    /// Stale entries at the end are dropped on the way, so that the cost over a storm stays linear.
    private mutating func lastWaiting() -> UInt64? {
        while let last = order.last {
            if waiting[last.path]?.since == last.since { return last.since }
            order.removeLast()
        }
        return nil
    }
}
