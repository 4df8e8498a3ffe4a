internal import JSON
internal import Reactor
internal import Synchronization

/// Follows a rollout, and says what keeps it back while it is failing.
enum RolloutWatch {
    /// How a rollout went.
    enum Ending: Equatable, Sendable {
        /// Every pod of the new revision is ready; since when, in the nanoseconds of `monotonicNow`.
        case ready(at: UInt64)
        /// The limit has passed, or its controller has given it up, which has been reported: it may still come about.
        case behind
        /// Nothing will come of it: a Job or a pod that has failed. Why has been reported.
        case failed
        /// The task was cancelled.
        case cancelled
    }

    /// Follows a target until the pods of its present revision are ready, it is given up, the limit passes, or the task is
    /// cancelled.
    ///
    /// It is to be called when the change has been written: what the API holds then is the new revision. Reported is each
    /// distinct cause once, when it appears, and at the end what is still short. A cause ends nothing: what heals becomes
    /// ready.
    ///
    /// - Parameters:
    ///   - clues: what image names mean to the cluster.
    ///   - ledger: what others of the session tell about the same target, which is not told again.
    ///   - limit: without it, what `RolloutPatience` says of the workload.
    ///   - settling: how long containers without a readiness probe must run before they count as ready: they are called
    ///     ready before they have had the time to crash. Thrice as long where one has crashed.
    ///   - isOld: nothing was written: what the workload says of its last rollout is about this one.
    ///   - byHand: somebody deletes the pods of a workload whose controller leaves that to others (`OnDelete`).
    ///   - patience: how long a cause may wait for what makes it clearer, a log for example.
    ///   - pace: after how much silence `progress` is told how far it is.
    ///   - report: called in order, one call at a time.
    static func run(
        _ target: Target, client: KubeClient, namespace: String,
        clues: @escaping RegistryClues.Source = { RegistryClues() },
        ledger: CauseLedger? = nil, limit: Duration? = nil, settling: Duration = .seconds(1),
        isOld: Bool = false, byHand: Bool = false, patience: Duration = .seconds(1), pace: Duration = .seconds(30),
        progress: @escaping @Sendable (String) -> Void = { _ in },
        report: @escaping @Sendable (LoopEvent.Failure) -> Void
    ) async -> Ending {
        let began = ContinuousClock.now
        let silence = Silence()
        let report: @Sendable (LoopEvent.Failure) -> Void = { failure in
            silence.end()
            report(failure)
        }
        let watch = WorkloadWatch(client, target, namespace: namespace)
        let causes = CauseWatch(
            client, target, namespace: namespace, clues: clues, ledger: ledger, patience: patience,
            report: report)
        let last = LastState()
        let outcome = await withTaskGroup(of: Outcome.self) { group in
            group.addTask {
                await watch.run()
                return .cancelled
            }
            group.addTask {
                await causes.run()
                return .cancelled
            }
            group.addTask {
                var steady = SteadyRollout(target: target, settling: settling, byHand: byHand)
                var giveUp = RolloutPatience(target, isOld: isOld)
                while true {
                    guard let state = await next(watch, within: steady.left) else {
                        // Silence is what was waited for.
                        if let since = steady.since, steady.left == .zero { return .ready(since) }
                        return .cancelled
                    }
                    await last.set(state)
                    causes.update(state)
                    steady.note(state)
                    if let since = steady.since, steady.left == .zero { return .ready(since) }
                    if let words = giveUp.end(state) {
                        await causes.untilKnown(within: patience * 5)
                        return .over(words)
                    }
                }
            }
            group.addTask {
                while true {
                    let workload = await last.state?.workload
                    let wait = (limit ?? RolloutPatience.limit(target, workload)) - (.now - began)
                    if wait <= .zero { return .limit }
                    guard (try? await Task.sleep(for: wait)) != nil else { return .cancelled }
                }
            }
            group.addTask {
                while (try? await Task.sleep(for: silence.left(of: pace))) != nil {
                    guard silence.left(of: pace) <= .zero else { continue }
                    silence.end()
                    if let state = await last.state { progress(RolloutWatch.progress(target, state, .now - began)) }
                }
                return .cancelled
            }
            defer { group.cancelAll() }
            return await group.next() ?? .cancelled
        }
        if Task.isCancelled { return .cancelled }
        let state = await last.state
        switch outcome {
        case .ready(let time):
            ledger?.forget(target, in: namespace, before: time)
            return .ready(at: time)
        case .limit:
            let seconds = (limit ?? RolloutPatience.limit(target, state?.workload)).components.seconds
            report(shortage(target, namespace, state, causes.present, "is not rolled out after \(seconds) s"))
            return .behind
        case .over(let words):
            if case .workload(let kind, _) = target, kind.rollsOut {
                // Where nothing else is known, just that was told as the cause.
                if !causes.present.contains(where: { $0.key.last == "deadline" }) {
                    report(shortage(target, namespace, state, causes.present, words))
                }
                return .behind
            }
            if causes.present.isEmpty {
                let reason = state?.workload?["status"]?.condition("Failed")?["message"]?.string
                report(
                    LoopEvent.Failure(
                        "\(target) \(words)", details: [reason].compactMap(\.self),
                        nextStep: "`kubectl describe \(target) -n \(namespace)` tells more"))
            }
            return .failed
        case .cancelled: return .cancelled
        }
    }

    private enum Outcome {
        case ready(UInt64)
        case limit
        /// Its controller has given it up: what of it.
        case over(String)
        case cancelled
    }

    /// How far a rollout is, for whoever waits.
    static func progress(_ target: Target, _ state: WorkloadState, _ since: Duration) -> String {
        let seconds = since.components.seconds
        let what = state.disconnection == nil ? count(state) : "the cluster does not answer"
        return "\(target): \(what), after \(seconds) s"
    }

    private static func count(_ state: WorkloadState) -> String {
        let ready = state.pods.count { $0.isReady && !$0.isOver }
        return "\(ready) of \(state.wantedPods ?? state.pods.count) new pods are ready"
    }

    /// The next state; `nil` when none comes within a limit, or the task is cancelled.
    private static func next(_ watch: WorkloadWatch, within limit: Duration?) async -> WorkloadState? {
        guard let limit else { return await watch.next() }
        return await atMost(limit) { await watch.next() } ?? nil
    }

    /// What is still short when a rollout is given up; `words` say why that is.
    static func shortage(
        _ target: Target, _ namespace: String, _ state: WorkloadState?, _ causes: [Diagnosis], _ words: String
    ) -> LoopEvent.Failure {
        let title = "\(target) \(words)"
        guard let state, !state.isMissing else {
            return LoopEvent.Failure(
                state == nil ? "\(title): the cluster does not answer" : "\(target) is not in namespace \(namespace)",
                nextStep: "`kubectl get \(target) -n \(namespace)`")
        }
        if let reason = state.disconnection {
            return LoopEvent.Failure("\(title): the cluster does not answer", details: [reason])
        }
        let details = causes.isEmpty ? [state.reason(container: nil)].compactMap(\.self) : causes.map(\.failure.summary)
        return LoopEvent.Failure(
            "\(title): \(count(state))", details: details,
            nextStep: causes.first?.failure.nextStep ?? "`kubectl describe \(target) -n \(namespace)` tells more")
    }

    /// Since when nothing was told.
    private final class Silence: Sendable {
        private let start = Mutex(ContinuousClock.now)

        func end() { start.withLock { $0 = .now } }

        func left(of pace: Duration) -> Duration { pace - (.now - start.withLock { $0 }) }
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
