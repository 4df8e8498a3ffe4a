internal import JSON
internal import OCI

/// What a node says of itself that tells how images come onto it.
struct ClusterNode: Equatable, Sendable {
    /// Another one for a node that was made anew under the same name.
    var uid = ""
    var labels: [String: String] = [:]
    /// What runs its containers, and its version: `containerd://2.1.4`.
    var runtime = ""
    /// Who made it: `kind://docker/dev/dev-control-plane`.
    var provider = ""
    /// What it has, by every name; of many only the biggest.
    var images: Set<String> = []

    /// Whether it runs what docker has, rather than from a store of its own.
    var isDocker: Bool { runtime.hasPrefix("docker://") }

    /// The cluster of kind's that it is in; `nil` for another node.
    var kindCluster: String? {
        let parts = provider.split(separator: "/", omittingEmptySubsequences: true)
        return parts.count == 4 && parts[0] == "kind:" ? String(parts[2]) : nil
    }
}

extension ClusterNode {
    /// Takes what counts out of a node as the API has it.
    init(_ node: JSON) {
        uid = node.at("metadata", "uid")?.string ?? ""
        labels = node["metadata"]?.strings("labels") ?? [:]
        runtime = node.at("status", "nodeInfo", "containerRuntimeVersion")?.string ?? ""
        provider = node.at("spec", "providerID")?.string ?? ""
        images = Set(
            (node.at("status", "images")?.array ?? []).flatMap { $0["names"]?.array?.compactMap(\.string) ?? [] })
    }
}

extension KubeClient {
    /// The nodes; none where they may not be looked at.
    func clusterNodes() async -> [ClusterNode] {
        ((try? await list(Scope(.nodes)).items) ?? []).map { ClusterNode($0) }
    }

    /// Whether a pod of a namespace waits for an image that its node does not find.
    func isMissed(_ reference: String, in namespace: String) async -> Bool {
        let pods = (try? await list(Scope(.pods, namespace: namespace)).items) ?? []
        return pods.contains { KubeClient.isMissed(reference, by: $0) }
    }

    /// Whether a pod waits for an image, by its full name.
    static func isMissed(_ reference: String, by pod: JSON) -> Bool {
        let statuses = ["initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"]
            .flatMap { pod.at("status", $0)?.array ?? [] }
        return statuses.contains { status in
            let reason = status.at("state", "waiting", "reason")?.string ?? ""
            return ["ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"].contains(reason)
                && ImageName.full(status["image"]?.string ?? "") == reference
        }
    }
}
