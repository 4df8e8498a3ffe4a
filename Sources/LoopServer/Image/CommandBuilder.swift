internal import OCI
internal import Reactor

/// Builds an image with any program that is told the image's name.
struct CommandBuilder: ImageBuilder {
    let image: Image
    let recipe: ImageCommand
    /// Lets one build of the image on this machine come after the other: they have the same temporary name.
    let turns: BuildTurns
    /// Where the image is looked for when there is no registry; `nil` where no engine is here.
    let engine: ContainerEngine?
    let access: ImageAccess
    let leash: String
    /// loopd's own environment.
    let inherited: [String: String]
    /// What temporary tags begin with.
    static let temporaryPrefix = ImageHome.tagPrefix + "build-"
    /// How many lines of what a program prints are shown when it fails.
    private static let shown = 12

    /// A builder of one image.
    init(
        image: Image, command recipe: ImageCommand, turns: BuildTurns, engine: ContainerEngine?, access: ImageAccess,
        leash: String,
        inherited: [String: String] = ProcessEnvironment.inherited
    ) {
        self.image = image
        self.recipe = recipe
        self.turns = turns
        self.engine = engine
        self.access = access
        self.leash = leash
        self.inherited = inherited
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        try await turns.take {
            output("waits for another loopd that builds \(image.name)")
        } body: {
            try await buildNow(to: home, output: output)
        }
    }

    private func buildNow(
        to home: ImageHome, output: @escaping @Sendable (String) -> Void
    ) async throws -> BuiltImage {
        switch home {
        case .registry(let names):
            let reference = "\(names.programRepository(of: image.name)):\(temporaryTag)"
            let before = await clear(reference)
            return try await withTemporary(reference, remove: { [access] in try? await access.untag($0) }) {
                try await run($0, output)
                return try await take($0, otherThan: before, names)
            }
        case .nodes:
            guard let engine else {
                throw refusal("there is neither a registry to push it to nor an engine to look for it in")
            }
            let delivery = EngineDelivery(image: image, engine: engine, access: access, leash: leash)
            let reference = "\(ImageName.full(image.name)):\(temporaryTag)"
            await delivery.untag(reference)
            return try await withTemporary(reference, remove: { await delivery.untag($0) }) {
                try await run($0, output)
                guard let id = try await delivery.id(of: $0) else { throw nothing("\(engine.title) has no \($0)") }
                return try await delivery.deliver(id, to: home)
            }
        }
    }

    /// The tag that the program gets: the same for each build, because a registry that deletes nothing keeps it for ever.
    private var temporaryTag: String { CommandBuilder.temporaryPrefix + turns.name }

    /// Takes the temporary name away, as a build that was cut off has left it: that would look like this one's.
    ///
    /// Returns the digest that it has all the same, of nothing of use, where the registry deletes nothing.
    private func clear(_ reference: String) async -> String? {
        // What does not work now is told by what comes after the build.
        guard let left = try? await access.digest(reference) else { return nil }
        try? await access.untag(reference)
        do { return try await access.digest(reference) } catch { return left }
    }

    /// Runs `body` with a name that is taken away afterwards, unless it is cancelled: the next build may have begun then,
    /// and does it.
    private func withTemporary(
        _ reference: String, remove: @escaping @Sendable (String) async -> Void,
        _ body: (String) async throws -> BuiltImage
    ) async throws -> BuiltImage {
        do {
            let built = try await body(reference)
            await remove(reference)
            return built
        } catch {
            if !Task.isCancelled { await remove(reference) }
            throw error
        }
    }

    /// The command with the image's name in it.
    static func words(_ command: [String], _ reference: String) -> [String] {
        command.map { $0.replacing("${image}", with: reference) }
    }

    private func run(_ reference: String, _ output: @Sendable (String) -> Void) async throws {
        let variables = inherited.merging(recipe.environment) { _, own in own }
            .merging(["LOOPD_IMAGE": reference]) { _, own in own }
        let mask = SecretMask(SecretMask.secretArguments(recipe.environment))
        var tail: [String] = []
        let status: ExitStatus
        do {
            // What it leaves running, such as a build server, is its own.
            status = try await Leashed.follow(
                CommandBuilder.words(recipe.command, reference), in: recipe.directory, environment: variables,
                leash: leash, isGroupOnly: true
            ) { piece in
                guard case .line(let raw) = piece else { return }
                let line = mask.masked(raw)
                tail.append(line)
                if tail.count > CommandBuilder.shown { tail.removeFirst() }
                output(line)
            }
        } catch let error as SystemError {
            throw refusal("\(shownCommand) cannot be started: \(error)")
        }
        guard !status.isSuccess else { return }
        if status == .exited(127), tail.contains(where: { $0.hasPrefix("leash: ") }) {
            throw refusal(
                "there is no program \(recipe.command.first ?? "")",
                nextStep: "install it, or name it as it is called here")
        }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "image \(image.name): \(shownCommand): \(status)",
                details: tail.map { ProgramText.shortened(ProgramText.plain($0), to: 200) }.filter { !$0.isEmpty }))
    }

    /// Gives what the program has pushed a tag by its content.
    private func take(_ reference: String, otherThan before: String?, _ names: RegistryNames) async throws -> BuiltImage
    {
        guard let digest = try await access.digest(reference), digest != before else {
            throw nothing("the registry has no \(reference)")
        }
        let repository = names.programRepository(of: image.name)
        let tag = ImageHome.tag(ofHex: String(digest.split(separator: ":").last ?? ""))
        let isUnchanged = try await access.digest("\(repository):\(tag)") == digest
        if !isUnchanged { try await access.tag(reference, tag) }
        if let alias = image.alias, try await access.digest("\(repository):\(alias)") != digest {
            try await access.tag(reference, alias)
        }
        return BuiltImage(reference: "\(names.pullRepository(of: image.name)):\(tag)", isUnchanged: isUnchanged)
    }

    private var shownCommand: String { ProgramText.shortened(recipe.command.joined(separator: " "), to: 100) }

    private func nothing(_ where: String) -> LoopFailure {
        refusal(
            "\(shownCommand) has ended well, but \(`where`)",
            nextStep:
                "it has to push (or build) the image under the name that is in LOOPD_IMAGE, and ${image} in its arguments"
        )
    }

    private func refusal(_ cause: String, nextStep: String? = nil) -> LoopFailure {
        LoopFailure(failure: LoopEvent.Failure("image \(image.name): \(cause)", nextStep: nextStep))
    }
}
