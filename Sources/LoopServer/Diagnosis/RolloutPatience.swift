internal import JSON

/// How long a rollout may take, and whether its controller has given it up.
struct RolloutPatience {
    /// What a rollout may take at least, and what has nothing to go on.
    static let least = Duration.seconds(120)
    /// What Kubernetes gives a Deployment that says nothing of it.
    static let usual = Duration.seconds(600)

    private let kind: WorkloadKind?
    /// The condition as it was found: a Deployment that goes on from a rollout that failed has that one's for a moment.
    private var found: JSON?
    private var hasBegun = false

    /// `isOld` says that nothing new is rolled out: then the condition that is found is about what is followed.
    init(_ target: Target, isOld: Bool = false) {
        hasBegun = isOld
        if case .workload(let kind, _) = target { self.kind = kind } else { kind = nil }
    }

    /// How long a rollout of a workload may take: what its `progressDeadlineSeconds` says, but not less than two minutes.
    static func limit(_ target: Target, _ workload: JSON?) -> Duration {
        // Of what is paused nothing comes, and that has been said.
        guard case .workload(let kind, _) = target, let workload, workload.at("spec", "paused")?.bool != true else {
            return least
        }
        guard kind == .deployment, let seconds = workload.at("spec", "progressDeadlineSeconds")?.integer,
            // That stands for none.
            seconds < Int32.max
        else { return usual }
        return max(least, .seconds(seconds))
    }

    /// Takes a state, and says what has become of the workload where nothing will.
    mutating func end(_ state: WorkloadState) -> String? {
        guard let kind, let workload = state.workload, state.disconnection == nil else { return nil }
        let status = workload["status"] ?? .null
        switch kind {
        case .job: return status.condition("Failed")?["status"]?.string == "True" ? "has failed" : nil
        case .pod: return status["phase"]?.string == "Failed" ? "has failed" : nil
        case .statefulset, .daemonset: return nil
        case .deployment:
            let condition = status.condition("Progressing")
            if !hasBegun { (found, hasBegun) = (condition, true) }
            guard condition?["reason"]?.string == "ProgressDeadlineExceeded", condition != found,
                status["observedGeneration"]?.integer ?? 0 >= workload.at("metadata", "generation")?.integer ?? 0
            else { return nil }
            let seconds =
                workload.at("spec", "progressDeadlineSeconds")?.integer ?? RolloutPatience.usual.components.seconds
            return "has made no progress for \(seconds) s, its progressDeadlineSeconds"
        }
    }
}
