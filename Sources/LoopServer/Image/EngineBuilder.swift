internal import Glibc
internal import OCI
internal import Reactor

/// Builds an image from a Dockerfile with docker, podman or buildah.
struct EngineBuilder: ImageBuilder {
    let image: Image
    let recipe: EngineBuild
    let engine: ContainerEngine
    /// Such as `linux/arm64`; `nil` where the nodes are as this machine.
    let platform: String?
    let access: ImageAccess
    let leash: String
    /// Looks at the size of the context before the first build; `nil` for nobody.
    let survey: ContextSurvey?
    /// loopd's own environment.
    let inherited: [String: String]

    /// A builder of one image; `platform` is the nodes' where that differs from this machine's.
    init(
        image: Image, build recipe: EngineBuild, engine: ContainerEngine, platform: String? = nil,
        access: ImageAccess, leash: String, survey: ContextSurvey? = nil,
        inherited: [String: String] = ProcessEnvironment.inherited
    ) {
        self.image = image
        self.recipe = recipe
        self.engine = engine
        self.platform = platform
        self.access = access
        self.leash = leash
        self.survey = survey
        self.inherited = inherited
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        let inputs = try await offPool { [self] in try readInputs() }
        await survey?.look(at: recipe.context, dockerfile: recipe.dockerfile)
        let id = try await build(inputs, output)
        return try await EngineDelivery(image: image, engine: engine, access: access, leash: leash).deliver(
            id, to: home)
    }

    // MARK: Before the build

    /// What is read before the program starts.
    private struct Inputs: Sendable {
        let dockerfile: Dockerfile
        let mask: SecretMask
    }

    /// Blocks for as long as the disk does.
    private func readInputs() throws -> Inputs {
        guard EngineBuilder.kind(of: recipe.context) == S_IFDIR else {
            throw refusal("there is no folder \(recipe.context) to be its build context")
        }
        guard EngineBuilder.kind(of: recipe.dockerfile) == S_IFREG,
            let bytes = EngineSearch.contents(of: recipe.dockerfile, limit: 4 << 20)
        else {
            throw refusal(
                EngineBuilder.kind(of: recipe.dockerfile) == nil
                    ? "there is no \(recipe.dockerfile)" : "\(recipe.dockerfile) is not a file that can be read",
                nextStep: "\"dockerfile\" in loop.json names another one")
        }
        if let name = recipe.arguments.keys.sorted().first(where: {
            EngineVariables.contains($0) && SecretMask.isSecret($0)
        }) {
            throw refusal(
                "its build argument \(name) looks like a secret, but \(engine.title) goes by it itself: it would be in the command line",
                nextStep: "give it another name, or make it one of its \"secrets\"")
        }
        var values = SecretMask.secretArguments(recipe.arguments)
        for (id, secret) in recipe.secrets {
            switch secret {
            case .environment(let name):
                guard let value = inherited[name] else {
                    throw refusal("the variable \(name), which its secret \(id) comes from, is not set")
                }
                values.append(value)
            case .file(let path):
                guard let value = EngineSearch.contents(of: path, limit: 1 << 20) else {
                    throw refusal("the file of its secret \(id), \(path), cannot be read")
                }
                values.append(String(decoding: value, as: UTF8.self))
            }
        }
        return Inputs(dockerfile: Dockerfile(parsing: String(decoding: bytes, as: UTF8.self)), mask: SecretMask(values))
    }

    private func refusal(_ cause: String, nextStep: String? = nil) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure("image \(image.name): \(cause)", nextStep: nextStep))
    }

    private static func kind(of path: String) -> mode_t? {
        var status = stat()
        return stat(path, &status) == 0 ? status.st_mode & S_IFMT : nil
    }

    // MARK: The build

    /// How many lines of what a build prints are looked through for the cause of its failure.
    private static let remembered = 400

    /// Builds, and answers with the image's id.
    private func build(_ inputs: Inputs, _ output: @Sendable (String) -> Void) async throws -> String {
        let folder = try await offPool { try ScratchFolder() }
        defer { folder.remove() }
        let command = EngineCommand(engine)
        let idFile = "\(folder.path)/id"
        let bases = inputs.dockerfile.bases(recipe.arguments).map { ImageName($0.name).registry }
        var isPlainHTTP = !bases.isEmpty
        for base in bases where isPlainHTTP { isPlainHTTP = await Registry.isNearby(base) }
        let words = command.build(recipe, platform: platform, idFile: idFile, isPlainHTTP: isPlainHTTP)
        var tail: [String] = []
        var filter = NoticeFilter()
        let status = try await Leashed.follow(
            words, in: recipe.context, environment: command.buildEnvironment(recipe, on: inherited), leash: leash
        ) { piece in
            guard case .line(let raw) = piece, filter.lets(raw) else { return }
            let line = inputs.mask.masked(ProgramText.lastState(raw))
            tail.append(line)
            if tail.count > EngineBuilder.remembered { tail.removeFirst(EngineBuilder.remembered / 2) }
            output(line)
        }
        guard status.isSuccess else {
            let failure = BuildFailure(image: image.name, recipe: recipe, engine: engine, dockerfile: inputs.dockerfile)
            throw LoopFailure(failure: failure.explain(status, tail))
        }
        let text = try await offPool { EngineSearch.contents(of: idFile, limit: 4096) } ?? []
        guard let id = EngineDelivery.id(String(decoding: text, as: UTF8.self)) else {
            throw refusal("\(engine.title) does not say what it has built")
        }
        return id
    }
}

/// Leaves out what docker says of itself with each build.
private struct NoticeFilter {
    private var isNotice = false

    mutating func lets(_ line: String) -> Bool {
        if line.hasPrefix("DEPRECATED: The legacy builder") {
            isNotice = true
        } else if !line.hasPrefix("            "), !line.isEmpty {
            isNotice = false
        }
        return !isNotice
    }
}
