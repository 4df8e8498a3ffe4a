internal import Reactor

/// Why the cluster cannot be used at all; commands end with exit code 3 (`Outcome.cluster`).
struct ClusterError: Error, Equatable, Sendable, CustomStringConvertible {
    /// What kind of obstacle it is.
    enum Kind: Equatable, Sendable {
        case kubectlMissing
        case kubectlTooOld
        case badKubeconfig
        case contextNotAllowed
        case leashMissing
        case unreachable
    }

    let kind: Kind
    /// What was tried, on what, and what came back: one line.
    let summary: String
    /// What to do about it.
    let nextStep: String

    var description: String { "\(summary); \(nextStep)" }

    /// As an event's failure.
    var failure: LoopEvent.Failure { LoopEvent.Failure(summary, nextStep: nextStep) }

    /// The cluster did not answer, or not as a cluster does.
    static func unreachable(_ context: KubeContext, because reason: String) -> ClusterError {
        // A login that needs a person is kubectl's to ask for.
        let trial = context.kubectl.command(["get", "--raw", "/version"]).joined(separator: " ")
        return ClusterError(
            kind: .unreachable,
            summary: "cluster of context \"\(context.name)\" at \(context.server) does not answer: \(reason)",
            nextStep: "start it, log in (`\(trial)`), or choose another one with --context")
    }
}
