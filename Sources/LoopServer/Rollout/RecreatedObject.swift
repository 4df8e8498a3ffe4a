internal import JSON

/// The manifest by which a Job or a pod can be made anew: what the server and others have set in the present one is left
/// out, everything else stays.
enum RecreatedObject {
    /// The labels and the selector by which a Job finds its pods, which the server makes for each Job.
    private static let jobLabels = [
        "controller-uid", "job-name", "batch.kubernetes.io/controller-uid", "batch.kubernetes.io/job-name",
    ]
    /// What the server says about one object, and no other.
    private static let ownMetadata = [
        "uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds",
        "managedFields", "selfLink", "generateName",
    ]
    /// What nodes and controllers note on an object while it lives.
    private static let ownAnnotations = [
        "batch.kubernetes.io/job-tracking", "cni.projectcalico.org/", "k8s.v1.cni.cncf.io/network",
        "k8s.ovn.org/", "kubernetes.io/config.",
    ]
    /// What admission makes of the other fields of a pod, or only a running pod has.
    private static let ownSpec = ["ephemeralContainers", "priority", "preemptionPolicy", "overhead", "serviceAccount"]

    /// The manifest of an object; owners stay, as they are what deletes it with them.
    static func manifest(of object: JSON, _ kind: WorkloadKind) -> JSON {
        var result = object
        result["status"] = nil
        result["metadata"] = metadata(object["metadata"] ?? [:])
        if kind == .job {
            unselect(&result)
        } else {
            result["spec"] = podSpec(of: object)
        }
        return result
    }

    private static func metadata(_ metadata: JSON) -> JSON {
        var result = metadata
        for key in ownMetadata { result[key] = nil }
        for key in metadata.strings("annotations").keys where ownAnnotations.contains(where: key.hasPrefix) {
            result["annotations"]?[key] = nil
        }
        let finalizers = (metadata["finalizers"]?.array ?? []).filter {
            !["foregroundDeletion", "orphan", "batch.kubernetes.io/job-tracking"].contains($0.string)
        }
        result["finalizers"] = finalizers.isEmpty ? nil : .array(finalizers)
        return result
    }

    /// Takes off what ties a Job to the pods of the one before, unless its selector is its own.
    private static func unselect(_ job: inout JSON) {
        guard job.at("spec", "manualSelector")?.bool != true else { return }
        job["spec"]?["selector"] = nil
        for label in jobLabels {
            if job.at("metadata", "labels") != nil { job["metadata"]?["labels"]?[label] = nil }
            if job.at("spec", "template", "metadata", "labels") != nil {
                job["spec"]?["template"]?["metadata"]?["labels"]?[label] = nil
            }
        }
    }

    private static func podSpec(of pod: JSON) -> JSON {
        var spec = pod["spec"] ?? [:]
        for key in ownSpec { spec[key] = nil }
        // The scheduler binds a pod beside its managed fields: a node that is among them was asked for.
        let entries = pod.at("metadata", "managedFields")?.array ?? []
        if !entries.contains(where: { $0.at("fieldsV1", "f:spec")?["f:nodeName"] != nil }) { spec["nodeName"] = nil }
        let volumes = spec["volumes"]?.array ?? []
        let tokens = Set(volumes.compactMap { $0["name"]?.string }.filter(isToken))
        guard !tokens.isEmpty else { return spec }
        let others = volumes.filter { !tokens.contains($0["name"]?.string ?? "") }
        spec["volumes"] = others.isEmpty ? nil : .array(others)
        for list in ["containers", "initContainers"] {
            guard let containers = spec[list]?.array else { continue }
            spec[list] = .array(
                containers.map { container in
                    var container = container
                    let mounts = (container["volumeMounts"]?.array ?? []).filter {
                        !tokens.contains($0["name"]?.string ?? "")
                    }
                    container["volumeMounts"] = mounts.isEmpty ? nil : .array(mounts)
                    return container
                })
        }
        return spec
    }

    /// Whether a volume is the service account's token, which the server adds to every pod under a name of its own.
    private static func isToken(_ volume: String) -> Bool { volume.hasPrefix("kube-api-access-") }
}
