import Glibc
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

/// The engines that builders are tried with, each as it comes from Debian.
enum TestEngine: String, CaseIterable, Sendable, CustomTestStringConvertible {
    case classic
    case buildKit
    case podman
    case buildah

    var testDescription: String { rawValue }

    /// Why it cannot be tried here.
    var obstacle: String? {
        if let missing = DockerRegistry.obstacle { return missing }
        switch self {
        case .classic: return DockerDaemon.obstacle
        case .buildKit:
            // Docker's own client of BuildKit went into buildx with version 23.
            return DockerDaemon.obstacle
                ?? (access("/usr/bin/docker", X_OK) == 0 ? nil : "there is no docker with its own BuildKit")
        case .podman, .buildah: return ContainerStorage.obstacle(rawValue)
        }
    }

    /// Those that can be tried here; why not the others is printed.
    static let usable: [TestEngine] = allCases.filter { engine in
        if let obstacle = engine.obstacle { print("builds with \(engine) are skipped: \(obstacle)") }
        return engine.obstacle == nil
    }

    /// Those of them whose `RUN` works without a network.
    static let running = usable.filter { $0 != .buildKit }
    /// Those of them that take secrets here.
    static let withSecrets = usable.filter { $0 == .podman || $0 == .buildah }
}

/// A registry, engines and a project to build.
final class EngineFixture: Sendable {
    let registry: DockerRegistry
    let tree: ScratchPath
    private let daemon: DockerDaemon?
    private let storage: ContainerStorage?
    let engine: ContainerEngine
    let lines = Mutex<[String]>([])

    static let leash = Built.leash

    private init(_ engine: TestEngine) async throws {
        registry = try await DockerRegistry.start()
        tree = try ScratchPath()
        switch engine {
        case .classic, .buildKit:
            let daemon = try await DockerDaemon.start()
            self.daemon = daemon
            storage = nil
            let isClassic = engine == .classic
            self.engine = ContainerEngine(
                .docker, address: daemon.host,
                environment: [
                    "DOCKER_HOST": daemon.host, "DOCKER_BUILDKIT": isClassic ? "0" : "1",
                    // Debian's client, wherever another one comes first.
                    "PATH": (isClassic ? "" : "/usr/bin:") + (variable("PATH") ?? "/usr/bin:/bin"),
                ])
        case .podman, .buildah:
            daemon = nil
            let storage = try ContainerStorage()
            self.storage = storage
            self.engine = ContainerEngine(engine == .podman ? .podman : .buildah, environment: storage.environment)
        }
    }

    /// Runs `body` with an engine and an empty registry.
    static func run(_ engine: TestEngine, _ body: (EngineFixture) async throws -> Void) async throws {
        let fixture = try await EngineFixture(engine)
        do {
            try await body(fixture)
        } catch {
            await fixture.stop()
            throw error
        }
        await fixture.stop()
    }

    private func stop() async {
        await registry.stop()
        await daemon?.stop()
        storage?.remove()
    }

    var names: RegistryNames { RegistryNames(push: registry.name, pull: "registry.inside:5000") }

    /// Puts a Dockerfile and busybox into the context.
    func write(_ dockerfile: String, _ files: [String: String] = [:]) throws {
        try tree.write("Dockerfile", "FROM scratch\nCOPY busybox /bin/busybox\nCOPY busybox /bin/sh\n" + dockerfile)
        try tree.write("busybox", try Disk.read("/bin/busybox"), mode: 0o755)
        for (path, text) in files { try tree.write(path, text) }
    }

    func builder(
        alias: String? = nil, access: ImageAccess? = nil, inherited: [String: String]? = nil,
        _ change: (inout EngineBuild) -> Void = { _ in }
    ) -> EngineBuilder {
        var recipe = EngineBuild(nil, context: tree.path, dockerfile: "\(tree.path)/Dockerfile")
        change(&recipe)
        return EngineBuilder(
            image: Image("acme/web", .engine(recipe), alias: alias), build: recipe, engine: engine,
            access: access ?? ImageAccess.live(), leash: EngineFixture.leash,
            inherited: inherited ?? ProcessEnvironment.inherited)
    }

    func build(_ builder: some ImageBuilder, to home: ImageHome? = nil) async throws -> BuiltImage {
        try await builder.build(to: home ?? .registry(names)) { line in self.lines.withLock { $0.append(line) } }
    }

    /// Everything that was printed.
    var printed: String { lines.withLock { $0.joined(separator: "\n") } }

    /// What a failed build says.
    func failure(_ builder: some ImageBuilder) async throws -> LoopEvent.Failure {
        let thrown = await #expect(throws: LoopFailure.self) { try await build(builder) }
        return try #require(thrown?.failure)
    }

    func digest(_ tag: String) async throws -> String? {
        try await ImageAccess.live().digest("\(registry.name)/acme/web:\(tag)")
    }

    /// The names that the engine has of loopd's tags.
    func tags() async throws -> [String] {
        let command = EngineCommand(engine)
        let output = try await Child.succeed(
            command.ownTags(of: "\(registry.name)/acme/web"),
            environment: command.environment(on: ProcessEnvironment.inherited))
        return EngineDelivery.ownNames(output.text, "\(registry.name)/acme/web")
    }
}

/// A private folder that goes away with this object; its path can be used from any task.
final class ScratchPath: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/loopd-test-XXXXXX".utf8CString)
        try #require(mkdtemp(&template) != nil)
        path = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit { ScratchTree.remove(path) }

    func write(_ name: String, _ text: String) throws { try write(name, Array(text.utf8)) }

    func write(_ name: String, _ bytes: [UInt8], mode: mode_t = 0o644) throws {
        try Disk.write(Array("\(path)/\(name)".utf8), bytes, mode: mode)
    }
}

extension ImageAccess {
    /// Registries without logins of this machine's user, and nodes that nobody asks for.
    static func live() -> ImageAccess {
        live(Registries(leash: EngineFixture.leash), NodeImages(leash: EngineFixture.leash))
    }
}
