internal import JSON

/// The pod templates that a workload had before: pure functions of its revisions.
enum EarlierTemplates {
    /// One of them.
    struct Earlier: Equatable, Sendable {
        let template: JSON
        /// When it was there for the first time.
        let created: Timestamp?
    }

    /// The templates of a workload's ReplicaSets or ControllerRevisions, the newest first.
    static func templates(of workload: JSON, among revisions: [JSON]) -> [Earlier] {
        let uid = workload.at("metadata", "uid")?.string
        let own = revisions.filter { $0["metadata"]?.controllerUID == uid && uid != nil }
        return own.sorted { number($0) > number($1) }.compactMap { revision in
            let created = revision.at("metadata", "creationTimestamp")?.string.flatMap { Timestamp(rfc3339: $0) }
            return (revision.at("spec", "template") ?? revision.at("data", "spec", "template")).map {
                Earlier(template: $0, created: created)
            }
        }
    }

    private static func number(_ revision: JSON) -> Int64 {
        if let number = revision["revision"]?.integer { return number }
        let annotations = revision["metadata"]?.strings("annotations") ?? [:]
        return annotations["deployment.kubernetes.io/revision"].flatMap { Int64($0) } ?? 0
    }

    /// The image that a container has in a template.
    static func image(of container: String, _ list: String, in template: JSON) -> String? {
        template.at("spec", list)?.array?.first { $0["name"]?.string == container }?["image"]?.string
    }
}
