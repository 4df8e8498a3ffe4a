internal import JSON

/// Where the pods' spec stands in an object, by its kind.
enum PodSpecPlace {
    /// The names on the way to the spec; `nil` for a kind that makes no pods, as far as loopd knows.
    static func path(in object: JSON) -> [String]? {
        switch object["kind"]?.string {
        case "Pod": ["spec"]
        case "PodTemplate": ["template", "spec"]
        case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job":
            ["spec", "template", "spec"]
        case "CronJob": ["spec", "jobTemplate", "spec", "template", "spec"]
        default: nil
        }
    }

    /// The pods' spec in an object.
    static func spec(in object: JSON) -> JSON? {
        guard let path = path(in: object) else { return nil }
        return path.reduce(JSON?.some(object)) { value, key in value?[key] }
    }

    /// The lists of a pod's spec that hold containers.
    static let lists = ["initContainers", "containers", "ephemeralContainers"]
}

extension JSON {
    /// Replaces the value at the end of some names; what is not there stays away.
    func replacing(at path: ArraySlice<String>, _ change: (JSON) throws(LoopFailure) -> JSON) throws(LoopFailure)
        -> JSON
    {
        guard let key = path.first else { return try change(self) }
        guard let value = self[key] else { return self }
        var result = self
        result[key] = try value.replacing(at: path.dropFirst(), change)
        return result
    }
}
