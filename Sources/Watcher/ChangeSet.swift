/// Where to look: what may have changed below the root since the last batch.
///
/// A change set never says what happened. Compare the named paths with the disk; one that changed and changed back is named
/// all the same. Ignored paths are never in it.
public struct ChangeSet: Sendable, Equatable {
    /// Single paths that were touched: written, created, removed, renamed, or changed in mode, owner or time.
    public var paths: Set<RelativePath>
    /// Subtrees to compare wholly, their top included: a folder that appeared, vanished or moved, an edited ignore
    /// file, or a place where the kernel dropped events.
    ///
    /// The root is here when everything must be compared.
    public internal(set) var rescan: Set<RelativePath>
    /// Those of `paths` that were still open for writing when the batch left; they come again when they are closed.
    public internal(set) var unfinished: Set<RelativePath>
    /// When the first event of the batch was read: nanoseconds of `CLOCK_MONOTONIC`.
    public internal(set) var firstEvent: UInt64
    /// When the last event of the batch was read: nanoseconds of `CLOCK_MONOTONIC`.
    public internal(set) var lastEvent: UInt64

    /// A batch from its parts; what lies below a subtree of `rescan` is not repeated.
    public init(
        paths: Set<RelativePath>, rescan: Set<RelativePath> = [], unfinished: Set<RelativePath> = [],
        firstEvent: UInt64 = 0, lastEvent: UInt64 = 0
    ) {
        self.paths = paths
        self.rescan = rescan
        self.unfinished = unfinished
        self.firstEvent = firstEvent
        self.lastEvent = lastEvent
        dropCovered()
    }

    /// Whether there is nothing to look at.
    public var isEmpty: Bool { paths.isEmpty && rescan.isEmpty }

    /// Whether `path` is named, or lies in a subtree that is to be compared wholly.
    public func covers(_ path: RelativePath) -> Bool {
        paths.contains(path) || Self.lies(path, in: rescan)
    }

    /// Whether `path` lies in a subtree that is to be compared wholly.
    public func isRescanned(_ path: RelativePath) -> Bool { Self.lies(path, in: rescan) }

    /// Adds a later batch, so that one look at the disk serves both.
    ///
    /// More than 65,536 paths become a rescan of the root.
    public mutating func merge(_ later: ChangeSet) {
        firstEvent = min(firstEvent, later.firstEvent)
        lastEvent = max(lastEvent, later.lastEvent)
        unfinished.subtract(later.paths)
        unfinished.formUnion(later.unfinished)
        paths.formUnion(later.paths)
        rescan.formUnion(later.rescan)
        dropCovered()
    }

    /// Beyond this, naming each path costs more than walking the tree, and the memory of a waiting batch must end somewhere.
    static let pathLimit = 65_536

    private mutating func dropCovered() {
        if paths.count > Self.pathLimit || rescan.count > Self.pathLimit { rescan = [.root] }
        defer { unfinished.formIntersection(paths) }
        guard !rescan.isEmpty else { return }
        if rescan.contains(.root) {
            rescan = [.root]
            paths = []
        } else {
            let tops = rescan
            rescan = tops.filter { top in top.parent.map { !Self.lies($0, in: tops) } ?? true }
            paths = paths.filter { !Self.lies($0, in: rescan) }
        }
    }

    private static func lies(_ path: RelativePath, in tops: Set<RelativePath>) -> Bool {
        guard !tops.isEmpty else { return false }
        var place: RelativePath? = path
        while let here = place {
            if tops.contains(here) { return true }
            place = here.parent
        }
        return false
    }
}
