/// The way onto nodes: their helper pods, and in them the usual ladder.
struct NodeConnector: ContainerConnector {
    let pods: NodePods
    /// Its root is where the helper pods have the nodes' folders.
    let ladder: Ladder
    let restarts: NodeRestarts

    func connect(to instance: ContainerInstance) async throws -> any ContainerAccess {
        let helper = try await pods.start(on: instance.node)
        let (restarts, node) = (restarts, instance.node)
        return NodeAccess(try await ladder.connect(to: helper), pod: helper.pod) { restarts.land(on: node) }
    }
}

extension ContainerInstance {
    /// A node as a lane's place: what is on its disk outlives every pod.
    static func node(_ name: String, namespace: String) -> ContainerInstance {
        ContainerInstance(
            id: ID(podUID: "node", containerID: name), namespace: namespace, pod: "node \(name)",
            container: NodePodSpec.container, node: name)
    }
}
