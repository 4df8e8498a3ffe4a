internal import JSON

/// All that is known about a workload at one moment.
struct RolloutPicture: Sendable {
    /// What the pods belong to.
    let target: Target
    let namespace: String
    /// The workload, and the pods of its present revision.
    var state: WorkloadState
    /// The warnings of the namespace.
    var events: [ObjectEvent] = []
    /// When the youngest pod of the workload was made that was ever seen, in the API's form; it may be gone.
    var youngestPod = ""
    /// What was asked for.
    var answers: [Question: Answer] = [:]
    /// Whether questions can be asked; without, what needs an answer is told without it.
    var asks = true
    /// The container that must be ready; `nil` is all of them.
    var container: String?
    /// What image names mean to the cluster.
    var clues = RegistryClues()
    /// For how long each pod's containers have been as they are, by the pod's uid.
    var ages: [String: Duration] = [:]

    /// Everything that keeps the workload back.
    ///
    /// States that are usual while a pod starts are none: a container that is being created, an image that is being pulled,
    /// a probe that has not failed yet.
    func examine() -> DiagnosisFindings {
        var findings = DiagnosisFindings()
        guard state.disconnection == nil, !state.isMissing, isObserved else { return findings }
        for pod in state.pods where !isGood(pod) {
            var examination = PodExamination(pod: pod, picture: self, findings: findings)
            examination.examine()
            findings = examination.findings
        }
        return examineWorkload(after: findings)
    }

    /// What keeps the workload back itself, whatever its pods say, after what was found about those.
    func examineWorkload(after findings: DiagnosisFindings = DiagnosisFindings()) -> DiagnosisFindings {
        guard state.disconnection == nil, isObserved, let workload = state.workload else { return findings }
        var examination = WorkloadExamination(workload: workload, picture: self, findings: findings)
        examination.examine()
        return examination.findings
    }

    /// Whether the controller has seen the workload as it is: until then, its pods and conditions are of the old revision.
    private var isObserved: Bool {
        if state.awaitsRevision { return false }
        guard let workload = state.workload, let seen = workload.at("status", "observedGeneration")?.integer else {
            // Jobs and pods have no revisions.
            return state.workload?.at("metadata", "generation") == nil || state.workload?["status"] != nil
        }
        return seen >= workload.at("metadata", "generation")?.integer ?? 0
    }

    private func isGood(_ pod: PodState) -> Bool {
        if pod.isTerminating || pod.phase == "Succeeded" { return true }
        let wanted = pod.lastingContainers.filter { container == nil || $0.name == container }
        return wanted.allSatisfy(\.isReady) && (pod.isReady || container != nil && !wanted.isEmpty)
    }

    /// The warnings about an object, the newest first.
    func events(about uid: String, _ reasons: String...) -> [ObjectEvent] {
        events.filter { $0.uid == uid && reasons.contains($0.reason) }.sorted { $0.last > $1.last }
    }
}

/// A warning about an object.
struct ObjectEvent: Equatable, Sendable {
    /// The object's uid.
    let uid: String
    /// The container that it is about; `nil` is the whole object.
    let container: String?
    let reason: String
    let message: String
    /// How often it has happened; a busy kubelet stops counting at 25.
    let count: Int
    /// When it last happened, in the API's form, whose text order is the order of time.
    let last: String

    /// The name of the event itself.
    static func name(_ event: JSON) -> String { event.at("metadata", "name")?.string ?? "" }

    init(_ event: JSON) {
        uid = event.at("involvedObject", "uid")?.string ?? ""
        // `spec.containers{web}`, `spec.initContainers{migrate}`
        let path = event.at("involvedObject", "fieldPath")?.string ?? ""
        container = path.firstIndex(of: "{").map { String(path[$0...].dropFirst().prefix { $0 != "}" }) }
        reason = event["reason"]?.string ?? ""
        message = event["message"]?.string ?? ""
        count = Int((event["count"] ?? event.at("series", "count"))?.integer ?? 1)
        let times = [
            event["lastTimestamp"], event.at("series", "lastObservedTime"), event["eventTime"],
            event.at("metadata", "creationTimestamp"),
        ]
        last = times.lazy.compactMap { $0?.string }.first ?? ""
    }
}
