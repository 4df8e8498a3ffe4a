internal import JSON

/// Pods that no node takes, and volumes that do not come.
extension PodExamination {
    mutating func unschedulable(_ message: String) {
        let reasons = SchedulingReasons(message)
        if let name = reasons.missingClaim {
            return add(
                ["claim", name], "\(pod.name): there is no PersistentVolumeClaim \"\(name)\"",
                [reasons.text], next: "create it in namespace \(picture.namespace), or correct claimName")
        }
        if reasons.hasUnboundClaim { return waitsForClaim(reasons) }
        var details: [String] = []
        if !reasons.short.isEmpty, picture.asks {
            guard let answer = picture.answers[.room] else { return findings.ask(.room) }
            if case .room(let nodes) = answer { details = reasons.short.compactMap { shortage($0, nodes) } }
        }
        if details.isEmpty {
            let wanted = ResourceAmount.requests(of: pod.object)
            details = reasons.short.compactMap { resource in
                wanted[resource].map { "it asks for \(resource) \($0.text(of: resource))" }
            }
        }
        details += selectors(reasons)
        add(
            ["place", material(reasons.text)], "\(pod.name): no node takes it: \(reasons.text)", details,
            next: reasons.advice)
    }

    private func shortage(_ resource: String, _ nodes: [NodeRoom]) -> String? {
        guard let wanted = ResourceAmount.requests(of: pod.object)[resource] else { return nil }
        let asked = "it asks for \(resource) \(wanted.text(of: resource))"
        let most = nodes.compactMap { node in node.free(resource).map { (node, $0) } }.max { $0.1.value < $1.1.value }
        guard let (node, free) = most else { return "\(asked); no node has any" }
        let all = node.allocatable[resource]?.text(of: resource) ?? "?"
        return "\(asked); the most that is free is \(free.text(of: resource)) of \(all), on node \(node.name)"
    }

    /// What the pod itself says about nodes.
    private func selectors(_ reasons: SchedulingReasons) -> [String] {
        guard reasons.text.contains("affinity/selector") else { return [] }
        let labels = (pod.object["spec"] ?? .null).strings("nodeSelector").sorted { $0.key < $1.key }
        return labels.isEmpty
            ? [] : ["its nodeSelector: " + labels.map { "\($0.key)=\($0.value)" }.joined(separator: ", ")]
    }

    private mutating func waitsForClaim(_ reasons: SchedulingReasons) {
        let names = (pod.object.at("spec", "volumes")?.array ?? []).compactMap {
            $0.at("persistentVolumeClaim", "claimName")?.string
        }
        var open: [VolumeClaim] = []
        for name in names where picture.asks {
            guard let answer = picture.answers[.claim(name)] else {
                findings.ask(.claim(name))
                continue
            }
            if case .claim(let claim) = answer, claim.phase != "Bound" { open.append(claim) }
        }
        guard findings.questions.isEmpty else { return }
        guard let claim = open.first else {
            return add(["claim"], "\(pod.name): a PersistentVolumeClaim of it is not bound", [reasons.text])
        }
        let kind = claim.storageClass.map { "storage class \"\($0)\"" } ?? "without a storage class"
        if claim.complaint == nil, claim.storageClass != nil {
            // A volume takes its time to be made: a failure when it does not come.
            let limit = Duration.seconds(10)
            let age = picture.ages[pod.uid] ?? .zero
            if age < limit { return findings.lookAgain(after: limit - age) }
        }
        add(
            ["claim", claim.name, claim.complaint ?? ""],
            "\(pod.name): PersistentVolumeClaim \"\(claim.name)\" (\(kind)) is not bound",
            [claim.complaint ?? reasons.text],
            next: claim.storageClass == nil
                ? "name a storageClassName that the cluster has (`kubectl get storageclass`), or make a PersistentVolume"
                : "does its storage class exist, and its provisioner run? \(describe("pvc", claim.name))")
    }

    /// Whether an event about the pod's surroundings is one that goes by itself.
    func isPassing(_ event: ObjectEvent) -> Bool {
        if event.message.contains("failed to sync") && event.message.contains("cache") { return true }
        // A network that has just started answers at the second attempt.
        return event.reason == "FailedCreatePodSandBox" && event.count < 2
    }

