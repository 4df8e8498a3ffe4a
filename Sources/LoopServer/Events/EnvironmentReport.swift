public import JSON

/// The variables of a service's container, for `loopd env SERVICE`.
///
/// The one report that holds values of Secrets: they are what was asked for.
public struct EnvironmentReport: ClusterReport {
    /// The kubeconfig's context.
    public var context: String
    /// What the cluster said instead of answering; `nil` when it did answer.
    public var unreachable: String?
    /// The variables in the order in which they are set.
    public var variables: [(String, String)] = []
    /// What is left out, and why; no values are in it.
    public var notices: [String] = []
    /// Why there are none.
    public var failure: LoopEvent.Failure?

    /// A report about nothing yet.
    public init(context: String, namespace: String, unreachable: String?) {
        (self.context, self.unreachable) = (context, unreachable)
    }

    /// The report for people.
    public var lines: [String] { variables.map { "\($0)=\($1)" } }

    /// The report as one JSON object.
    public var json: JSON {
        var object = JSONObject()
        for (name, value) in variables { object[name] = .string(value) }
        return .object(object)
    }
}
