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

/// Set once, from any task.
final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}
