internal import Glibc
package import JSON
package import Reactor

/// The cluster that everything runs on: the one of `LOOPD_E2E_KUBECONFIG`, else a playground of this run's own.
///
/// loopd and kubectl are led to it by a kubeconfig in both cases, so that nothing sees a difference.
package struct Cluster: Sendable {
    package let kubeconfig: String
    package let context: String
    /// Host and port that images are pushed to and pulled from.
    package let registry: String
    package let isPlayground: Bool
    /// Merged into every pod template: `LOOPD_E2E_POD_PATCH`.
    package let podPatch: JSON?

    /// The one cluster of this process, started at the first call.
    package static func shared() async throws -> Cluster { try await opening.value }

    private static let opening = Task { () async throws -> Cluster in
        let patch = try variable("LOOPD_E2E_POD_PATCH").map { try JSON(parsing: $0) }
        guard let kubeconfig = variable("LOOPD_E2E_KUBECONFIG") else { return try await playground(patch) }
        let context = try await Child.succeed(["kubectl", "--kubeconfig", kubeconfig, "config", "current-context"])
        guard let registry = variable("LOOPD_E2E_REGISTRY") else {
            throw Trouble("LOOPD_E2E_REGISTRY must name a registry that this machine can push to and nodes pull from")
        }
        return Cluster(
            kubeconfig: kubeconfig, context: context.text.trimmed, registry: registry, isPlayground: false,
            podPatch: patch)
    }

    private static func playground(_ patch: JSON?) async throws -> Cluster {
        let playground = try await OwnPlayground.start()
        let kubeconfig = playground.kubeconfig
        let context = try await Child.succeed(["kubectl", "--kubeconfig", kubeconfig, "config", "current-context"])
        return Cluster(
            kubeconfig: kubeconfig, context: context.text.trimmed,
            registry: try variable("LOOPD_E2E_REGISTRY") ?? playground.registry, isPlayground: true,
            podPatch: patch)
    }

    /// Runs `kubectl` on this cluster.
    @discardableResult
    package func kubectl(
        _ arguments: [String], input: [UInt8] = [], codes: Set<Int32> = [0]
    ) async throws -> Output {
        try await Child.succeed(
            ["kubectl", "--kubeconfig", kubeconfig, "--context", context] + arguments, input: input, codes: codes)
    }
}

/// A playground with its own state directory.
package final class OwnPlayground: Sendable {
    package let stateDirectory: String
    package let kubeconfig: String
    /// Removes everything when this process has ended, however it ends: it waits for the end of its standard input.
    private let guardian: Child

    private init(stateDirectory: String, kubeconfig: String, guardian: Child) {
        self.stateDirectory = stateDirectory
        self.kubeconfig = kubeconfig
        self.guardian = guardian
    }

    /// Starts one; `loopd down` follows when this object or this process has gone.
    package static func start() async throws -> OwnPlayground {
        let directory = try temporaryFolder("loopd-state")
        var launch = Launch([
            "sh", "-c", "cat >/dev/null; \"$0\" down >/dev/null 2>&1; rm -rf \"$1\"", Built.loopd, directory,
        ])
        launch.environment = environment(with: ["LOOPD_STATE_DIR": directory])
        launch.standardInput = .pipe
        launch.standardOutput = .null
        launch.standardError = .null
        launch.grouping = .session
        let guardian = try await Child.spawn(launch)
        let up = try await Child.succeed(
            [Built.loopd, "up", "--output", "json"], environment: environment(with: ["LOOPD_STATE_DIR": directory]))
        guard let kubeconfig = try JSON(parsing: up.standardOutput)["kubeconfig"]?.string else {
            throw Trouble("loopd up: no kubeconfig in \(up.text)")
        }
        return OwnPlayground(stateDirectory: directory, kubeconfig: kubeconfig, guardian: guardian)
    }

    /// Host and port of its registry.
    package var registry: String {
        get throws {
            let file = "\(kubeconfig[..<(kubeconfig.lastIndex(of: "/") ?? kubeconfig.startIndex)])/address.json"
            guard let name = try JSON(parsing: try Disk.read(file))["registry"]?.string else {
                throw Trouble("\(file) names no registry")
            }
            return name
        }
    }
}

extension String {
    /// Without white space at both ends.
    package var trimmed: String {
        let kept = drop(while: \.isWhitespace)
        guard let last = kept.lastIndex(where: { !$0.isWhitespace }) else { return "" }
        return String(kept[...last])
    }
}

/// A new private folder in `TMPDIR`, else in `/tmp`.
package func temporaryFolder(_ name: String) throws -> String {
    var template = Array("\(variable("TMPDIR") ?? "/tmp")/\(name)-XXXXXX".utf8CString)
    guard let made = template.withUnsafeMutableBufferPointer({ $0.baseAddress.flatMap { mkdtemp($0) } }) else {
        throw SystemError.last("mkdtemp \(name)")
    }
    return String(cString: made)
}
