internal import OCI

/// The command lines of docker, podman and buildah, as argument arrays.
struct EngineCommand: Equatable, Sendable {
    let engine: ContainerEngine

    init(_ engine: ContainerEngine) { self.engine = engine }

    /// The program with what it always needs.
    private var program: [String] { [engine.program.rawValue] + (engine.isRemote ? ["--remote"] : []) }

    /// loopd's own environment with what the engine needs.
    func environment(on inherited: [String: String]) -> [String: String] {
        inherited.merging(engine.environment) { _, own in own }
    }

    // MARK: Build

    /// A build that writes the image's id into a file.
    ///
    /// Values of build arguments come through the environment: others can read a command line. One that the program itself
    /// goes by cannot, and has to be no secret.
    ///
    /// - Parameters:
    ///   - platform: what to build for; `nil` is the engine's own.
    ///   - isPlainHTTP: whether the base images are in registries on this machine.
    func build(_ recipe: EngineBuild, platform: String?, idFile: String, isPlainHTTP: Bool = false) -> [String] {
        // Classic docker and buildah keep the container of a step that failed.
        var words = program + ["build", "--iidfile", idFile, "--file", recipe.dockerfile, "--force-rm"]
        if engine.program != .docker {
            // Without its cache the same content becomes another image.
            words.append("--layers")
            if isPlainHTTP { words.append("--tls-verify=false") }
        }
        for (name, value) in recipe.arguments.sorted(by: { $0.key < $1.key }) {
            let isInline = EngineVariables.contains(name) && !SecretMask.isSecret(name)
            words += ["--build-arg", isInline ? "\(name)=\(value)" : name]
        }
        if let target = recipe.target { words += ["--target", target] }
        if let platform = recipe.platform ?? platform { words += ["--platform", platform] }
        for (name, place) in recipe.contexts.sorted(by: { $0.key < $1.key }) {
            words += ["--build-context", "\(name)=\(place)"]
        }
        for (id, secret) in recipe.secrets.sorted(by: { $0.key < $1.key }) {
            let source =
                switch secret {
                case .file(let path): "src=\(path)"
                case .environment(let name): "env=\(name)"
                }
            words += ["--secret", "\(EngineCommand.field("id=\(id)")),\(EngineCommand.field(source))"]
        }
        return words + [recipe.context]
    }

    /// The environment of a build.
    func buildEnvironment(_ recipe: EngineBuild, on inherited: [String: String]) -> [String: String] {
        var variables = environment(on: inherited)
        // The time of a build in its attestation would make another image of the same content.
        let defaults = [
            "BUILDKIT_PROGRESS": "plain", "BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "DOCKER_CLI_HINTS": "false",
        ]
        variables.merge(defaults) { given, _ in given }
        for (name, value) in recipe.arguments where !EngineVariables.contains(name) { variables[name] = value }
        return variables
    }

    /// A field of a comma-separated list.
    private static func field(_ text: String) -> String {
        text.contains(",") || text.contains("\"") ? "\"\(text.replacing("\"", with: "\"\""))\"" : text
    }

    // MARK: Images

    /// Gives an image a name.
    func tag(_ image: String, as reference: String) -> [String] { program + ["tag", image, reference] }

    /// Pushes what a reference stands for; plain HTTP only to this machine.
    func push(_ reference: String, isLoopback: Bool) -> [String] {
        switch engine.program {
        // Docker takes registries on this machine without encryption by itself.
        case .docker: program + ["push", reference]
        case .podman, .buildah:
            program + ["push"] + (isLoopback ? ["--tls-verify=false"] : []) + [reference, "docker://\(reference)"]
        }
    }

    /// Writes what a reference stands for into a docker archive, under that name.
    func save(_ reference: String, to path: String) -> [String] {
        switch engine.program {
        case .docker: program + ["save", "--output", path, reference]
        case .podman: program + ["save", "--format", "docker-archive", "--output", path, reference]
        case .buildah: program + ["push", reference, "docker-archive:\(path):\(reference)"]
        }
    }

    /// Prints the id of what a reference stands for.
    func id(of reference: String) -> [String] {
        switch engine.program {
        case .docker, .podman: program + ["image", "inspect", "--format", "{{.Id}}", reference]
        case .buildah: program + ["inspect", "--type", "image", "--format", "{{.FromImageID}}", reference]
        }
    }

    /// Prints the names of a repository's images that loopd has tagged, the newest image first, and perhaps other names of
    /// theirs.
    func ownTags(of repository: String) -> [String] {
        // Docker compares with the short form of a name.
        let name = engine.program == .docker ? ImageName.familiar(repository) : repository
        let filter = ["--filter", "reference=\(name):\(ImageHome.tagPrefix)*"]
        switch engine.program {
        case .docker: return program + ["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"] + filter
        case .podman:
            return program + ["images", "--sort", "created", "--format", "{{.Repository}}:{{.Tag}}"] + filter
        case .buildah: return program + ["images", "--format", "{{.Name}}:{{.Tag}}"] + filter
        }
    }

    /// Takes names away, and what has no other name.
    func remove(_ references: [String]) -> [String] { program + ["rmi"] + references }
}
