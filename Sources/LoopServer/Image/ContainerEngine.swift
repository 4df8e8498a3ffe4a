internal import Reactor

/// A program that builds images here, and where it listens.
public struct ContainerEngine: Equatable, Sendable {
    /// The program that is run: `docker`, `podman` or `buildah`.
    public var program: EngineBuild.Program
    /// Where its service listens, such as `unix:///var/run/docker.sock`; `nil` where it works without one.
    public var address: String?
    /// Variables that it needs on top of loopd's own environment.
    public var environment: [String: String] = [:]
    /// What `DOCKER_HOST` has to be for docker to come to this engine, where that is not docker's own choice.
    public var dockerHost: String?
    /// What stood before it and does not work, each one line: `/var/run/docker.sock: permission denied`.
    public var passedOver: [String] = []

    init(
        _ program: EngineBuild.Program, address: String? = nil, environment: [String: String] = [:],
        dockerHost: String? = nil
    ) {
        self.program = program
        self.address = address
        self.environment = environment
        self.dockerHost = dockerHost
    }

    /// What people call it: `docker at unix:///var/run/docker.sock`.
    public var title: String { program.rawValue + (address.map { " at \($0)" } ?? "") }

    /// What is said once about the choice.
    public var notice: String {
        "images are built by \(title)" + (passedOver.isEmpty ? "" : "; \(passedOver.joined(separator: "; "))")
    }

    /// Whether podman works through a socket: its program alone would use the images of this user on this machine.
    var isRemote: Bool { environment["CONTAINER_HOST"] != nil }

    /// The engine that images are built by here; `nil` where there is none.
    ///
    /// Looks at the environment and at sockets, which takes no longer than the disk does; nothing is started.
    public static func found() -> ContainerEngine? { try? EngineSearch.here().find() }

    /// The engine that images are built by here, or the given program where that is the one.
    ///
    /// Throws `LoopFailure` that says what was looked for.
    static func find(_ pinned: EngineBuild.Program?) async throws -> ContainerEngine {
        try await offPool { try EngineSearch.here().find(pinned) }
    }
}
