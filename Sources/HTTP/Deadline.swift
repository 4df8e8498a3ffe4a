internal import Reactor
internal import Synchronization

extension Stream {
    /// Runs `body`, and closes the stream when that takes longer than `limit`: a pending call then fails, and `HTTPError`
    /// `.tooSlow` is thrown in its place.
    func closing<Result>(
        after limit: Duration, for what: String, _ body: () async throws -> Result
    ) async throws -> Result {
        let expired = Flag()
        let timer = Task {
            try await Task.sleep(for: limit)
            expired.set()
            self.close()
        }
        defer { timer.cancel() }
        do {
            return try await body()
        } catch {
            throw expired.isSet ? HTTPError.tooSlow("\(what) took longer than \(limit)") : error
        }
    }
}

extension Stream {
    /// Runs `body`, and closes the stream when it has shown no sign of life for `limit`: a pending call then fails, and
    /// `HTTPError` `.tooSlow` is thrown in its place.
    ///
    /// `nil` waits for ever.
    func closing<Result>(
        whenIdleFor limit: Duration?, for what: String, _ body: (Pulse) async throws -> Result
    ) async throws -> Result {
        let pulse = Pulse()
        guard let limit else { return try await body(pulse) }
        let expired = Flag()
        let timer = Task {
            while true {
                let due = pulse.last + limit
                try await Task.sleep(until: due, clock: .continuous)
                guard pulse.last + limit <= .now else { continue }
                expired.set()
                self.close()
                return
            }
        }
        defer { timer.cancel() }
        do {
            return try await body(pulse)
        } catch {
            throw expired.isSet ? HTTPError.tooSlow("\(what): no progress for \(limit)") : error
        }
    }
}

/// When something was last seen to go on.
final class Pulse: Sendable {
    private let instant = Mutex(ContinuousClock.now)
    var last: ContinuousClock.Instant { instant.withLock(\.self) }
    func beat() { instant.withLock { $0 = .now } }
}

/// Set once, from any task.
final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
