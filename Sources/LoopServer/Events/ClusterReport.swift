public import JSON

/// What a command found on a cluster, or that it could not be reached.
public protocol ClusterReport: Sendable {
    /// The kubeconfig's context.
    var context: String { get set }
    /// What the cluster said instead of answering; `nil` when it did answer.
    var unreachable: String? { get set }
    /// The report for people.
    var lines: [String] { get }
    /// The report as one JSON object, the form of `--output json`.
    var json: JSON { get }

    /// A report about nothing yet.
    init(context: String, namespace: String, unreachable: String?)
}
