package import JSON
internal import Synchronization

/// What a running loopd said, line by line, with tasks that wait for some of it.
package final class EventLog: Sendable {
    private struct Waiter {
        let from: Int
        let isWanted: @Sendable (JSON) -> Bool
        let continuation: CheckedContinuation<JSON?, Never>
    }
    private struct State {
        var events: [JSON] = []
        var waiters: [Int: Waiter] = [:]
        var next = 0
        var isOver = false
    }
    private let state = Mutex(State())

    package init() {}

    /// How many events there are: a place to wait from.
    package var count: Int { state.withLock { $0.events.count } }

    /// All events from a place on.
    package func events(from place: Int = 0) -> [JSON] { state.withLock { Array($0.events.dropFirst(place)) } }

    package func add(_ event: JSON) {
        let served = state.withLock { state -> [CheckedContinuation<JSON?, Never>] in
            let index = state.events.count
            state.events.append(event)
            let served = state.waiters.filter { $0.value.from <= index && $0.value.isWanted(event) }
            for key in served.keys { state.waiters[key] = nil }
            return served.values.map(\.continuation)
        }
        for continuation in served { continuation.resume(returning: event) }
    }

    /// No more events will come.
    package func end() {
        let left = state.withLock { state in
            state.isOver = true
            defer { state.waiters = [:] }
            return state.waiters.values.map(\.continuation)
        }
        for continuation in left { continuation.resume(returning: nil) }
    }

    /// The first event from a place on that is wanted; `nil` when the log ends or the task is cancelled without one.
    package func first(from place: Int, where isWanted: @escaping @Sendable (JSON) -> Bool) async -> JSON? {
        let key = state.withLock { state in
            state.next += 1
            return state.next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: JSON?? = state.withLock { state in
                    if let there = state.events.dropFirst(place).first(where: isWanted) { return .some(there) }
                    if state.isOver || Task.isCancelled { return .some(nil) }
                    state.waiters[key] = Waiter(from: place, isWanted: isWanted, continuation: continuation)
                    return nil
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: key) }?.continuation.resume(returning: nil)
        }
    }
}
