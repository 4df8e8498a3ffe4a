import Glibc
import Testing

@testable import Watcher

/// A watcher on a real folder.
///
/// Tests never sleep: `changes` writes a sentinel file and waits for it, so that everything done before has been
/// reported.
final class WatchedFolder {
    let disk: Disk
    let watcher: Watcher
    private var events: WatchEvents.Iterator
    private var sentinels = 0
    /// How many batches the last `changes` took, that of the sentinel included.
    private(set) var batches = 0
    /// Everything that was reported and is no batch.
    private(set) var notices: [WatchEvent] = []

    private init(_ disk: Disk, _ watcher: Watcher) {
        self.disk = disk
        self.watcher = watcher
        events = watcher.events.makeAsyncIterator()
    }

    /// Prepares a folder, watches its `root` once it is as `prepare` leaves it, and runs `body` when it is watched.
    static func with(
        _ options: WatchOptions = WatchOptions(), limit: Int? = nil, root: String = "root",
        prepare: (Disk) throws -> Void = { _ in }, body: (WatchedFolder) async throws -> Void
    ) async throws {
        try await Disk.withFolder { outer in
            try outer.folder("root")
            try prepare(outer.below("root"))
            let watcher = try Watcher(root: outer.at(root), options: options, limit: limit)
            defer { watcher.stop() }
            let folder = WatchedFolder(outer.below("root"), watcher)
            try watcher.start()
            try await body(folder)
        }
    }

    /// The same, and waits until everything is watched.
    static func ready(
        _ options: WatchOptions = WatchOptions(), limit: Int? = nil, root: String = "root",
        prepare: (Disk) throws -> Void = { _ in }, body: (WatchedFolder, Disk) async throws -> Void
    ) async throws {
        try await with(options, limit: limit, root: root, prepare: prepare) { folder in
            try await folder.wait { if case .ready = $0 { true } else { false } }
            try await body(folder, folder.disk)
        }
    }

    /// Waits long enough that a busy machine does not tear one save into two batches.
    static var patient: WatchOptions {
        var options = WatchOptions()
        options.debounce = .milliseconds(500)
        options.pairWait = .seconds(5)
        options.maxWait = .seconds(20)
        return options
    }

    /// The next event of any kind.
    func next() async throws -> WatchEvent {
        let found = await events.next()
        let event = try #require(found, "the stream ended")
        if case .settled = event {} else { notices.append(event) }
        return event
    }

    /// Waits for an event; batches on the way are dropped.
    func wait(_ matches: (WatchEvent) -> Bool) async throws {
        while !matches(try await next()) {}
    }

    /// The next batch.
    func batch() async throws -> ChangeSet {
        while true {
            if case .settled(let changes) = try await next() { return changes }
        }
    }

    /// Everything that was touched before this call, in one set.
    func changes() async throws -> ChangeSet {
        batches = 0
        var all = ChangeSet(paths: [])
        var isNamed = false
        while !isNamed {
            sentinels += 1
            let sentinel = RelativePath("sentinel-\(sentinels)")
            try disk.write(sentinel.description)
            var last = ChangeSet(paths: [])
            while !last.covers(sentinel) {
                last = try await batch()
                all.merge(last)
                batches += 1
            }
            // A comparison of everything may have left before the events of what it covers.
            isNamed = last.paths.contains(sentinel)
        }
        return ChangeSet(paths: all.paths.filter { !$0.description.hasPrefix("sentinel-") }, rescan: all.rescan)
    }
}

extension ChangeSet {
    /// All names in it as text; subtrees to compare wholly end in `/**`.
    var names: Set<String> {
        Set(paths.map(\.description)).union(rescan.map { $0.isRoot ? "**" : "\($0)/**" })
    }
}

extension WatchEvent {
    /// Whether it is about a file whose batch is yet to come.
    var isHint: Bool { if case .finished = self { true } else { false } }
}
