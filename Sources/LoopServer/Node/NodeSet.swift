/// The nodes that run a service's pods.
///
/// A pod that is restarted is missing for a moment: its node counts for a while longer, so that its helper pod stays.
struct NodeSet: Sendable {
    private var lastSeen: [String: ContinuousClock.Instant] = [:]
    private static let patience = Duration.seconds(60)

    /// The nodes in order of their names.
    var names: [String] { lastSeen.keys.sorted() }

    /// Takes the present pods, also those that are about to go.
    mutating func update(_ pods: [PodState], at now: ContinuousClock.Instant) {
        for pod in pods where pod.phase != "Succeeded" && pod.phase != "Failed" {
            if let node = pod.node { lastSeen[node] = now }
        }
        lastSeen = lastSeen.filter { now - $0.value < NodeSet.patience }
    }

    /// Forgets every node: the workload is gone.
    mutating func clear() { lastSeen = [:] }
}
