/// Runs `body`, and gives it up with an error when it takes longer than `limit`.
///
/// `body` has to end when it is cancelled: it is waited for. The error is made when it is needed. A cancelled task throws
/// whatever `body` throws then.
public func atMost<Result: Sendable>(
    _ limit: Duration, otherwise error: @autoclosure @escaping @Sendable () -> any Error,
    _ body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result.self) { group in
        group.addTask { try await body() }
        group.addTask {
            try await Task.sleep(for: limit)
            throw error()
        }
        defer { group.cancelAll() }
        guard let first = try await group.next() else { throw CancellationError() }
        return first
    }
}

/// What `body` returns; `nil` when it takes longer than `limit`, and perhaps when the task is cancelled.
///
/// `body` has to end when it is cancelled: it is waited for.
public func atMost<Result: Sendable>(
    _ limit: Duration, _ body: @escaping @Sendable () async -> Result
) async -> Result? {
    await withTaskGroup(of: Result?.self) { group in
        group.addTask { await body() }
        group.addTask {
            try? await Task.sleep(for: limit)
            return nil
        }
        defer { group.cancelAll() }
        return await group.next() ?? nil
    }
}
