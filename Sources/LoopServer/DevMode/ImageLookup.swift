internal import OCI
internal import HTTP
internal import JSON
internal import Reactor

/// Finds out what an image says about how it is run: from its registry, or from a program that knows images.
struct ImageLookup: Sendable {
    /// Ends what it starts when loopd is gone.
    let leash: String
    /// In Kubernetes' names, for images of several architectures.
    let architecture: String
    /// Where the nodes find images whose name has no registry, as host and port; `nil` where that is nowhere near.
    var registry: String?
    /// Programs that know the images of this machine.
    var engines = ["docker", "podman"]

    /// What the image says; `nil` where nobody here can tell.
    ///
    /// - Parameter isNeeded: whether it is worth to ask a registry elsewhere.
    func configuration(of image: String, isNeeded: Bool) async -> ImageConfiguration? {
        let name = ImageName(registry.map { ImageName(image).registry.isEmpty ? "\($0)/\(image)" : image } ?? image)
        if let found = try? await fromRegistry(name) { return found }
        for program in engines {
            let output = try? await run([program, "image", "inspect", image])
            if let config = output?[0]?["Config"] { return ImageConfiguration(config) }
        }
        guard isNeeded else { return nil }
        let config = try? await run(["skopeo", "inspect", "--config", "docker://\(image)"])
        return config?["config"].map { ImageConfiguration($0) }
    }

    private func run(_ arguments: [String]) async throws -> JSON {
        let output = try await KubeClient.within(.seconds(20), arguments[0]) { [leash] in
            try await Leashed.run(arguments, leash: leash)
        }
        return try JSON(parsing: output.standardOutput)
    }

    // MARK: - A registry on this machine

    private struct Unknown: Error {}

    private static let manifestTypes = [
        "application/vnd.oci.image.manifest.v1+json", "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ]

    private func fromRegistry(_ name: ImageName) async throws -> ImageConfiguration {
        guard let (host, port) = name.loopback else { throw Unknown() }
        let http = HTTPClient(endpoint: .tcp(host: host, port: port))
        defer { http.closeIdle() }
        return try await KubeClient.within(.seconds(20), "read \(name.repository)") {
            var manifest = try await get("\(name.repository)/manifests/\(name.reference)", http)
            if let choices = manifest["manifests"]?.array {
                let mine = choices.first { $0.at("platform", "architecture")?.string == architecture } ?? choices.first
                guard let digest = mine?["digest"]?.string else { throw Unknown() }
                manifest = try await get("\(name.repository)/manifests/\(digest)", http)
            }
            guard let digest = manifest.at("config", "digest")?.string else { throw Unknown() }
            let blob = try await get("\(name.repository)/blobs/\(digest)", http)
            return ImageConfiguration(blob["config"] ?? .null)
        }
    }

    private func get(_ path: String, _ http: HTTPClient) async throws -> JSON {
        let request = HTTPRequest(
            "GET", "/v2/\(path)", headers: ["Accept": ImageLookup.manifestTypes.joined(separator: ", ")])
        let answer = try await http.fetch(request, limit: 4 << 20)
        guard answer.response.status == 200 else { throw Unknown() }
        return try JSON(parsing: answer.body)
    }
}
