internal import JSON

/// The label that says which project something of loopd's belongs to: services of two may have one name.
enum ProjectLabel {
    static let key = "loopd.dev/project"

    /// Throws `LoopFailure` where an object is another project's; what has no label is an earlier loopd's, and is taken over.
    static func check(_ object: JSON, of service: String, in project: String) throws {
        guard let owner = object["metadata"]?.strings("labels")[key], owner != project else { return }
        let namespace = object.at("metadata", "namespace")?.string ?? ""
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "service \(service) in namespace \(namespace) is deployed by project \(owner), this is \(project)",
                nextStep:
                    "give the service another name or this project another namespace; if it was renamed, undeploy "
                    + "it with \"project\": \"\(owner)\" first"))
    }
}
