/// One cause that keeps a workload from getting ready, as a person is told it.
struct Diagnosis: Equatable, Sendable {
    /// What is material about it: two of the same key are the same news, whatever pod it is about and however often it has
    /// happened since.
    let key: [String]
    /// The container that it is about; `nil` is the pod or the workload as a whole.
    var container: String?
    /// The cause, what the system said, and what to do.
    let failure: LoopEvent.Failure
}

/// What looking at a workload has found so far.
struct DiagnosisFindings: Equatable, Sendable {
    /// The causes, each once, in the order of the pods' names and of the way from scheduling to readiness.
    private(set) var diagnoses: [Diagnosis] = []
    /// What must be known before more can be said.
    private(set) var questions: [Question] = []
    /// After what time to look again although nothing may have changed.
    private(set) var recheck: Duration?

    /// Takes a cause, unless it is known from another pod.
    mutating func add(_ diagnosis: Diagnosis) {
        if !diagnoses.contains(where: { $0.key == diagnosis.key }) { diagnoses.append(diagnosis) }
    }

    /// Takes a question.
    mutating func ask(_ question: Question) {
        if !questions.contains(question) { questions.append(question) }
    }

    /// Asks to be looked at again.
    mutating func lookAgain(after wait: Duration) { recheck = min(recheck ?? wait, wait) }
}

/// What only a request of its own tells.
enum Question: Hashable, Sendable {
    /// The last lines of a container's run: the one before the present one, or the present one.
    case log(pod: String, container: String, run: String, isPrevious: Bool)
    /// A claim for a volume.
    case claim(String)
    /// What is free on each node.
    case room
    /// Whether the cluster hears from a node.
    case node(String)
    /// Since when a StatefulSet or DaemonSet has the pod template of a generation.
    case templateTime(generation: Int)
}

/// The answer to a question.
enum Answer: Equatable, Sendable {
    case lines([String])
    case claim(VolumeClaim)
    case room([NodeRoom])
    case node(isReady: Bool)
    /// In the API's form.
    case time(String)
    /// The cluster does not tell.
    case unknown
}

/// A claim for a volume, as far as it can be the reason why a pod waits.
struct VolumeClaim: Equatable, Sendable {
    let name: String
    /// `Pending`, `Bound`, `Lost`; `nil` where there is no such claim.
    var phase: String?
    /// `nil` where it names none, and the cluster has no default one.
    var storageClass: String?
    /// What its controller last complained of.
    var complaint: String?
}
