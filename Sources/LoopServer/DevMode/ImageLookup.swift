internal import JSON
internal import OCI
internal import Reactor

/// Finds out what an image says about how it is run: from its registry, or from a program that knows images.
struct ImageLookup: Sendable {
    /// Ends what it starts when loopd is gone.
    let leash: String
    /// In Kubernetes' names, for images of several architectures.
    let architecture: String
    /// Where the nodes find images whose name has no registry, as host and port; `nil` where that is nowhere near.
    var registry: String?
    /// The names of a registry that is called otherwise here than by the nodes.
    var names: RegistryNames?
    /// Programs that know the images of this machine.
    var engines = ["docker", "podman"]
    /// How long each one that is asked may take.
    var patience = Duration.seconds(20)

    /// What the image says; `nil` where nobody here can tell.
    ///
    /// - Parameter isNeeded: whether it is worth to ask a registry elsewhere.
    func configuration(of image: String, isNeeded: Bool) async -> ImageConfiguration? {
        let name = ImageName(nameHere(image))
        let isNearby = await Registry.isNearby(name.location.registry)
        if isNearby, let found = try? await fromRegistry(name) { return found }
        for program in engines {
            let output = try? await run([program, "image", "inspect", image])
            if let config = output?[0]?["Config"] { return ImageConfiguration(config) }
        }
        guard isNeeded else { return nil }
        if !isNearby, let found = try? await fromRegistry(name) { return found }
        let config = try? await run(["skopeo", "inspect", "--config", "docker://\(image)"])
        return config?["config"].map { ImageConfiguration($0) }
    }

    /// An image of a pod as this machine names it.
    private func nameHere(_ image: String) -> String {
        if let names, !names.pull.isEmpty, image.hasPrefix("\(names.pull)/") {
            return names.push + image.dropFirst(names.pull.count)
        }
        guard let registry, ImageName(image).registry.isEmpty else { return image }
        return "\(registry)/\(image)"
    }

    private func run(_ arguments: [String]) async throws -> JSON {
        let output = try await KubeClient.within(patience, arguments[0]) { [leash] in
            try await Leashed.run(arguments, leash: leash)
        }
        return try JSON(parsing: output.standardOutput)
    }

    private func fromRegistry(_ name: ImageName) async throws -> ImageConfiguration {
        let (host, repository) = name.location
        let options = Registry.Options(
            environment: ProcessEnvironment.inherited, programs: LeashedPrograms(leash: leash))
        let registry = Registry(host, options: options)
        return try await KubeClient.within(patience, "read \(repository)") { [architecture] in
            let config = try await registry.configuration(
                name.reference, in: repository, platform: Platform(architecture: architecture))
            return ImageConfiguration(config.json["config"] ?? .null)
        }
    }
}
