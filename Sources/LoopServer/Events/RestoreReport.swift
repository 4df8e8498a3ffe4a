public import JSON

/// What `loopd restore` has done.
public struct RestoreReport: ClusterReport, Equatable {
    /// One workload that was in dev mode, was deleted to be made anew, or has an image that a killed loopd has set.
    public struct Entry: Equatable, Sendable {
        /// The workload: `deployment/web`.
        public var target: String
        /// The service of `loop.json` that it is; `nil` where the file does not name it.
        public var service: String?
        /// The container that the helper ran.
        public var container: String?
        /// Fields that somebody else has changed, and that stay.
        public var kept: [String] = []
        /// What could not be cleared away beside it.
        public var left: [String] = []
        /// Whether it was gone, and is there again.
        public var isRecreated = false
        /// Whether it was in order but for fields that a killed loopd owned, and that are nobody's now.
        public var isGivenBack = false
        /// Why it still is in dev mode, or gone.
        public var problem: String?
    }

    /// The kubeconfig's context.
    public var context: String
    /// The namespace.
    public var namespace: String
    /// What the cluster said instead of answering; `nil` when it did answer.
    public var unreachable: String?
    /// The workloads that were in dev mode, or gone.
    public var workloads: [Entry] = []

    /// A report about nothing yet.
    public init(context: String, namespace: String, unreachable: String? = nil) {
        self.context = context
        self.namespace = namespace
        self.unreachable = unreachable
    }

    /// The report for people.
    public var lines: [String] {
        if let unreachable { return ["✗ \(Printable.text(unreachable))"] }
        guard !workloads.isEmpty else { return ["nothing is in dev mode in namespace \(Printable.text(namespace))"] }
        return workloads.map { entry in
            if let problem = entry.problem { return Printable.text("✗ \(entry.target): \(problem)") }
            if entry.isRecreated {
                return Printable.text("\(entry.target) was deleted to be made anew, and is there again")
            }
            if entry.isGivenBack {
                return Printable.text("\(entry.target) keeps its image, which is for others to change again")
            }
            let kept = entry.kept.isEmpty ? "" : "; kept what others changed: \(entry.kept.joined(separator: ", "))"
            let left = entry.left.map { "; \($0)" }.joined()
            return Printable.text(
                "\(entry.target) is out of dev mode (container \(entry.container ?? ""))\(kept)\(left)")
        }
    }

    /// The report as one JSON object, the form of `--output json`.
    public var json: JSON {
        var object = JSONObject()
        object["context"] = .string(context)
        object["namespace"] = .string(namespace)
        object["reachable"] = .bool(unreachable == nil)
        object["reason"] = unreachable.map(JSON.string)
        object["workloads"] = .array(
            workloads.map { entry in
                var object = JSONObject()
                object["target"] = .string(entry.target)
                object["service"] = entry.service.map(JSON.string)
                object["restored"] = .bool(entry.problem == nil)
                object["recreated"] = entry.isRecreated ? true : JSON?.none
                object["givenBack"] = entry.isGivenBack ? true : JSON?.none
                object["container"] = entry.container.map(JSON.string)
                object["kept"] = entry.kept.isEmpty ? JSON?.none : .array(entry.kept.map(JSON.string))
                object["left"] = entry.left.isEmpty ? JSON?.none : .array(entry.left.map(JSON.string))
                object["problem"] = entry.problem.map(JSON.string)
                return .object(object)
            })
        return .object(object)
    }
}
