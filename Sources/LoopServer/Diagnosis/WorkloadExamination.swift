internal import JSON

/// Looks for what keeps a workload's controller from making its pods.
struct WorkloadExamination {
    let workload: JSON
    let picture: RolloutPicture
    var findings: DiagnosisFindings

    /// Adds what is wrong with the workload.
    mutating func examine() {
        let status = workload["status"] ?? .null
        if workload.at("spec", "paused")?.bool == true {
            add(
                ["paused"], "\(picture.target) is paused: its change is not rolled out",
                next: "`kubectl rollout resume \(picture.target) -n \(picture.namespace)`")
        }
        if let message = refusal(status) {
            let refusal = PodRefusal(message)
            let (cause, details, advice) = refusal.explain(in: picture.namespace)
            add(
                ["refused", DecisiveLines.material(refusal.shortened)],
                "no pod of \(picture.target) can be created: \(cause)", details, next: advice)
        }
        let progress = status.condition("Progressing")
        if progress?["reason"]?.string == "ProgressDeadlineExceeded", findings == DiagnosisFindings() {
            let seconds = workload.at("spec", "progressDeadlineSeconds")?.integer ?? 600
            add(
                ["deadline"], "\(picture.target) makes no progress: its deadline of \(seconds) s has passed",
                [progress?["message"]?.string ?? ""],
                next: "`kubectl describe \(picture.target) -n \(picture.namespace)`")
        }
    }

    /// Why the last pod was refused, while pods are missing.
    private mutating func refusal(_ status: JSON) -> String? {
        let live = picture.state.pods.filter { !$0.isOver }
        if let wanted = picture.state.wantedPods, live.count >= wanted { return nil }
        let revision = picture.state.revision
        // The condition keeps its first message, whatever the next pod is refused for: the events know better.
        var own = picture.events(about: workload.at("metadata", "uid")?.string ?? "", "FailedCreate")
        if !own.isEmpty {
            guard let time = templateTime() else { return nil }
            own = own.filter { $0.last >= time }
        }
        let set = revision.map { picture.events(about: $0.uid, "FailedCreate") } ?? []
        let events = (own + set).sorted { $0.last > $1.last }
        if let newest = events.first {
            // A pod that came later tells that it has healed.
            let youngest = picture.state.pods.map(\.created).max() ?? ""
            return max(youngest, picture.youngestPod) > newest.last ? nil : newest.message
        }
        let failure = status.condition("ReplicaFailure")
        guard failure?["status"]?.string == "True", let message = failure?["message"]?.string else { return nil }
        // The one of an older revision may still stand there.
        let isOurs = revision.map { !PodRefusal.namesPod(message) || message.contains("\"\($0.name)-") } ?? true
        return isOurs ? message : nil
    }

    /// Since when the workload makes such pods as it does: what was said of it before is about others.
    ///
    /// By the server's clock, as the times of events are; `nil` while it is asked for.
    private mutating func templateTime() -> String? {
        switch picture.target {
        case .workload(.statefulset, _), .workload(.daemonset, _): break
        // The events of a Deployment's revision are about its ReplicaSet, and a Job never changes.
        default: return ""
        }
        let question = Question.templateTime(generation: generation)
        switch picture.answers[question] {
        case .time(let time): return time
        case nil where picture.asks:
            findings.ask(question)
            return nil
        default: return ""
        }
    }

    private var generation: Int { workload.at("metadata", "generation")?.integer.map { Int($0) } ?? 0 }

    private mutating func add(_ key: [String], _ summary: String, _ details: [String] = [], next: String? = nil) {
        findings.add(
            Diagnosis(
                key: ["\(generation)"] + key,
                failure: LoopEvent.Failure(summary, details: details.filter { !$0.isEmpty }, nextStep: next)))
    }
}

/// Why a pod was not let into the cluster: a pure function of the API server's words.
struct PodRefusal {
    /// Without what the controller puts before them.
    let words: String

    init(_ message: String) {
        var text = message[...]
        for marker in [" failed error: ", "Error creating: "] {
            if let found = text.firstRange(of: marker) { text = text[found.upperBound...] }
        }
        words = String(text)
    }

