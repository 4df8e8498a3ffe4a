internal import JSON

/// Why a pod's container does not run, or is not ready, in one line, from its status alone.
enum PodDiagnosis {
    /// The reason, or `nil` where the container runs and is ready.
    static func reason(
        _ pod: PodState, container: String? = nil, events: [ObjectEvent] = [], clues: RegistryClues = RegistryClues()
    ) -> String? {
        if pod.isTerminating { return "\(pod.name) is being deleted" }
        let wanted = container ?? pod.usualContainer
        let picture = RolloutPicture(
            target: .selector(""), namespace: pod.namespace, state: WorkloadState(pods: [pod]), events: events,
            asks: false, container: wanted, clues: clues)
        if let found = picture.examine().diagnoses.first { return found.failure.summary }
        if pod.phase == "Failed" || pod.phase == "Succeeded" {
            let why = [pod.reason, pod.message].compactMap { $0 }.joined(separator: ": ")
            return "\(pod.name) has ended (\(pod.phase))" + (why.isEmpty ? "" : ": \(why)")
        }
        let states = wanted.map { name in pod.lastingContainers.filter { $0.name == name } } ?? pod.containers
        if states.allSatisfy(\.isReady), pod.isReady { return nil }
        if pod.node == nil { return "\(pod.name) waits for a node" }
        guard let unready = (states + pod.containers).first(where: { !$0.isReady }) else { return nil }
        let name = "\(pod.name): container \"\(unready.name)\""
        return switch unready.now {
        case .running: "\(name) runs but is not ready yet"
        case .waiting(let reason, _) where !reason.isEmpty: "\(name) is starting (\(reason))"
        case .waiting, .unknown, .terminated: "\(name) is starting"
        }
    }

    /// Why a workload has no pods at all: its controller says so in a condition.
    static func reason(workload: JSON) -> String? {
        let name = workload.at("metadata", "name")?.string ?? ""
        if workload.at("spec", "replicas")?.integer == 0 { return "\(name) is scaled to 0 replicas" }
        if workload.at("spec", "suspend")?.bool == true { return "\(name) is suspended" }
        if workload.at("spec", "paused")?.bool == true { return "\(name) is paused" }
        let failure = (workload["status"] ?? .null).condition("ReplicaFailure")
        guard failure?["status"]?.string == "True" else { return nil }
        let namespace = workload.at("metadata", "namespace")?.string ?? ""
        let (cause, _, _) = PodRefusal(failure?["message"]?.string ?? "").explain(in: namespace)
        return "no pod of \(name) can be created: \(cause)"
    }
}
