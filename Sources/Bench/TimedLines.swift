internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// What a program that goes on prints, with the moment of each line.
struct TimedLines: Sendable {
    let child: Child
    let log = EventLog()

    /// Starts a `kubectl` in a scene's namespace.
    init(
        _ scene: Scene, _ arguments: [String], standardError: Launch.Stdio = .null,
        each: @escaping @Sendable ([UInt8]) -> JSON?
    ) async throws {
        try await self.init(
            [
                "kubectl", "--kubeconfig", scene.cluster.kubeconfig, "--context", scene.cluster.context, "-n",
                scene.namespace,
            ] + arguments, standardError: standardError, each: each)
    }

    /// Starts a program; `each` makes of a line what is kept of it, to which the moment is added.
    init(
        _ command: [String], standardError: Launch.Stdio = .null, each: @escaping @Sendable ([UInt8]) -> JSON?
    ) async throws {
        var launch = Launch(command)
        launch.standardError = standardError
        child = try await Child.spawn(launch)
        let (output, log) = (child.standardOutput, log)
        Task.detached {
            var rest: [UInt8] = []
            while let bytes = try? await output?.read(), !bytes.isEmpty {
                let moment = Int64(now())
                rest += bytes
                while let end = rest.firstIndex(of: 0x0A) {
                    if var entry = each(Array(rest[..<end])) {
                        entry["at"] = .integer(moment)
                        log.add(entry)
                    }
                    rest.removeFirst(end + 1)
                }
            }
            log.end()
        }
    }
}
