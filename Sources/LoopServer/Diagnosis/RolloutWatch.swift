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
    ///   - clues: what image names mean to the cluster.
    ///   - ledger: what others of the session tell about the same target, which is not told again.
    ///   - settling: how long containers without a readiness probe must run before they count as ready: they are called
    ///     ready before they have had the time to crash. Thrice as long where one has crashed.
    ///   - byHand: somebody deletes the pods of a workload whose controller leaves that to others (`OnDelete`).
    ///   - patience: how long a cause may wait for what makes it clearer, a log for example.
    ///   - report: called in order, one call at a time.
    static func run(
        _ target: Target, client: KubeClient, namespace: String,
        clues: @escaping RegistryClues.Source = { RegistryClues() },
        ledger: CauseLedger? = nil, limit: Duration = .seconds(120), settling: Duration = .seconds(1),
        byHand: Bool = false, patience: Duration = .seconds(1),
        report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) async -> Ending {
        let watch = WorkloadWatch(client, target, namespace: namespace)
        let causes = CauseWatch(
            client, target, namespace: namespace, clues: clues, ledger: ledger, patience: patience,
            report: report)
        let last = LastState()
        let ready = await withTaskGroup(of: UInt64?.self) { group in
            group.addTask {
                await watch.run()
                return nil
            }
            group.addTask {
                await causes.run()
                return nil
            }
            group.addTask {
                var steady = SteadyRollout(target: target, settling: settling, byHand: byHand)
                while true {
                    guard let state = await next(watch, within: steady.left) else {
                        // Silence is what was waited for.
                        if let since = steady.since, steady.left == .zero { return since }
                        return nil
                    }
                    await last.set(state)
                    causes.update(state)
                    steady.note(state)
                    if let since = steady.since, steady.left == .zero { return since }
                }
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
        if let ready {
            ledger?.forget(target)
            return .ready(at: ready)
        }
        if Task.isCancelled { return .cancelled }
        report(shortage(target, namespace, await last.state, causes.present, limit))
        return .behind
    }

    /// Follows a target as `run` does; whether it has become ready.
    static func follow(
        _ target: Target, client: KubeClient, namespace: String,
        clues: @escaping RegistryClues.Source = { RegistryClues() },
        ledger: CauseLedger? = nil,
        limit: Duration = .seconds(120), settling: Duration = .seconds(1),
        report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) async -> Bool {
        let ending = await run(
            target, client: client, namespace: namespace, clues: clues, ledger: ledger, limit: limit,
            settling: settling, report: report)
        if case .ready = ending { return true }
        return false
    }

    /// The next state; `nil` when none comes within a limit, or the task is cancelled.
    private static func next(_ watch: WorkloadWatch, within limit: Duration?) async -> WorkloadState? {
        guard let limit else { return await watch.next() }
        return await atMost(limit) { await watch.next() } ?? nil
    }

    /// What is still short when the limit has passed.
    static func shortage(
        _ target: Target, _ namespace: String, _ state: WorkloadState?, _ causes: [Diagnosis], _ limit: Duration
    ) -> LoopEvent.Failure {
        let title = "\(target) is not rolled out after \(limit.components.seconds) s"
        guard let state, !state.isMissing else {
            return LoopEvent.Failure(
                state == nil ? "\(title): the cluster does not answer" : "\(target) is not in namespace \(namespace)",
                nextStep: "`kubectl get \(target) -n \(namespace)`")
        }
        if let reason = state.disconnection {
            return LoopEvent.Failure("\(title): the cluster does not answer", details: [reason])
        }
        let ready = state.pods.count { $0.isReady && !$0.isOver }
        let wanted = state.wantedPods ?? state.pods.count
        let details = causes.isEmpty ? [state.reason(container: nil)].compactMap(\.self) : causes.map(\.failure.summary)
        return LoopEvent.Failure(
            "\(title): \(ready) of \(wanted) new pods are ready", details: details,
            nextStep: causes.first?.failure.nextStep ?? "`kubectl describe \(target) -n \(namespace)` tells more")
    }

    private actor LastState {
        var state: WorkloadState?

        func set(_ state: WorkloadState) { self.state = state }
    }
}

/// Whether a rollout is done and stays so.
struct SteadyRollout {
    let target: Target
    let settling: Duration
    private let byHand: Bool
    /// Since when it is done, in the nanoseconds of `monotonicNow`; `nil` while it is not.
    private(set) var since: UInt64?
    private var runs: [String?] = []
    private var needed = Duration.zero

    init(target: Target, settling: Duration, byHand: Bool = false) {
        self.target = target
        self.settling = settling
        self.byHand = byHand
    }

    /// How long it must stay as it is; `nil` while it is not done.
    var left: Duration? { since.map { max(.zero, needed - .nanoseconds(Int64(monotonicNow() - $0))) } }

    /// Takes a state.
    mutating func note(_ state: WorkloadState, at now: UInt64 = monotonicNow()) {
        guard state.disconnection == nil, isDone(state) else { return since = nil }
        let containers = state.pods.filter { !$0.isOver }.flatMap(\.lastingContainers)
        let next = containers.map(\.id)
        if since == nil || next != runs { since = now }
        runs = next
        let isUnstable = containers.contains { $0.restarts > 0 }
        let isUnprobed = containers.contains { $0.spec["readinessProbe"] == nil }
        needed = isUnstable ? settling * 3 : isUnprobed ? settling : .zero
    }

    private func isDone(_ state: WorkloadState) -> Bool {
        switch target {
        case .workload(let kind, _): return state.workload.map { Rollout.isDone(kind, $0, byHand: byHand) } ?? false
        case .selector:
            let live = state.pods.filter { !$0.isOver }
            return !live.isEmpty && live.allSatisfy(\.isReady)
        }
    }
}
