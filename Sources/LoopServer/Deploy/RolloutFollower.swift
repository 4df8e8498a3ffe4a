internal import JSON
internal import Reactor

/// Follows what one deployment after the other has changed, until it runs: only the newest counts.
actor RolloutFollower {
    private let client: KubeClient
    private let clues: RegistryClues.Source
    private let ledger: CauseLedger?
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private var tasks: [Task<Bool, Never>] = []

    /// Nothing is followed before the first call.
    init(
        _ client: KubeClient, clues: @escaping RegistryClues.Source = { RegistryClues() }, ledger: CauseLedger? = nil,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.client = client
        self.clues = clues
        self.ledger = ledger
        self.emit = emit
    }

    /// Lets go of what was followed: something newer begins.
    func begin() {
        for task in tasks { task.cancel() }
        tasks = []
    }

    /// Follows workloads until they run; what keeps them back is told.
    func follow(_ workloads: [ObjectReference], since started: UInt64) {
        add { [client, clues, ledger, emit] in
            await RolloutFollower.follow(workloads, since: started, client, clues, ledger: ledger, emit)
        }
    }

    /// Follows workloads until they run, and tells it; false where one does not, of which every cause was told.
    static func follow(
        _ workloads: [ObjectReference], since started: UInt64, _ client: KubeClient,
        _ clues: @escaping RegistryClues.Source,
        ledger: CauseLedger? = nil, _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) async -> Bool {
        let endings = await withTaskGroup(of: RolloutWatch.Ending.self) { group in
            for workload in workloads {
                guard let kind = workload.workloadKind, let namespace = workload.namespace else { continue }
                group.addTask {
                    await RolloutWatch.run(
                        .workload(kind, name: workload.name), client: client, namespace: namespace, clues: clues,
                        ledger: ledger, progress: { emit(.notice($0)) }
                    ) { emit(.failed($0)) }
                }
            }
            return await group.reduce(into: [RolloutWatch.Ending]()) { $0.append($1) }
        }
        let ready = endings.compactMap { if case .ready(let at) = $0 { at } else { nil } }
        guard ready.count == endings.count, !Task.isCancelled else { return false }
        let milliseconds = Double(max(started, ready.max() ?? started) - started) / 1e6
        emit(.rolledOut(workloads: workloads.map(\.description), milliseconds: milliseconds))
        return true
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
