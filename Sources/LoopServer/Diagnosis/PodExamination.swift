internal import JSON

/// Looks for what keeps one pod from being ready: the first cause on the way from scheduling to readiness.
struct PodExamination {
    let pod: PodState
    let picture: RolloutPicture
    var findings: DiagnosisFindings
    /// The container that is looked at; `nil` is the pod as a whole.
    private var subject: String?

    /// What is found in a pod, after what is known.
    init(pod: PodState, picture: RolloutPicture, findings: DiagnosisFindings) {
        self.pod = pod
        self.picture = picture
        self.findings = findings
    }

    /// Adds what is wrong with the pod.
    mutating func examine() {
        guard !pod.isTerminating else { return }
        if pod.phase == "Failed" || pod.phase == "Succeeded", let reason = pod.reason, reason != "PodFailed" {
            return over(reason)
        }
        if let node = pod.node, let event = silence {
            if picture.asks, picture.answers[.node(node)] == nil { return findings.ask(.node(node)) }
            // What its status says is from before.
            if picture.answers[.node(node)] != .node(isReady: true) { return unreachable(event) }
        }
        if let message = pod.unschedulable { return unschedulable(message) }
        let isPrepared = hasVolumes()
        for container in pod.initContainers {
            let before = findings
            examine(container, isInit: true)
            if findings != before { return }
            // The next one has not begun.
            guard container.isSidecar ? container.isStarted : container.hasSucceeded else { return }
        }
        guard isPrepared else { return }
        for container in pod.containers where picture.container == nil || picture.container == container.name {
            examine(container, isInit: false)
        }
    }

    private mutating func examine(_ container: ContainerState, isInit: Bool) {
        subject = container.name
        defer { subject = nil }
        switch container.now {
        case .unknown: break
        case .waiting(let reason, let message): waits(container, reason, message)
        case .terminated(let end):
            // A program that is done is a failure only where it must not be done.
            let isMeantToEnd = isInit && !container.isSidecar || pod.restartPolicy != "Always"
            // It is started again.
            if end.isUnseen, !isMeantToEnd { return }
            if end.exitCode != 0 || !isMeantToEnd { ended(container, end, isPrevious: false) }
        case .running:
            if container.isReady || isInit && !container.isSidecar { return }
            // It runs: that the way into it is lost is another matter.
            subject = nil
            if isUnhealthy(container) { return }
            if isUnready(container) { return }
            if let last = container.last, !container.hasReturned,
                last.exitCode != 0 || pod.restartPolicy == "Always"
            {
                // It has just been started again.
                subject = container.name
                ended(container, last, isPrevious: true)
            } else {
                isLate(container)
            }
        }
    }

    private mutating func waits(_ container: ContainerState, _ reason: String, _ message: String) {
        switch reason {
        case "", "ContainerCreating", "PodInitializing": break
        case "CrashLoopBackOff":
            if let last = container.last {
                ended(container, last, isPrevious: true)
            } else {
                add(["start", container.name], "\(title(container)) cannot start: \(message)")
            }
        case "CreateContainerConfigError": cannotBeConfigured(container, message)
        case "RunContainerError", "CreateContainerError", "StartError", "ContainerCannotRun":
            cannotStart(container, message.isEmpty ? container.last?.message ?? "" : message)
        case "PostStartHookError", "PreStopHookError":
            add(
                ["hook", container.name, reason], "\(title(container)): its \(reason.dropLast(5)) fails",
                // The words before are the whole command, which may hold a password.
                [message.firstRange(of: "' exited").map { "exited" + message[$0.upperBound...] } ?? reason],
                next: "the hook is in the pod's spec: \(describe("pod", pod.name))")
        case "ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
            "RegistryUnavailable", "SignatureValidationFailed":
            cannotPull(container, reason, message)
        default: add(["waits", container.name, reason], "\(title(container)) cannot start: \(reason)", [message])
        }
    }

    // MARK: The pod as a whole

    /// A pod that was ended, or never let in, by its node.
    private mutating func over(_ reason: String) {
        let next =
            switch reason {
            case "Evicted":
                "free what the node lacks, or set requests that say what the pod uses: \(describe("node", pod.node ?? ""))"
            case "DeadlineExceeded": "its activeDeadlineSeconds has passed: is it long enough?"
            default: describe("pod", pod.name)
            }
        let what = reason == "Evicted" ? "was evicted from node \(pod.node ?? "")" : "has ended: \(reason)"
        add(["over", reason, material(pod.message ?? "")], "\(pod.name) \(what)", [pod.message ?? ""], next: next)
    }

