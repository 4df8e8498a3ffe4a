internal import JSON

/// The pod through which files get onto one node: it only waits, with the node's folders mounted below `root`.
struct NodePodSpec: Equatable, Sendable {
    /// Where the pod has what is the node's: the node's `/opt` is `/.loopd/node/opt` there.
    static let root = "/.loopd/node"
    /// The name of its one container.
    static let container = "helper"
    /// The labels of every such pod, as a selector.
    static let selector = "app.kubernetes.io/managed-by=loopd,app.kubernetes.io/component=node-helper"
    /// The label with the service's name.
    static let serviceLabel = "loopd.dev/service"
    /// The annotation that tells whether a pod from an earlier run is as it should be.
    private static let specAnnotation = "loopd.dev/spec"

    let service: String
    let node: String
    /// An image that nodes can pull and that has a shell.
    let image: String
    /// Absolute folders of the node, none inside another.
    let folders: [String]

    /// The pod of a service on a node, for the folders that files go into.
    init(service: String, node: String, image: String, folders: [String]) {
        self.service = service
        self.node = node
        self.image = image
        self.folders = NodePodSpec.outermost(folders)
    }

    /// The same at every start, so that the pod of a run that was killed is found again.
    var name: String { "loopd-node-\(service)-\(SHA256Digest(of: Array(node.utf8)).hex.prefix(8))" }

    /// The object as it is created.
    var object: JSON {
        [
            "apiVersion": "v1", "kind": "Pod",
            "metadata": [
                "name": .string(name),
                "labels": [
                    "app.kubernetes.io/managed-by": "loopd", "app.kubernetes.io/component": "node-helper",
                    NodePodSpec.serviceLabel: .string(service),
                ],
                "annotations": [NodePodSpec.specAnnotation: .string(digest)],
            ],
            "spec": spec,
        ]
    }

    private var spec: JSON {
        let mounts = folders.enumerated().map { number, folder -> JSON in
            ["name": .string("folder-\(number)"), "mountPath": .string(NodePodSpec.root + folder)]
        }
        let volumes = folders.enumerated().map { number, folder -> JSON in
            [
                "name": .string("folder-\(number)"),
                "hostPath": ["path": .string(folder), "type": "DirectoryOrCreate"],
            ]
        }
        return [
            "nodeName": .string(node),
            // Wherever the service's pods run, this one may run as well.
            "tolerations": [["operator": "Exists"]],
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "containers": [
                [
                    "name": .string(NodePodSpec.container), "image": .string(image),
                    "imagePullPolicy": "IfNotPresent",
                    "command": .array(EphemeralUpload.waiting.map(JSON.string)),
                    "securityContext": ["runAsUser": 0],
                    // A quota refuses pods that do not say what they need.
                    "resources": [
                        "requests": ["cpu": "10m", "memory": "16Mi"], "limits": ["cpu": "1", "memory": "128Mi"],
                    ],
                    "volumeMounts": .array(mounts),
                ]
            ],
            "volumes": .array(volumes),
        ]
    }

    private var digest: String { String(SHA256Digest(of: spec.bytes).hex.prefix(16)) }

    /// Whether a pod that is there does as it is: of the same spec, and neither going nor gone.
    func fits(_ pod: JSON) -> Bool {
        let metadata = pod["metadata"] ?? .null
        return metadata.strings("annotations")[NodePodSpec.specAnnotation] == digest && !PodState(pod).isOver
    }

    /// Whether a pod is one of loopd's, which may be replaced.
    static func isOurs(_ pod: JSON) -> Bool {
        (pod["metadata"] ?? .null).strings("labels")["app.kubernetes.io/managed-by"] == "loopd"
    }

    /// Why a pod will not run by itself; `nil` while it may still come up.
    static func obstacle(_ pod: PodState) -> String? {
        if pod.isOver { return PodDiagnosis.reason(pod, container: container) }
        guard case .waiting(let reason, _)? = pod.containers.first?.now else { return nil }
        guard !["", "ContainerCreating", "PodInitializing"].contains(reason) else { return nil }
        return PodDiagnosis.reason(pod, container: container)
    }

    /// Folders without those that lie in another one, whose mount has them already.
    private static func outermost(_ folders: [String]) -> [String] {
        let all = Set(folders)
        return all.filter { folder in !all.contains { folder.hasPrefix($0 + "/") } }.sorted()
    }
}
