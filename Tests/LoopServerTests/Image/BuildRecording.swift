import Reactor
import Testing

@testable import LoopServer

/// What real programs have printed: see `Fixtures/builds`.
enum BuildRecording {
    /// The lines that a program has printed, and how it ended.
    static func read(_ name: String) throws -> (status: Reactor.ExitStatus, lines: [String]) {
        var lines = try Recording.bytes("../builds/\(name).txt").split(separator: 0x0A).map {
            String(decoding: $0, as: UTF8.self)
        }
        let code = try #require(lines.last?.split(separator: " ").last.flatMap { Int32($0) })
        lines.removeLast()
        return (.exited(code), lines)
    }

    /// What was built.
    static func dockerfile(_ name: String) throws -> Dockerfile {
        Dockerfile(parsing: String(decoding: try Recording.bytes("../builds/Dockerfile.\(name)"), as: UTF8.self))
    }

    /// What has printed a recording.
    static func engine(_ name: String) -> ContainerEngine {
        if name.contains("podman") { return ContainerEngine(.podman) }
        if name.contains("buildah") { return ContainerEngine(.buildah) }
        return ContainerEngine(.docker, address: "unix:///var/run/docker.sock")
    }
}
