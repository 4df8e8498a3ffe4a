internal import Reactor
internal import Synchronization

/// The links to the pods of a service, as they come and go.
final class PodLinks: Sendable {
    private struct State {
        var links: [(pod: String, link: HelperLink)] = []
        var waiting: [Gate] = []
    }
    private let state = Mutex(State())

    /// Adds a link, which is forgotten when it ends.
    func add(_ link: HelperLink, to pod: String) {
        let waiting = state.withLock { state in
            state.links.append((pod, link))
            defer { state.waiting = [] }
            return state.waiting
        }
        for gate in waiting { gate.signal() }
        link.whenEnded { [weak self] in
            self?.state.withLock { $0.links.removeAll { $0.link === link } }
        }
    }

    /// An open link, waiting for one; `nil` when there is none within the limit, or when the task is cancelled.
    func link(limit: Duration) async -> HelperLink? {
        let deadline = ContinuousClock.now + limit
        while !Task.isCancelled {
            let gate = Gate()
            let open = state.withLock { state in
                let open = state.links.first { $0.link.isOpen }?.link
                if open == nil { state.waiting.append(gate) }
                return open
            }
            if let open { return open }
            let isHere: Void? = await atMost(max(.zero, deadline - .now)) { await gate.pass() }
            guard isHere != nil else {
                state.withLock { $0.waiting.removeAll { $0 === gate } }
                return nil
            }
        }
        return nil
    }
}

extension PodLinks: ClusterRoute {
    /// How long a connection waits for the next link.
    private static let patience = Duration.seconds(10)

    func link(to target: ClusterTarget) async throws -> HelperLink {
        if let link = await link(limit: PodLinks.patience) { return link }
        try Task.checkCancellation()
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "no pod of the service is connected, from which it could be reached",
                nextStep: "the lines above say why; `loopd status` shows the pods"))
    }
}
