internal import JSON

/// Which container of a pod a request means.
enum ContainerChoice {
    enum Purpose { case log, exec }

    /// The container's name; an ambiguous or wrong one is refused as the API server does it.
    static func container(_ asked: String, of pod: JSON, purpose: Purpose) throws -> String {
        let name = pod.at("metadata", "name")?.string ?? ""
        let main = names(pod, .main)
        let all = names(pod, .initial) + main + names(pod, .ephemeral)
        if !asked.isEmpty {
            guard all.contains(asked) else {
                throw StatusError.badRequest("container \(asked) is not valid for pod \(name)")
            }
            return asked
        }
        let annotation = pod.at("metadata", "annotations", "kubectl.kubernetes.io/default-container")?.string
        if let annotation, purpose == .log, all.contains(annotation) { return annotation }
        guard main.count > 1 else { return main.first ?? "" }
        var message =
            "a container name must be specified for pod \(name), choose one of: [\(main.joined(separator: " "))]"
        let initial = names(pod, .initial)
        if !initial.isEmpty { message += " or one of the init containers: [\(initial.joined(separator: " "))]" }
        throw StatusError.badRequest(message)
    }

    /// The container's entry in the pod's status.
    static func status(of name: String, in pod: JSON) -> JSON? {
        for key in ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"] {
            if let found = pod.at("status", key)?.array?.first(where: { $0["name"]?.string == name }) { return found }
        }
        return nil
    }

    private static func names(_ pod: JSON, _ kind: ContainerRecord.Kind) -> [String] {
        (pod.at("spec", kind.rawValue)?.array ?? []).compactMap { $0["name"]?.string }
    }
}
