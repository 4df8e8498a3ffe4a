internal import JSON

/// What every pod of the node works with.
struct NodeContext: Sendable {
    let store: ObjectStore
    let layout: NodeLayout
    let name: String
    let runc: Runc
    let images: ImageStore
    let cgroups: Cgroups
    let events: NodeEvents
    /// The network of pods; without one they share the machine's.
    let network: ClusterNetwork?
    /// The one user that containers can be, where the playground is not root.
    let rootless: (user: UInt32, group: UInt32)?

    func references(of pod: JSON) -> References {
        let namespace = pod.at("metadata", "namespace")?.string
        return References(
            object: { [store] resource, name in
                store.get(resource == "secrets" ? .secret : .configMap, namespace, name)
            },
            services: { [store] in
                pod.at("spec", "enableServiceLinks") == false ? [] : store.list(.service, namespace).items
            }, pod: pod, nodeName: name,
            node: { [store, name] in store.get(.node, nil, name) })
    }

    /// Where pods with a network of their own reach the node.
    var hostAddress: String { network == nil ? PodStatus.sharedAddress : ClusterNetwork.gateway.description }

    /// The network that a pod has to itself; `nil` where it shares the machine's.
    func network(of pod: JSON) -> ClusterNetwork? { pod.at("spec", "hostNetwork") == true ? nil : network }
}

/// One run of a container: its process, its output and what `exec` has to know.
struct ContainerRun: Sendable {
    let id: String
    let process: ContainerProcess
    let log: ContainerLog
    let pump: LogPump
    /// The process part of its runtime configuration, the template of every `exec` in it.
    let template: JSON
    let stopSignal: Int32
    let startedAt: Timestamp
}
