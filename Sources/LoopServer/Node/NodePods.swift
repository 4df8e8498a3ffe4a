internal import JSON
internal import Synchronization

/// The helper pods of one service, one on each node that runs its pods.
final class NodePods: Sendable {
    private let pods: KubePods
    private let service: String
    private let image: String
    private let folders: [String]
    /// Nodes on which there is a pod of this run, or will be.
    private let used = Mutex<Set<String>>([])

    /// The pods for a service whose files go into these folders of its nodes.
    init(_ pods: KubePods, service: String, image: String, folders: [String]) {
        self.pods = pods
        self.service = service
        self.image = image
        self.folders = folders
    }

    private var client: KubeClient { pods.client }
    private var namespace: String { pods.namespace }

    private func spec(_ node: String) -> NodePodSpec {
        NodePodSpec(service: service, node: node, image: image, folders: folders)
    }

    /// Asks the cluster whether it would take a pod.
    ///
    /// Throws `LoopFailure` when a policy, or the user's role, forbids it.
    func check(_ node: String) async throws {
        do {
            _ = try await client.create(.pods, namespace: namespace, spec(node).object, dryRun: true)
        } catch let error as KubeError where error.isConflict || NodeRefusal.isOnlyDryRun(error) {
            // There is one already, which was taken then.
        } catch let error as KubeError {
            throw NodeRefusal.failure(error, namespace: namespace) ?? error
        }
    }

    /// The running container of the pod on a node, which is made where there is none.
    func start(on node: String) async throws -> ContainerInstance {
        let spec = spec(node)
        used.withLock { _ = $0.insert(node) }
        try await make(spec)
        let pod: JSON
        do {
            pod = try await pods.wait(forPod: spec.name, limit: .seconds(60)) { pod in
                let state = PodState(pod)
                return state.instance(of: NodePodSpec.container) != nil || NodePodSpec.obstacle(state) != nil
            }
        } catch is RungFailed {
            throw notRunning(spec, "it is not up after a minute")
        }
        let state = PodState(pod)
        guard let instance = state.instance(of: NodePodSpec.container) else {
            throw notRunning(spec, NodePodSpec.obstacle(state) ?? "it does not start")
        }
        return instance
    }

    private func notRunning(_ spec: NodePodSpec, _ reason: String) -> LoopFailure {
        LoopFailure(
            failure: LoopEvent.Failure(
                "node \(spec.node): helper pod \(spec.name) does not run: \(reason)",
                nextStep:
                    "`kubectl describe pod -n \(namespace) \(spec.name)` says more; cluster.helperImage has to name an image"
                    + " with a shell that nodes can pull"))
    }

    /// Creates a pod unless one is there that does; what is left of another one goes first.
    private func make(_ spec: NodePodSpec) async throws {
        while true {
            guard let present = try await present(spec.name) else {
                do {
                    _ = try await client.create(.pods, namespace: namespace, spec.object)
                    return
                } catch let error as KubeError where error.isConflict {
                    continue
                } catch let error as KubeError {
                    throw NodeRefusal.failure(error, namespace: namespace) ?? error
                }
            }
            guard NodePodSpec.isOurs(present) else {
                throw LoopFailure(
                    failure: LoopEvent.Failure(
                        "node \(spec.node): pod \(spec.name) is not loopd's", nextStep: "delete or rename it"))
            }
            if spec.fits(present) { return }
            let uid = PodState(present).uid
            await NodePods.remove([spec.name], namespace: namespace, client)
            do {
                _ = try await pods.wait(forPod: spec.name, limit: .seconds(60)) { PodState($0).uid != uid }
            } catch ExecError.podNotFound {
                // Which is what was waited for.
            }
        }
    }

    private func present(_ name: String) async throws -> JSON? {
        do {
            return try await client.get(.pods, name, namespace: namespace)
        } catch let error as KubeError where error.isNotFound {
            return nil
        }
    }

    /// Deletes the pods of this service on other nodes than these, an earlier run's too.
    func remove(except nodes: Set<String>) async {
        let kept = Set(nodes.map { spec($0).name })
        let labels = "\(NodePodSpec.selector),\(NodePodSpec.serviceLabel)=\(service)"
        guard let names = try? await NodePods.names(namespace: namespace, labels, client) else { return }
        used.withLock { $0.formIntersection(nodes) }
        await NodePods.remove(names.filter { !kept.contains($0) }, namespace: namespace, client)
    }

    /// Deletes every pod of this run within `limit`, also for a task that is cancelled, which is how most sessions end; says
    /// which ones stay.
    func end(limit: Duration = .seconds(3)) async -> String? {
        let names = used.withLock { nodes in
            defer { nodes = [] }
            return nodes.map { spec($0).name }
        }
        let (client, namespace) = (client, namespace)
        let left = await Task {
            await NodePods.remove(names, namespace: namespace, client, limit: limit)
        }.value
        guard let reason = left.values.first else { return nil }
        let list = left.keys.sorted().joined(separator: " ")
        return "helper pods stay on their nodes, for the next loopd to use or delete (\(reason)):"
            + " `kubectl delete pod -n \(namespace) \(list)`"
    }

    /// Deletes every helper pod on nodes in a namespace, whichever service or run it is of, and returns their names.
    static func remove(namespace: String, _ client: KubeClient) async throws -> [String] {
        let names = try await names(namespace: namespace, NodePodSpec.selector, client)
        await remove(names, namespace: namespace, client)
        return names
    }

    private static func names(namespace: String, _ labels: String, _ client: KubeClient) async throws -> [String] {
        try await client.list(.init(.pods, namespace: namespace, labels: labels)).items.map { PodState($0).name }
    }

    /// Deletes pods; returns those that stay, and why: they are used again, or deleted, at the next start.
    @discardableResult
    private static func remove(
        _ names: [String], namespace: String, _ client: KubeClient, limit: Duration = KubeClient.timeLimit
    ) async -> [String: any Error] {
        await withTaskGroup(of: (String, any Error)?.self) { group in
            for name in names {
                group.addTask {
                    do {
                        try await KubeClient.within(limit, "delete pod \(name)") {
                            try await client.delete(.pods, name, namespace: namespace)
                        }
                    } catch let error as KubeError where error.isNotFound {
                        return nil
                    } catch {
                        return (name, error)
                    }
                    return nil
                }
            }
            var left: [String: any Error] = [:]
            for await case let (name, error)? in group { left[name] = error }
            return left
        }
    }
}
