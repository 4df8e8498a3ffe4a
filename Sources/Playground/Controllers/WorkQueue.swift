internal import JSON
internal import Synchronization

/// An object that a controller should look at.
struct ObjectKey: Hashable, Sendable {
    let namespace: String
    let name: String
}

/// The objects that wait for a controller, each at most once.
final class WorkQueue: Sendable {
    private let waiting = Mutex<[ObjectKey]>([])
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    init() {
        (wakes, wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func add(_ key: ObjectKey) {
        let isNew = waiting.withLock { waiting in
            if waiting.contains(key) { return false }
            waiting.append(key)
            return true
        }
        if isNew { wake.yield() }
    }

    /// Calls `body` for one object after the other until the task is cancelled.
    func drain(_ body: (ObjectKey) async -> Void) async {
        var iterator = wakes.makeAsyncIterator()
        while !Task.isCancelled {
            while let key = waiting.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { await body(key) }
            if await iterator.next(isolation: #isolation) == nil { return }
        }
    }
}

/// What all controllers have in common: something changed, so look at what it concerns and make it so.
///
/// A controller looks at states, never at changes: events only name whom to look at, one at a time.
protocol Controller: Sendable {
    var store: ObjectStore { get }
    /// The kinds whose changes may concern this controller's objects.
    var watched: [ResourceKind] { get }

    /// The objects that a change concerns.
    func concerned(by event: StoredEvent, of kind: ResourceKind) -> [ObjectKey]

    /// Makes one object as it should be; returns when to look again even if nothing changes.
    func reconcile(_ key: ObjectKey) throws -> Duration?
}

extension Controller {
    /// Works until the task is cancelled.
    func run() async {
        let queue = WorkQueue()
        await withDiscardingTaskGroup { group in
            for kind in watched {
                group.addTask { await follow(kind, into: queue) }
            }
            await queue.drain { key in
                let again: Duration?
                do {
                    again = try reconcile(key)
                } catch {
                    // Someone changed the object meanwhile, or the disk is full: the same again, but not at once.
                    again = .milliseconds(200)
                }
                guard let again else { return }
                group.addTask {
                    try? await Task.sleep(for: again)
                    if !Task.isCancelled { queue.add(key) }
                }
            }
        }
    }

    private func follow(_ kind: ResourceKind, into queue: WorkQueue) async {
        while !Task.isCancelled {
            // Too far behind: the next watch starts with everything that is there.
            guard let events = try? store.watch(kind) else { return }
            do {
                for try await event in events {
                    for key in concerned(by: event, of: kind) { queue.add(key) }
                }
            } catch {
                continue
            }
        }
    }

    /// The object itself.
    func itself(_ object: JSON) -> ObjectKey {
        ObjectKey(
            namespace: object.at("metadata", "namespace")?.string ?? "",
            name: object.at("metadata", "name")?.string ?? "")
    }
}
