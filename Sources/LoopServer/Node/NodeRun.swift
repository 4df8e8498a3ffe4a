internal import Reactor
internal import Synchronization

/// The part of a service that lives on nodes while a session runs: their helper pods, a lane into them, and the restarts of
/// the service's pods.
final class NodeRun: Sendable {
    let lane: ServiceLane
    private let pods: NodePods
    private let restarts: NodeRestarts
    private let namespace: String
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let nodes = Mutex(NodeSet())
    private let news = Gate()

    init(
        _ lane: ServiceLane, pods: NodePods, restarts: NodeRestarts, namespace: String,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.lane = lane
        self.pods = pods
        self.restarts = restarts
        self.namespace = namespace
        self.emit = emit
    }

    /// Takes what the service's target is now.
    func update(_ state: WorkloadState) {
        nodes.withLock { nodes in
            if state.isMissing { nodes.clear() } else { nodes.update(state.pods, at: .now) }
        }
        news.signal()
        restarts.update(state.pods)
    }

    /// Keeps the lane up with the nodes until the task is cancelled.
    func run() async {
        var present: Set<String>?
        while true {
            await news.pass()
            if Task.isCancelled { return }
            let names = nodes.withLock(\.names)
            guard Set(names) != present else { continue }
            if let first = names.first, await !untilTaken(first) { return }
            present = Set(names)
            await lane.setInstances(names.map { .node($0, namespace: namespace) })
            await pods.remove(except: Set(names))
        }
    }

    /// Waits until the cluster would take a helper pod, and says once why it does not; false when cancelled.
    private func untilTaken(_ node: String) async -> Bool {
        // A policy changes when a person changes it, not by itself.
        var patience = Backoff(first: .seconds(1), limit: .seconds(30))
        var told: LoopEvent.Failure?
        while !Task.isCancelled {
            do {
                try await pods.check(node)
                return true
            } catch let refusal as LoopFailure {
                if refusal.failure != told { emit(.failed(refusal.failure)) }
                told = refusal.failure
            } catch {
                emit(.detail("helper pod on node \(node): \(error)"))
            }
            try? await Task.sleep(for: patience.next())
        }
        return false
    }

    /// Ends the lane, and then the helper pods, unless another loopd uses them now.
    func end(keepingPods: Bool) async {
        await lane.end()
        async let restarted: Void = restarts.finish()
        if !keepingPods, let left = await pods.end() { emit(.notice(left)) }
        await restarted
    }
}
