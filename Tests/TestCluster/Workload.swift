package import JSON

/// A Deployment, StatefulSet or DaemonSet of one container that runs a test image.
package struct Workload: Sendable {
    package var name: String
    package var kind: String
    package var image: TestImage
    package var replicas: Int
    /// Merged into the container.
    package var container: JSON = [:]
    /// Merged into the pod's spec.
    package var pod: JSON = [:]

    package init(
        _ name: String = "app", kind: String = "Deployment", image: TestImage = .shell, replicas: Int = 1,
        container: JSON = [:], pod: JSON = [:]
    ) {
        self.name = name
        self.kind = kind
        self.image = image
        self.replicas = replicas
        self.container = container
        self.pod = pod
    }

    /// The object as it is applied.
    package func manifest(on cluster: Cluster) async throws -> JSON {
        let labels: JSON = ["app": .string(name)]
        let own: JSON = [
            "name": .string(name), "image": .string(try await image.name(on: cluster)),
            "imagePullPolicy": "IfNotPresent",
        ]
        // A test never waits for a process that has nothing left to do.
        let spec: JSON = [
            "terminationGracePeriodSeconds": 1, "containers": [own.merged(with: container)],
        ]
        var template: JSON = ["metadata": ["labels": labels], "spec": spec.merged(with: pod)]
        if let patch = cluster.podPatch {
            // The patch of a template, or of the pod's spec in it.
            let isTemplate = patch["spec"] != nil || patch["metadata"] != nil
            template = template.merged(with: isTemplate ? patch : ["spec": patch])
        }
        var whole: JSON = ["selector": ["matchLabels": labels], "template": template]
        if kind != "DaemonSet" { whole["replicas"] = .integer(Int64(replicas)) }
        if kind == "StatefulSet" { whole["serviceName"] = .string(name) }
        if kind == "Deployment" {
            // Old pods stay until new ones are ready.
            whole["strategy"] = ["type": "RollingUpdate", "rollingUpdate": ["maxSurge": 1, "maxUnavailable": 0]]
        }
        return [
            "apiVersion": "apps/v1", "kind": .string(kind), "metadata": ["name": .string(name), "labels": labels],
            "spec": whole,
        ]
    }

    /// A volume that is empty at first, and where the container sees it.
    package static func emptyDir(
        _ name: String, at path: String, _ source: JSON = [:]
    ) -> (volume: JSON, mount: JSON) {
        (
            ["name": .string(name), "emptyDir": source],
            ["name": .string(name), "mountPath": .string(path)]
        )
    }
}

extension JSON {
    /// This value changed by a merge patch (RFC 7396).
    package func merged(with patch: JSON) -> JSON {
        guard let changes = patch.object else { return patch }
        var result = object ?? JSONObject()
        for (key, value) in changes {
            // JSON has a nil literal of its own, which is a value.
            result[key] = value.isNull ? JSON?.none : (result[key] ?? .object(JSONObject())).merged(with: value)
        }
        return .object(result)
    }
}
