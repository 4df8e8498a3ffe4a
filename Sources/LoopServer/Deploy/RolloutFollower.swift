internal import JSON
internal import Reactor

/// Follows what one deployment after the other has changed, until it runs: only the newest counts.
actor RolloutFollower {
    private let client: KubeClient
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private var tasks: [Task<Bool, Never>] = []

    /// Nothing is followed before the first call.
    init(_ client: KubeClient, emit: @escaping @Sendable (LoopEvent.Kind) -> Void) {
        self.client = client
        self.emit = emit
    }

    /// Lets go of what was followed: something newer begins.
    func begin() {
        for task in tasks { task.cancel() }
        tasks = []
    }

    /// Follows workloads until they run; what keeps them back is told.
    func follow(_ workloads: [ObjectReference], since started: UInt64) {
        add { [client, emit] in
            let failures = await Rollout.wait(for: workloads, client)
            guard !Task.isCancelled else { return true }
            for failure in failures { emit(.failed(failure)) }
            guard failures.isEmpty else { return false }
            emit(
                .rolledOut(
                    workloads: workloads.map(\.description), milliseconds: Double(monotonicNow() - started) / 1e6))
            return true
        }
    }

    /// Awaits something else, too; false where it has failed, which it tells itself.
    func add(_ body: @escaping @Sendable () async -> Bool) { tasks.append(Task { await body() }) }

    /// Returns when everything is done; false where something has failed.
    ///
    /// Ends early, with false, when the caller is cancelled.
    func untilDone() async -> Bool {
        var isWhole = true
        for task in tasks {
            let isDone = await withTaskCancellationHandler {
                await task.value
            } onCancel: {
                task.cancel()
            }
            isWhole = isWhole && isDone && !Task.isCancelled
        }
        return isWhole
    }

    /// Follows nothing any more.
    func end() { begin() }
}
