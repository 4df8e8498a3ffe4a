/// Which pods still run what was on their node before something landed there: decides, and does nothing.
struct StalePods: Sendable {
    private var pods: [PodState] = []
    /// Pods that had not started as far as was known when something landed, with the time of that.
    private var undecided: [String: Timestamp] = [:]
    /// Pods that were said to be stale: they go, although they may be seen for a while.
    private var going: Set<String> = []

    /// Notes that something has landed on a node, and returns the pods there that were started before.
    mutating func land(on node: String, at time: Timestamp) -> [PodState] {
        var stale: [PodState] = []
        for pod in pods where pod.node == node && !pod.isOver && !going.contains(pod.uid) {
            if pod.hasStarted { stale.append(pod) } else { undecided[pod.uid] = time }
        }
        going.formUnion(stale.filter { $0.owner != nil }.map(\.uid))
        return stale
    }

    /// Takes the present pods, and returns those of which only now is known that they were started before.
    ///
    /// The node's word of a start comes a second or two after it. A time of its has whole seconds: a pod that started in
    /// the second of the landing counts as started before.
    mutating func update(_ pods: [PodState]) -> [PodState] {
        self.pods = pods
        going.formIntersection(pods.map(\.uid))
        var left: [String: Timestamp] = [:]
        var stale: [PodState] = []
        for pod in pods where !pod.isOver {
            guard let landed = undecided[pod.uid] else { continue }
            guard pod.hasStarted else {
                left[pod.uid] = landed
                continue
            }
            // Both in the API's form, whose text order is the order of time.
            if pod.firstStart ?? "" <= "\(landed.rfc3339.prefix(19))Z" { stale.append(pod) }
        }
        undecided = left
        going.formUnion(stale.filter { $0.owner != nil }.map(\.uid))
        return stale
    }

    /// Notes that a pod could not be deleted, so that the next landing tries again.
    mutating func keep(_ pod: PodState) { going.remove(pod.uid) }
}

extension PodState {
    /// Whether any of its containers has run.
    fileprivate var hasStarted: Bool {
        (containers + initContainers).contains { container in
            switch container.now {
            case .running, .terminated: true
            case .unknown, .waiting: container.last != nil
            }
        }
    }

    /// When the first of its containers' present runs began, in the API's form.
    fileprivate var firstStart: String? { (containers + initContainers).compactMap(\.startedAt).min() }
}