    /// What tells that the cluster did not hear from the pod's node, unless the pod was heard of since: events stay for an
    /// hour, and a laptop that has slept makes one.
    private var silence: ObjectEvent? {
        guard !pod.isReady, let event = picture.events(about: pod.uid, "NodeNotReady").first else { return nil }
        let ready = (pod.object["status"] ?? .null).condition("Ready")?["lastTransitionTime"]?.string
        let runs = (pod.initContainers + pod.containers).flatMap { [$0.startedAt, $0.last?.startedAt] }
        return ([ready] + runs).allSatisfy { $0 ?? "" <= event.last } ? event : nil
    }

    private mutating func unreachable(_ event: ObjectEvent) {
        add(
            ["node", pod.node ?? ""], "\(pod.name): its node \(pod.node ?? "") is not ready", [event.message],
            next: "the cluster does not hear from it: \(describe("node", pod.node ?? ""))")
    }

    /// Whether the pod has what its containers need before they can be made.
    private mutating func hasVolumes() -> Bool {
        let states = pod.initContainers + pod.containers
        guard pod.node != nil, !states.contains(where: \.hasBegun) else { return true }
        let events = picture.events(
            about: pod.uid, "FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox",
            "NetworkNotReady", "FailedCreatePodContainer")
        for event in events where !isPassing(event) {
            cannotBePrepared(event)
            return false
        }
        return true
    }

    // MARK: Words

    /// `web-1: container "web"`, also for an init container and a sidecar.
    func title(_ container: ContainerState) -> String {
        let isInit = pod.initContainers.contains { $0.name == container.name }
        let kind = isInit ? container.isSidecar ? "sidecar" : "init container" : "container"
        return "\(pod.name): \(kind) \"\(container.name)\""
    }

    /// How to read more than the decisive line.
    func logCommand(_ container: ContainerState, isPrevious: Bool) -> String {
        "`kubectl logs \(pod.name) -n \(picture.namespace) -c \(container.name)\(isPrevious ? " --previous" : "")`"
    }

    func describe(_ kind: String, _ name: String) -> String {
        "`kubectl describe \(kind) \(name)\(kind == "node" ? "" : " -n \(picture.namespace)")`"
    }

    /// A text without the pod's own name and numbers.
    func material(_ text: String) -> String {
        DecisiveLines.material(text.replacing(pod.name, with: "").replacing(pod.uid, with: ""))
    }

    mutating func add(_ key: [String], _ summary: String, _ details: [String] = [], next: String? = nil) {
        findings.add(
            Diagnosis(
                key: [pod.revision] + key, container: subject,
                failure: LoopEvent.Failure(summary, details: details.filter { !$0.isEmpty }, nextStep: next)))
    }

    /// The decisive lines of a run, or `nil` while they are on their way.
    mutating func log(of container: ContainerState, run: String, isPrevious: Bool) -> DecisiveLines.Choice? {
        guard picture.asks else { return DecisiveLines.Choice(lines: [], isTelling: false) }
        func question(_ isPrevious: Bool) -> Question {
            .log(pod: pod.name, container: container.name, run: run, isPrevious: isPrevious)
        }
        // Asked for while the run was the present one, it may have been the next one's that came.
        let early = picture.answers[question(false)]
        if case .lines(let lines)? = early, !lines.isEmpty { return DecisiveLines.choose(lines) }
        guard let answer = isPrevious ? picture.answers[question(true)] : early else {
            findings.ask(question(isPrevious))
            return nil
        }
        if case .lines(let lines) = answer { return DecisiveLines.choose(lines) }
        return DecisiveLines.Choice(lines: [], isTelling: false, isRead: false)
    }
}

extension PodState {
    /// Which revision of its workload it is of.
    var revision: String {
        labels["pod-template-hash"] ?? labels["controller-revision-hash"] ?? owner ?? ""
    }

    var restartPolicy: String { object.at("spec", "restartPolicy")?.string ?? "Always" }
}

extension ContainerState {
    /// Whether it runs or has run.
    var hasBegun: Bool {
        switch now {
        case .running, .terminated: true
        case .waiting(let reason, _): last != nil || !["", "ContainerCreating", "PodInitializing"].contains(reason)
        case .unknown: last != nil
        }
    }

    /// Whether it was started again because its node was: nobody has seen its run end, which is not its own failure.
    var hasReturned: Bool {
        guard let last else { return false }
        // What was running when dockerd stopped has this code.
        return last.isUnseen || restarts == 1 && last.exitCode == 255
    }

    /// Whether it has done what an init container is for.
    var hasSucceeded: Bool { if case .terminated(let end) = now { end.exitCode == 0 } else { false } }

    var isStarted: Bool { now == .running }
}

extension ContainerState.Termination {
    /// Whether it had ended when its node looked for it again: the words of containerd and of the kubelet.
    var isUnseen: Bool { reason == "Unknown" || reason == "ContainerStatusUnknown" }
}
