/// Runs `body`, and gives it up with a `LoopFailure` when it takes longer than `limit`.
///
/// `body` has to end when it is cancelled: it is waited for.
func atMost<Result: Sendable>(
    _ limit: Duration, otherwise failure: LoopEvent.Failure, _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw LoopFailure(failure: failure)
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw CancellationError() }
        return first
    }
}
