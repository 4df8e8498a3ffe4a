internal import JSON

/// An image for test containers; every one holds `/probe`, which it runs.
package enum TestImage: String, Sendable, CaseIterable {
    /// Debian's busybox with all its programs.
    case shell
    /// The same without `tar`.
    case withoutTar
    /// `tar` and nothing else.
    case tarOnly
    /// Nothing but `/probe`.
    case scratch
    /// The first one with loopd's helper and its folder, as dev mode has them, and `/srv/tool`, another `/probe`.
    case dev
    /// The same without any other program.
    case devScratch
    /// A shell, run by user 1000, whom `/srv` belongs to.
    case nonRoot

    /// What `busybox` is on Debian.
    private static let busybox = "/bin/busybox"

    /// The image's name in a pod; it is pushed at the first call.
    package func name(on cluster: Cluster) async throws -> String {
        try await Self.pushed.name(self, on: cluster)
    }

    /// Pushes the image with a word in it, `/word`, as loopd pushes what it has built, and returns its name in a pod.
    package func built(_ word: String, on cluster: Cluster) async throws -> String {
        var layer = try contents()
        layer.file("word", Array(word.utf8))
        layer.end()
        return try await RegistryClient(cluster.registry).push(
            "loopd-e2e/web", layer: layer.bytes, config: config, tagPrefix: "loopd-")
    }

    private static let pushed = Pushed()

    private actor Pushed {
        private var names: [TestImage: Task<String, any Error>] = [:]

        func name(_ image: TestImage, on cluster: Cluster) async throws -> String {
            if let running = names[image] { return try await running.value }
            let task = Task { try await image.push(to: cluster.registry) }
            names[image] = task
            return try await task.value
        }
    }

    private func push(to registry: String) async throws -> String {
        var layer = try contents()
        layer.end()
        return try await RegistryClient(registry).push(
            "loopd-e2e/\(rawValue.lowercased())", layer: layer.bytes, config: config)
    }

    private var config: JSON {
        var config: JSON = ["Entrypoint": ["/probe"], "Cmd": ["run"], "Env": ["PATH=/bin"]]
        if self == .nonRoot { config["User"] = "1000:1000" }
        return config
    }

    private func contents() throws -> TarArchive {
        var layer = TarArchive()
        layer.file("probe", try Disk.read(Built.probe), mode: 0o755)
        switch self {
        case .scratch: break
        case .devScratch: try addDevMode(to: &layer)
        case .tarOnly:
            layer.folder("tmp", mode: 0o1777)
            layer.folder("bin")
            // busybox does what its name says: without another name it is no shell.
            layer.file("bin/tar", try Disk.read(Self.busybox), mode: 0o755)
        case .shell, .withoutTar, .nonRoot, .dev:
            layer.folder("tmp", mode: 0o1777)
            layer.folder("srv", owner: self == .nonRoot ? 1000 : 0)
            layer.folder("etc")
            layer.file("etc/passwd", Array("root:x:0:0::/:/bin/sh\nuser:x:1000:1000::/tmp:/bin/sh\n".utf8))
            layer.folder("bin")
            layer.file("bin/busybox", try Disk.read(Self.busybox), mode: 0o755)
            for program in Self.programs where self != .withoutTar || program != "tar" {
                layer.link("bin/\(program)", to: "busybox")
            }
        }
        if self == .dev { try addDevMode(to: &layer) }
        return layer
    }

    private func addDevMode(to layer: inout TarArchive) throws {
        if self == .devScratch { layer.folder("srv") }
        layer.folder(".loopd")
        layer.folder(".loopd/bin")
        layer.folder(".loopd/state", mode: 0o1777)
        layer.file(".loopd/bin/helper", try Disk.read(Built.helper), mode: 0o755)
        layer.file("srv/tool", try Disk.read(Built.probe), mode: 0o755)
    }

    private static let programs = [
        "sh", "tar", "cat", "chmod", "chown", "cmp", "cp", "dd", "df", "echo", "env", "find", "grep", "head", "id",
        "kill",
        "ln",
        "ls", "mkdir", "mv", "printf", "ps", "rm", "rmdir", "sha256sum", "sleep", "stat", "tail", "test", "touch",
        "true",
        "uname", "wc",
    ]
}
