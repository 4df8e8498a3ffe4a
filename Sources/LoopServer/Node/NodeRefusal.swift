/// Puts into words why a namespace does not take the helper pod.
enum NodeRefusal {
    /// The one line for a refusal; `nil` for an answer that may be another one at the next try.
    static func failure(_ error: KubeError, namespace: String) -> LoopFailure? {
        guard [400, 403, 422].contains(error.code) else { return nil }
        let (reason, remedy) = words(error.message)
        return LoopFailure(
            failure: LoopEvent.Failure(
                "namespace \(namespace) takes no helper pod, so nothing gets onto its nodes: \(reason)",
                nextStep: "\(remedy), or sideload into the container (without \"on\": \"node\")"))
    }

    /// Whether an admission webhook only cannot tell without doing it: then doing it tells.
    static func isOnlyDryRun(_ error: KubeError) -> Bool { error.message.contains("does not support dry run") }

    private static func words(_ message: String) -> (reason: String, remedy: String) {
        let reason = message.firstRange(of: "is forbidden: ").map { String(message[$0.upperBound...]) } ?? message
        if let policy = message.firstRange(of: "violates PodSecurity \"") {
            // What follows lists every field of the pod; the policy is what has to change.
            let level = message[policy.upperBound...].prefix { $0 != "\"" }
            return (
                "it violates PodSecurity \"\(level)\"",
                "label the namespace pod-security.kubernetes.io/enforce=privileged"
            )
        }
        if message.contains("cannot create resource") { return (reason, "let this user create pods there") }
        if reason.contains("exceeded quota") || reason.contains("failed quota") {
            return (reason, "raise the quota by one pod for each node")
        }
        return (reason, "let the policy pass pods with the label app.kubernetes.io/managed-by=loopd")
    }
}
