internal import JSON
internal import Reactor

/// Follows a rollout, and says what keeps it back while it is failing.
enum RolloutWatch {
    /// How a rollout went.
    enum Ending: Equatable, Sendable {
        /// Every pod of the new revision is ready; since when, in the nanoseconds of `monotonicNow`.
        case ready(at: UInt64)
        /// The limit has passed, which has been reported.
        case behind
        /// The task was cancelled.
        case cancelled
    }

    /// Follows a target until the pods of its present revision are ready, the limit passes, or the task is cancelled.
    ///
    /// It is to be called when the change has been written: what the API holds then is the new revision. Reported is each
    /// distinct cause once, when it appears, and at the limit what is still short. A failure ends nothing: what heals
    /// becomes ready.
    ///
    /// - Parameters:
    ///   - registry: the names of loopd's registry, by which a wrong one is recognised in a pod.
    ///   - settling: how long containers without a readiness probe must run before they count as ready: they are called
    ///     ready before they have had the time to crash.
    ///   - report: called in order, from one task.
    static func run(
        _ target: Target, client: KubeClient, namespace: String, registry: RegistryNames? = nil,
        limit: Duration = .seconds(120), settling: Duration = .seconds(1),
        report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) async -> Ending {
        let watch = WorkloadWatch(client, target, namespace: namespace)
        let ready = await withTaskGroup(of: UInt64?.self) { group in
            group.addTask {
                await watch.run()
                return nil
            }
            group.addTask {
                while let state = await watch.next() {
                    guard case .workload(let kind, _) = target, state.disconnection == nil,
                        let workload = state.workload, Rollout.isDone(kind, workload)
                    else { continue }
                    return monotonicNow()
                }
                return nil
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        if let ready { return .ready(at: ready) }
        if Task.isCancelled { return .cancelled }
        report(LoopEvent.Failure("\(target) is not rolled out after \(limit.components.seconds) s"))
        return .behind
    }

    /// Follows a target as `run` does; whether it has become ready.
    static func follow(
        _ target: Target, client: KubeClient, namespace: String, registry: RegistryNames? = nil,
        limit: Duration = .seconds(120), settling: Duration = .seconds(1),
        report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) async -> Bool {
        let ending = await run(
            target, client: client, namespace: namespace, registry: registry, limit: limit, settling: settling,
            report: report)
        if case .ready = ending { return true }
        return false
    }
}
