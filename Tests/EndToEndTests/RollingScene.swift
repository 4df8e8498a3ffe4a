import JSON
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

/// Rollouts of images in a scene, driven as a session drives them.
struct RollingScene: Sendable {
    let scene: Scene
    let connection: ClusterConnection
    let log = EventLog()

    /// Runs `body` with a connection to the scene's cluster.
    static func run(_ body: (RollingScene) async throws -> Void) async throws {
        try await Scene.run { scene in
            let rolling = try await RollingScene(scene)
            do {
                try await body(rolling)
            } catch {
                await rolling.connection.close()
                throw error
            }
            await rolling.connection.close()
        }
    }

    static let programs = Programs(leash: Built.leash, helpers: ["amd64": Built.helper, "arm64": Built.helper])

    init(_ scene: Scene) async throws {
        self.scene = scene
        connection = try await RollingScene.connect(kubeconfig: scene.cluster.kubeconfig, scene.cluster.context)
    }

    static func connect(kubeconfig: String, _ context: String) async throws -> ClusterConnection {
        var cluster = LoopServer.Cluster()
        cluster.provider = .existing
        (cluster.kubeconfig, cluster.context, cluster.allowContexts) = (kubeconfig, context, [context])
        return try await ClusterConnection.open(cluster, programs: programs)
    }

    /// Waits until a pod is being deleted.
    static func untilLeaving(_ pod: String, _ connection: ClusterConnection, _ namespace: String) async throws {
        let pods = KubePods(
            client: connection.client, namespace: namespace, kubectl: connection.context.kubectl,
            leash: connection.leash)
        _ = try await pods.wait(forPod: pod, limit: .seconds(30)) { $0.at("metadata", "deletionTimestamp") != nil }
    }

    func rollout(
        _ kind: WorkloadKind, _ name: String = "app", container: String? = nil, recreate: Bool = false,
        dev: DevModeSession? = nil
    ) -> ImageRollout {
        let log = log
        return ImageRollout(
            RolledImage(kind: kind, name: name, image: "loopd-e2e/web", container: container), recreate: recreate,
            dev: dev, client: connection.client, namespace: scene.namespace
        ) { log.add(LoopEvent($0).json) }
    }

    /// A session that keeps a Deployment in dev mode.
    func devMode(_ name: String = "app") -> DevModeSession {
        var service = Service(name: name, root: scene.project.path)
        service.target = .workload(.deployment, name: name)
        service.dev = DevMode()
        let pods = KubePods(
            client: connection.client, namespace: scene.namespace, kubectl: connection.context.kubectl,
            leash: connection.leash)
        let inputs = DevInputs(
            service: service, dev: DevMode(), plan: ServicePlan(service, project: scene.project.path), pods: pods,
            programs: RollingScene.programs)
        let log = log
        return DevModeSession(
            .keep(inputs), .deployment, name, client: connection.client, namespace: scene.namespace, session: "e2e"
        ) { log.add(LoopEvent($0).json) }
    }

    /// Waits for an event from a place in the log on.
    @discardableResult
    func event(
        _ name: String, from place: Int = 0, limit: Duration = .seconds(60),
        where isWanted: @escaping @Sendable (JSON) -> Bool = { _ in true }
    ) async throws -> JSON {
        let log = log
        let found = try await within(limit, "an event \(name)", state: { transcript }) {
            await log.first(from: place) { $0["event"]?.string == name && isWanted($0) }
        }
        return try #require(found)
    }

    func events(_ name: String) -> [JSON] { log.events().filter { $0["event"]?.string == name } }

    var transcript: String { log.events().map(\.text).joined(separator: "\n") }

    func object(_ reference: String) async throws -> JSON {
        try JSON(parsing: try await scene.kubectl(["get", reference, "-o", "json"]).standardOutput)
    }

    /// How many revisions a Deployment has had.
    func revisions() async throws -> Int {
        let list = try JSON(parsing: try await scene.kubectl(["get", "replicasets", "-o", "json"]).standardOutput)
        return list["items"]?.array?.count ?? 0
    }

    /// The word of the image that a pod runs.
    func word(in pod: String) async throws -> String? { try await scene.text("/word", in: pod) }

    /// Applies an object that is no workload of `Workload`'s kinds.
    func apply(_ object: JSON) async throws {
        let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(scene.namespace)]]
        try await scene.kubectl(["apply", "-f", "-"], input: space.bytes + object.bytes)
    }

    /// The container of a Job or a pod.
    func podSpec(
        image: TestImage = .shell, grace: Int64 = 1, command: JSON = ["/probe", "run"], _ more: JSON = [:]
    ) async throws -> JSON {
        let spec: JSON = [
            "terminationGracePeriodSeconds": .integer(grace), "restartPolicy": "Never",
            "containers": [
                [
                    "name": "app", "image": .string(try await image.name(on: scene.cluster)),
                    "imagePullPolicy": "IfNotPresent", "command": command,
                ]
            ],
        ]
        return spec.merged(with: scene.cluster.podPatch?["spec"] ?? [:]).merged(with: more)
    }

    func job(_ spec: JSON, annotations: JSON = [:]) -> JSON {
        [
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": ["name": "once", "labels": ["team": "a"], "annotations": annotations],
            "spec": ["backoffLimit": 2, "template": ["metadata": ["labels": ["app": "once"]], "spec": spec]],
        ]
    }
}
