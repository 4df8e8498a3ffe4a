internal import JSON
internal import Reactor
internal import Synchronization

/// What a program on this machine finds around it: the environment of a pod, and ways into the cluster.
final class HostSurroundings: Sendable {
    init(
        _ service: Service, _ host: Host, _ connection: ClusterConnection, namespace: String,
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {}
    func route(by intercept: Intercept?) {}
    func know(pod: JSON, container: String, isRunning: Bool) {}
    func environment() async throws -> [String: String] { [:] }
    func run() async {}
    func end() async {}
}
final class HostProcess: LocalProgram {
    init(
        _ host: Host, leash: String, takesInput: Bool, debug: Bool,
        environment: @escaping @Sendable () async throws -> [String: String],
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {}
    func untilUp(limit: Duration) async -> Bool { false }
    func listens(at: [UInt16]) {}
    var isUp: Bool { false }
    func untilChanged(isUp: Bool) async {}
    func run() async {}
    func start(firstEvent: UInt64?) async {}
}
