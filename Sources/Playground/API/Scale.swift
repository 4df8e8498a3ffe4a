internal import JSON

/// The `scale` view of a workload: how many replicas are wanted, and how many there are.
enum Scale {
    static func view(of object: JSON) -> JSON {
        var metadata: JSON = [:]
        for key in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
            metadata[key] = object.at("metadata", key)
        }
        let selector = object.at("spec", "selector", "matchLabels")?.object ?? JSONObject()
        return [
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata,
            "spec": ["replicas": object.at("spec", "replicas") ?? 0],
            "status": [
                "replicas": object.at("status", "replicas") ?? 0, "selector": .string(Cells.labels(.object(selector))),
            ],
        ]
    }
}
