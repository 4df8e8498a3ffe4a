internal import Glibc
internal import Reactor

/// Debian's `docker-registry` on a port of its own.
package final class DockerRegistry: Sendable {
    /// `nil` where it is installed, else why not.
    package static let obstacle: String? =
        Installed.program("docker-registry") == nil
        ? "docker-registry is not installed (apt-get install docker-registry)" : nil

    /// Host and port, as image names begin with it.
    package let name: String
    private let folder: String
    /// Where its content is.
    package var content: String { "\(folder)/content" }
    private let deletes: Bool
    private let service: Service

    private init(_ name: String, _ folder: String, deletes: Bool, _ service: Service) {
        self.name = name
        self.folder = folder
        self.deletes = deletes
        self.service = service
    }

    /// Runs `body` with an empty registry, in which manifests can be deleted or not.
    package static func run(deletes: Bool = true, _ body: (DockerRegistry) async throws -> Void) async throws {
        let registry = try await start(deletes: deletes)
        do {
            try await body(registry)
        } catch {
            await registry.stop()
            throw error
        }
        await registry.stop()
    }

    /// Starts an empty registry, and waits until it listens.
    package static func start(deletes: Bool = true) async throws -> DockerRegistry {
        try await start(in: try temporaryFolder("loopd-registry"), port: 0, deletes: deletes)
    }

    private static func start(in folder: String, port: UInt16, deletes: Bool) async throws -> DockerRegistry {
        let configuration = """
            version: 0.1
            log: {level: info, accesslog: {disabled: true}}
            storage: {filesystem: {rootdirectory: \(folder)/content}, delete: {enabled: \(deletes)}}
            http: {addr: 127.0.0.1:\(port), secret: the-same-after-a-restart}

            """
        try Disk.write(Array("\(folder)/config.yml".utf8), Array(configuration.utf8))
        let arguments = [Installed.program("docker-registry") ?? "docker-registry", "serve", "\(folder)/config.yml"]
        let (service, found) = try await Service.start(arguments) { printed -> UInt16? in
            guard let mark = printed.firstRange(of: "listening on 127.0.0.1:") else { return nil }
            let rest = printed[mark.upperBound...]
            let digits = rest.prefix(while: \.isNumber)
            // Only a whole number: more of it may still come.
            return digits.endIndex < rest.endIndex ? UInt16(digits) : nil
        }
        return DockerRegistry("127.0.0.1:\(found)", folder, deletes: deletes, service)
    }

    /// Ends it and leaves its content.
    package func pause() async { await service.stop() }

    /// Starts it again on the same port, with the same content.
    package func resume() async throws -> DockerRegistry {
        try await DockerRegistry.start(
            in: folder, port: UInt16(name.split(separator: ":").last ?? "") ?? 0, deletes: deletes)
    }

    /// Ends it and removes its content.
    package func stop() async {
        await service.stop()
        Disk.remove(folder)
    }

    /// How many files its content has.
    package var files: Int {
        var count = 0
        var folders = ["\(folder)/content"]
        while let next = folders.popLast() {
            guard let listing = opendir(next) else { continue }
            defer { closedir(listing) }
            while let entry = readdir(listing) {
                let name = withUnsafeBytes(of: entry.pointee.d_name) {
                    String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
                }
                if name == "." || name == ".." { continue }
                if entry.pointee.d_type == UInt8(DT_DIR) { folders.append("\(next)/\(name)") } else { count += 1 }
            }
        }
        return count
    }
}