    /// Whether the message is about a pod by its name.
    static func namesPod(_ message: String) -> Bool { message.contains("pods \"") }

    /// The cause in a few words, what it consists of, and what to do.
    func explain(in namespace: String) -> (cause: String, details: [String], advice: String) {
        if let violation { return violation }
        if let quota = quota(namespace) { return quota }
        if let found = words.firstRange(of: "admission webhook \"") {
            let name = words[found.upperBound...].prefix { $0 != "\"" }
            let reason = words.firstRange(of: "denied the request: ").map { String(words[$0.upperBound...]) }
            return (
                "admission webhook \"\(name)\" denies it", [reason ?? words],
                "do what it asks for, or exempt the namespace from it"
            )
        }
        if words.contains("failed calling webhook") {
            let name = words.firstRange(of: "webhook \"").map { words[$0.upperBound...].prefix { $0 != "\"" } } ?? "?"
            return (
                "admission webhook \"\(name)\" does not answer", [words],
                "does its service run? `kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations`"
            )
        }
        if words.lowercased().contains("serviceaccount"), words.contains("not found"),
            let found = words.firstRange(of: "serviceaccount \"")
        {
            let name = words[found.upperBound...].prefix { $0 != "\"" }
            return (
                "there is no ServiceAccount \"\(name)\"", [words],
                "create it in namespace \(namespace), or correct serviceAccountName"
            )
        }
        if words.contains("usage per Container") || words.contains("usage per Pod") {
            return (
                "a LimitRange refuses its resources", [shortened],
                "`kubectl describe limitrange -n \(namespace)` shows what it allows"
            )
        }
        if words.contains("PriorityClass") { return (shortened, [], "`kubectl get priorityclasses`") }
        return (shortened, [], "`kubectl get events -n \(namespace)` tells more")
    }

    /// A policy's list: `violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "app" must set …), …`.
    private var violation: (cause: String, details: [String], advice: String)? {
        guard let found = words.firstRange(of: "violates PodSecurity \"") else { return nil }
        let level = words[found.upperBound...].prefix { $0 != "\"" }
        let rest = words[found.upperBound...].dropFirst(level.count + 1)
        var parts: [String] = [""]
        var depth = 0
        for character in rest.drop(while: { ": ".contains($0) }) {
            if character == "(" { depth += 1 }
            if character == ")" { depth -= 1 }
            if character == ",", depth == 0 {
                parts.append("")
            } else {
                parts[parts.count - 1].append(character)
            }
        }
        let name = level.prefix { $0 != ":" }
        return (
            "Pod Security \"\(name)\" refuses it", parts.map(\.trimmed),
            "set what it asks for in the pod's or container's securityContext, or lower the namespace's label "
                + "pod-security.kubernetes.io/enforce"
        )
    }

    /// A quota's figures: `exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0`.
    private func quota(_ namespace: String) -> (cause: String, details: [String], advice: String)? {
        func name(after marker: String, until end: Character) -> Substring? {
            words.firstRange(of: marker).map { words[$0.upperBound...].prefix { $0 != end } }
        }
        if let name = name(after: "exceeded quota: ", until: ",") {
            let figures = words.firstRange(of: "requested: ").map { String(words[$0.lowerBound...]) }
            return (
                "ResourceQuota \"\(name)\" is used up", [figures ?? words],
                "raise it, ask for less, or remove pods: `kubectl describe quota \(name) -n \(namespace)`"
            )
        }
        if let name = name(after: "failed quota: ", until: ":") {
            let missing = words.firstRange(of: "must specify ").map { String(words[$0.lowerBound...]) }
            return (
                "ResourceQuota \"\(name)\" wants every container to say what it needs", [missing ?? words],
                "set those resources.requests and resources.limits in the container"
            )
        }
        return nil
    }

    /// Without the name of the pod, which nobody has given it.
    var shortened: String {
        guard words.hasPrefix("pods \""), let found = words.firstRange(of: "\" is ") else { return words }
        let rest = words[found.upperBound...]
        return rest.hasPrefix("forbidden: ") ? String(rest.dropFirst("forbidden: ".count)) : String(rest)
    }
}
