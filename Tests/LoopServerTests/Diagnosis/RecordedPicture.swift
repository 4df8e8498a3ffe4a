import JSON
@testable import LoopServer

/// A recorded state as the diagnosis sees it.
struct RecordedPicture {
    var picture: RolloutPicture
    /// What each container's log holds.
    var logs: [String: [String]] = [:]
    var room: [NodeRoom]?
    /// Whether the nodes are ready, where that can be seen.
    var isNodeReady: Bool?

    /// A recorded Deployment with its pods, and the events of its namespace.
    init(_ name: String, registry: RegistryNames? = nil) throws {
        let workload = try Recording.json("deployments/\(name == "running" ? "app" : name).json")
        let hasPods = !["quota", "pod-security"].contains(name)
        let events = try Recording.json("events/broken.json")["items"]?.array ?? []
        picture = RolloutPicture(
            target: .workload(.deployment, name: workload.at("metadata", "name")?.string ?? ""),
            namespace: workload.at("metadata", "namespace")?.string ?? "",
            state: WorkloadState(workload: workload, pods: hasPods ? try Recording.pods(name) : []),
            events: events.filter { $0["type"]?.string == "Warning" }.map { ObjectEvent($0) })
        picture.clues.names = registry
    }

    /// Changes the first pod.
    mutating func changePod(_ change: (inout JSON) throws -> Void) rethrows {
        var pod = picture.state.pods[0].object
        try change(&pod)
        picture.state.pods[0] = PodState(pod)
    }

    /// Sets the state of the first pod's only container; `now` and `last` as the API has them.
    mutating func setContainer(_ now: JSON, last: JSON = [:], ready: Bool = false, restarts: Int64 = 0) {
        changePod { pod in
            let name = pod.at("spec", "containers")?[0]?["name"] ?? ""
            pod["status"]?["containerStatuses"] = [
                [
                    "name": name, "state": now, "lastState": last, "ready": .bool(ready),
                    "restartCount": .integer(restarts), "containerID": "containerd://present",
                ]
            ]
        }
    }

    /// Changes the spec of the first pod's only container.
    mutating func changeSpec(_ change: (inout JSON) -> Void) {
        changePod { pod in
            var container = pod.at("spec", "containers")?[0] ?? [:]
            change(&container)
            pod["spec"]?["containers"] = [container]
        }
    }

    /// Adds a warning about the first pod; at the end of time where none is given.
    mutating func warn(
        _ reason: String, _ message: String, container: String? = nil, count: Int64 = 1,
        at time: String = "2030-01-01T00:00:00Z"
    ) {
        var subject: JSON = ["uid": .string(picture.state.pods[0].uid)]
        subject["fieldPath"] = container.map { .string("spec.containers{\($0)}") }
        picture.events.append(
            ObjectEvent([
                "involvedObject": subject, "reason": .string(reason), "message": .string(message),
                "count": .integer(count), "lastTimestamp": .string(time),
            ]))
    }

    /// What is found when every question is answered.
    func examine() -> DiagnosisFindings {
        var picture = picture
        for _ in 0..<5 {
            let found = picture.examine()
            if found.questions.isEmpty { return found }
            for question in found.questions { picture.answers[question] = answer(question) }
        }
        return picture.examine()
    }

    /// The only cause, in all its words.
    func cause() -> String? {
        let found = examine().diagnoses
        guard found.count == 1 else { return found.isEmpty ? nil : "\(found.count) causes: \(found)" }
        return RecordedPicture.text(found[0])
    }

    static func text(_ diagnosis: Diagnosis) -> String {
        ([diagnosis.failure.summary] + diagnosis.failure.details + ["→ \(diagnosis.failure.nextStep ?? "")"])
            .joined(separator: "\n")
    }

    private func answer(_ question: Question) -> Answer {
        switch question {
        case .log(_, let container, _, _): logs[container].map { .lines($0) } ?? .lines([])
        case .claim(let name): .claim(VolumeClaim(name: name))
        case .room: room.map { .room($0) } ?? .unknown
        case .templateTime: .unknown
        case .node: isNodeReady.map { .node(isReady: $0) } ?? .unknown
        }
    }
}
