/// Something of a deployment that may fail.
enum DeployAttempt {
    /// Runs it; `nil` when it has failed, which is reported, or was cancelled.
    static func run<Result: Sendable>(
        _ emit: @Sendable (LoopEvent.Kind) -> Void, _ body: () async throws -> Result
    ) async -> Result? {
        do {
            return try await body()
        } catch let failure as LoopFailure {
            emit(.failed(failure.failure))
        } catch is CancellationError {
            return nil
        } catch {
            if !Task.isCancelled { emit(.failed(LoopEvent.Failure("the deployment failed: \(error)"))) }
        }
        return nil
    }
}
