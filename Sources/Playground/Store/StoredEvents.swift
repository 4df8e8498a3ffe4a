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

/// The latest changes of one kind, oldest first, bounded.
struct EventHistory {
    private var ring: [(version: UInt64, event: StoredEvent)] = []
    private var start = 0
    private let limit: Int
    /// Changes up to this version cannot be told any more.
    private(set) var forgotten: UInt64

    init(limit: Int, forgotten: UInt64) {
        self.limit = limit
        self.forgotten = forgotten
    }

    mutating func append(_ event: StoredEvent) {
        let entry = (version: event.resourceVersion, event: event)
        if ring.count < limit {
            ring.append(entry)
        } else {
            forgotten = ring[start].version
            ring[start] = entry
            start = (start + 1) % limit
        }
    }

    func events(after version: UInt64) -> [StoredEvent] {
        var index = ring.count
        while index > 0, entry(index - 1).version > version { index -= 1 }
        return (index..<ring.count).map { entry($0).event }
    }

    private func entry(_ index: Int) -> (version: UInt64, event: StoredEvent) { ring[(start + index) % ring.count] }
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
