internal import Synchronization

/// Restarts the pods of a node when something has landed there: deletes them, and their controller makes new ones.
final class NodeRestarts: Sendable {
    private struct State {
        var stale = StalePods()
        /// Pods without a controller that were named.
        var named: Set<String> = []
        var serial = 0
        /// Deletions that are under way.
        var running: [Int: Task<Void, Never>] = [:]
    }

    private let client: KubeClient
    private let namespace: String
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let state = Mutex(State())

    init(_ client: KubeClient, namespace: String, emit: @escaping @Sendable (LoopEvent.Kind) -> Void) {
        self.client = client
        self.namespace = namespace
        self.emit = emit
    }

    /// Takes the service's present pods.
    func update(_ pods: [PodState]) { restart(state.withLock { $0.stale.update(pods) }) }

    /// Restarts the pods of a node, all at once; those that start from now on have what has landed.
    func land(on node: String) { restart(state.withLock { $0.stale.land(on: node, at: .now()) }) }

    /// Returns when every restart that was asked for has been, or after `limit`, when what was not is told; also for a task
    /// that is cancelled.
    func finish(limit: Duration = .seconds(3)) async {
        let running = state.withLock { Array($0.running.values) }
        let deadline = Task {
            // A cluster may never answer: leaving takes no longer than this.
            try await Task.sleep(for: limit)
            for task in running { task.cancel() }
        }
        for task in running { await task.value }
        deadline.cancel()
    }

    private func restart(_ pods: [PodState]) {
        let (made, bare) = (pods.filter { $0.owner != nil }, pods.filter { $0.owner == nil })
        for pod in bare where state.withLock({ $0.named.insert(pod.uid).inserted }) {
            emit(.notice("\(pod.name) has no controller that would make it anew: it keeps running what it has"))
        }
        guard !made.isEmpty else { return }
        state.withLock { state in
            state.serial += 1
            let number = state.serial
            state.running[number] = Task {
                await withDiscardingTaskGroup { group in
                    for pod in made { group.addTask { await self.delete(pod) } }
                }
                _ = self.state.withLock { $0.running.removeValue(forKey: number) }
            }
        }
    }

    private func delete(_ pod: PodState) async {
        let started = monotonicNow()
        do {
            guard try await client.deletePod(pod.name, uid: pod.uid, namespace: namespace) else { return }
            emit(.podDeleted(pod: pod.name, milliseconds: Double(monotonicNow() - started) / 1e6))
        } catch {
            state.withLock { $0.stale.keep(pod) }
            emit(
                .failed(
                    LoopEvent.Failure(
                        Task.isCancelled ? "\(pod.name) was not restarted: the cluster did not answer" : "\(error)",
                        nextStep: "\(pod.name) runs what was on its node before: `kubectl delete pod \(pod.name)`")))
        }
    }
}
