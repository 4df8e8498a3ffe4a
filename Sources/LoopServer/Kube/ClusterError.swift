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
    static func unreachable(_ context: String, server: String, because reason: String) -> ClusterError {
        ClusterError(
            kind: .unreachable, summary: "cluster of context \"\(context)\" at \(server) does not answer: \(reason)",
            nextStep: "start it, or choose another one with --context")
    }
}