    /// A pod whose containers cannot be made, because of a volume or the network.
    mutating func cannotBePrepared(_ event: ObjectEvent) {
        guard event.reason.hasPrefix("Failed"), event.reason != "FailedCreatePodSandBox" else {
            return add(
                ["sandbox", material(event.message)],
                "\(pod.name): node \(pod.node ?? "") cannot set up its network or "
                    + "sandbox", [event.message], next: describe("node", pod.node ?? ""))
        }
        // `MountVolume.SetUp failed for volume "config" : configmap "x" not found`
        let volume = event.message.firstRange(of: "volume \"").map {
            String(event.message[$0.upperBound...].prefix { $0 != "\"" })
        }
        let cause =
            event.message.firstRange(of: "\" : ").map { String(event.message[$0.upperBound...]) } ?? event.message
        let missing = MissingReference(cause) ?? key(cause, of: volume)
        add(
            ["mount", volume ?? "", material(cause)],
            "\(pod.name): volume \(volume.map { "\"\($0)\" " } ?? "")cannot be mounted: \(missing?.words ?? cause)",
            missing == nil ? [] : [cause], next: missing?.advice(in: picture.namespace) ?? describe("pod", pod.name))
    }

    /// A key that a volume names: the kubelet does not repeat of what.
    private func key(_ cause: String, of volume: String?) -> MissingReference? {
        guard let found = cause.firstRange(of: "key: "), cause.contains("references non-existent") else { return nil }
        let key = String(cause[found.upperBound...])
        let spec = (pod.object.at("spec", "volumes")?.array ?? []).first { $0["name"]?.string == volume }
        if cause.contains("secret"), let name = spec?.at("secret", "secretName")?.string {
            return MissingReference(kind: "Secret", name: name, key: key)
        }
        return spec?.at("configMap", "name")?.string.map { MissingReference(kind: "ConfigMap", name: $0, key: key) }
    }
}

/// Why no node takes a pod, by the scheduler's words.
struct SchedulingReasons: Equatable {
    /// Without what the scheduler has tried in vain.
    let text: String

    init(_ message: String) {
        var text = message[...]
        for end in [". preemption: ", ". no new claims", ", preemption: ", " preemption: "] {
            if let found = text.firstRange(of: end) { text = text[..<found.lowerBound] }
        }
        // `persistentvolumeclaim "x" not found. not found`
        if let found = text.firstRange(of: ". not found") { text = text[..<found.lowerBound] }
        while text.hasSuffix(".") { text.removeLast() }
        self.text = String(text)
    }

    /// The resources that are short.
    var short: [String] {
        text.split(separator: "Insufficient ").dropFirst().map { String($0.prefix { !", ".contains($0) }) }
    }

    /// A claim that is not there.
    var missingClaim: String? {
        guard let found = text.firstRange(of: "persistentvolumeclaim \""), text.contains("not found") else {
            return nil
        }
        return String(text[found.upperBound...].prefix { $0 != "\"" })
    }

    var hasUnboundClaim: Bool { text.contains("unbound immediate PersistentVolumeClaims") }

    /// What to do.
    var advice: String {
        if !short.isEmpty {
            return "lower its resources.requests, or make room: `kubectl describe nodes` shows who has it"
        }
        if text.contains("taint") { return "add a toleration for the taint, or remove it from a node" }
        if text.contains("affinity/selector") {
            return "correct nodeSelector or affinity, or label a node; `kubectl get nodes --show-labels`"
        }
        if text.contains("volume node affinity") {
            return "its volume is on another node than those that are free for it"
        }
        if text.contains("unschedulable") { return "let a node take pods again: `kubectl uncordon NODE`" }
        if text.contains("Too many pods") { return "remove pods, or add a node" }
        if text.contains("free ports") { return "its hostPort is taken on every node: use another one, or a Service" }
        if text.contains("anti-affinity") || text.contains("topology spread") {
            return "there are fewer nodes than its spreading asks for: fewer replicas, or a softer rule"
        }
        return "`kubectl describe nodes` shows what they have and refuse"
    }
}

extension MissingReference {
    init(kind: String, name: String, key: String?) {
        self.kind = kind
        self.name = name
        self.key = key
    }
}
