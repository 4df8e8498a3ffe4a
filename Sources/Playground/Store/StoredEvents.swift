internal import JSON

/// One change of an object.
struct StoredEvent: Sendable, Equatable {
    /// What happened to the object.
    enum Kind: String, Sendable {
        case added = "ADDED"
        case modified = "MODIFIED"
        case deleted = "DELETED"
    }

    let type: Kind
    /// The object after the change; of a deletion, its last state with the deletion's version.
    let object: JSON
    /// The object before the change, which tells a selector whether it lost or gained it.
    let previous: JSON?

    /// The version that the change got.
    var resourceVersion: UInt64 { object.at("metadata", "resourceVersion")?.string.flatMap { UInt64($0) } ?? 0 }
}

/// The latest changes of one kind, oldest first, bounded in their number and size.
struct EventHistory {
    private var entries: [(version: UInt64, size: Int, event: StoredEvent?)] = []
    /// Entries before this one are dropped, and cleared out in bulk.
    private var start = 0
    private var size = 0
    private let limit: Int
    /// As many bytes of text are remembered: a large ConfigMap that changes often must not fill the memory.
    private static let sizeLimit = 32 << 20
    /// Changes up to this version cannot be told any more.
    private(set) var forgotten: UInt64

    init(limit: Int, forgotten: UInt64) {
        self.limit = limit
        self.forgotten = forgotten
    }

    mutating func append(_ event: StoredEvent, size added: Int) {
        entries.append((event.resourceVersion, added, event))
        size += added
        while entries.count - start > limit || size > EventHistory.sizeLimit, entries.count - start > 1 {
            forgotten = entries[start].version
            size -= entries[start].size
            entries[start].event = nil
            start += 1
        }
        if start > limit {
            entries.removeFirst(start)
            start = 0
        }
    }

    func events(after version: UInt64) -> [StoredEvent] {
        var index = entries.count
        while index > start, entries[index - 1].version > version { index -= 1 }
        return entries[index...].compactMap(\.event)
    }
}

/// The changes that a watch sees: `for try await event in events`.
///
/// It ends when its task is cancelled, and throws 410 when the reader fell too far behind. One reader at a time.
struct StoredEvents: AsyncSequence, Sendable {
    /// Why a reader that waits is woken.
    enum Wake: Sendable {
        case changed
        case tick
    }

    /// What a reader finds.
    enum Step: Sendable {
        case change(StoredEvent)
        /// Someone asked for a sign of life: nothing changed up to this version.
        case tick(UInt64)
        case end
    }

    let store: ObjectStore
    let kind: ResourceKind
    let namespace: String?
    let initial: [StoredEvent]
    let after: UInt64
    let wakes: AsyncStream<Wake>
    let wake: AsyncStream<Wake>.Continuation

    /// The version at which the initial objects, if any, are complete.
    var resourceVersion: UInt64 { after }

    /// How many of the first events tell what was there before, rather than changes.
    var initialCount: Int { initial.count }

    /// Ends the sequence for its reader, also while that waits.
    func stop() { wake.finish() }

    /// Makes a reader that uses `step()` return once, also without a change.
    func tick() { wake.yield(.tick) }

    func makeAsyncIterator() -> Iterator {
        Iterator(events: self, pending: initial[...], cursor: after, wakes: wakes.makeAsyncIterator())
    }

    /// The position of a watch in the changes.
    struct Iterator: AsyncIteratorProtocol {
        let events: StoredEvents
        var pending: ArraySlice<StoredEvent>
        var cursor: UInt64
        var wakes: AsyncStream<Wake>.Iterator

        mutating func next() async throws -> StoredEvent? {
            while true {
                switch try await step() {
                case .change(let event): return event
                case .tick: continue
                case .end: return nil
                }
            }
        }

        mutating func step() async throws -> Step {
            while true {
                if let event = pending.popFirst() { return .change(event) }
                let (changes, version) = try events.store.changes(of: events.kind, after: cursor)
                for change in changes {
                    cursor = change.resourceVersion
                    let namespace = change.object.at("metadata", "namespace")?.string
                    if events.namespace == nil || events.namespace == namespace { pending.append(change) }
                }
                guard pending.isEmpty else { continue }
                switch await wakes.next(isolation: #isolation) {
                case .changed?: continue
                case .tick?: return .tick(version)
                case nil: return .end
                }
            }
        }
    }
}
