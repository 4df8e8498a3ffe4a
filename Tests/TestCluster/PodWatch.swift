internal import Glibc
package import JSON
internal import Reactor

/// A pod as the cluster shows it.
package struct Pod: Sendable {
    package let json: JSON

    package init(json: JSON) { self.json = json }

    package var name: String { json.at("metadata", "name")?.string ?? "" }
    package var isTerminating: Bool { json.at("metadata", "deletionTimestamp") != nil }
    package var phase: String { json.at("status", "phase")?.string ?? "" }
    private var status: JSON? { json.at("status", "containerStatuses")?[0] }
    package var isReady: Bool { status?["ready"]?.bool ?? false }
    package var isRunning: Bool { status?.at("state", "running") != nil && !isTerminating }
    /// Whether it is up in the place of the pod of a name, which is gone or going.
    package func succeeds(_ old: String) -> Bool { name != old && isRunning && isReady }
    package var restarts: Int { Int(status?["restartCount"]?.integer ?? 0) }
    package var containerID: String { status?["containerID"]?.string ?? "" }
    package var uid: String { json.at("metadata", "uid")?.string ?? "" }
    package var template: String { json.at("metadata", "labels", "pod-template-hash")?.string ?? "" }
}

/// The pods of a namespace, followed by `kubectl get --watch`.
package final class PodWatch: Sendable {
    private let child: Child
    /// One entry for each change, with all pods.
    private let log = EventLog()

    private init(_ child: Child) { self.child = child }

    deinit { child.signal(SIGKILL, toGroup: true) }

    /// Starts to follow the pods of a namespace.
    static func start(_ cluster: Cluster, namespace: String) async throws -> PodWatch {
        var launch = Launch([
            "kubectl", "--kubeconfig", cluster.kubeconfig, "--context", cluster.context, "-n", namespace, "get", "pods",
            "--watch", "--output-watch-events", "-o", "json",
        ])
        launch.standardError = .null
        let watch = PodWatch(try await Child.spawn(launch))
        let (log, output) = (watch.log, watch.child.standardOutput)
        Task.detached { await follow(output, log) }
        return watch
    }

    private static func follow(_ output: Reactor.Stream?, _ log: EventLog) async {
        var pods = JSONObject()
        var rest: [UInt8] = []
        while let bytes = try? await output?.read(), !bytes.isEmpty {
            rest += bytes
            // Events come one on a line, where plain objects would be indented.
            while let end = rest.firstIndex(of: 0x0A) {
                let event = try? JSON(parsing: Array(rest[..<end]))
                rest.removeFirst(end + 1)
                guard let event, let pod = event["object"], let name = pod.at("metadata", "name")?.string else {
                    continue
                }
                // JSON has a nil literal of its own, which is a value.
                pods[name] = event["type"]?.string == "DELETED" ? JSON?.none : pod
                log.add(.object(pods))
            }
        }
        log.end()
    }

    /// The pods once they are as wanted.
    @discardableResult
    package func until(
        _ what: String, limit: Duration = .seconds(60), _ isWanted: @escaping @Sendable ([Pod]) -> Bool
    ) async throws -> [Pod] {
        let log = log
        let state: @Sendable () -> String = {
            log.events(from: max(0, log.count - 1)).map { pods in
                Self.pods(pods).map {
                    "\($0.name)\($0.isTerminating ? " (being deleted)" : ""): \($0.json["status"]?.text ?? "")"
                }.joined(separator: "\n")
            }.joined()
        }
        let found = try await within(limit, what, state: state) {
            await log.first(from: max(0, log.count - 1)) { isWanted(Self.pods($0)) }
        }
        guard let found else { throw Trouble("kubectl get --watch ended before: \(what)") }
        return Self.pods(found)
    }

    private static func pods(_ snapshot: JSON) -> [Pod] {
        (snapshot.object ?? JSONObject()).map { Pod(json: $0.value) }.sorted { $0.name < $1.name }
    }
}
