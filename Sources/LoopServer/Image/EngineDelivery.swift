internal import OCI
internal import Reactor

/// Brings an image that an engine has to where nodes find it.
struct EngineDelivery: Sendable {
    let image: Image
    let engine: ContainerEngine
    let access: ImageAccess
    let leash: String
    /// How many of loopd's own tags of an image stay in the engine, beside the newest.
    static let kept = 3

    private var command: EngineCommand { EngineCommand(engine) }

    /// Delivers the image of an id (`sha256:…`), under a tag made of that.
    func deliver(_ id: String, to home: ImageHome) async throws -> BuiltImage {
        let tag = ImageHome.tag(ofHex: String(id.dropFirst("sha256:".count)))
        switch home {
        case .registry(let names):
            let isUnchanged = try await push(id, tag, names)
            return BuiltImage(
                reference: "\(names.pullRepository(of: image.name)):\(tag)", bytesSent: isUnchanged ? 0 : nil,
                isUnchanged: isUnchanged)
        case .nodes(let loader):
            let repository = ImageName.full(image.name)
            let reference = "\(repository):\(tag)"
            try await name(id, reference)
            let isUnchanged = try await access.load(reference, .engine(engine), loader)
            if let alias = image.alias, !isUnchanged {
                try await name(id, "\(repository):\(alias)")
                _ = try await access.load("\(repository):\(alias)", .engine(engine), loader)
            }
            // What nodes run from is not this builder's to clear up.
            if !isShared(loader) { await removeOld(repository, but: reference) }
            return BuiltImage(
                reference: "\(image.name):\(tag)", bytesSent: isUnchanged ? 0 : nil, isUnchanged: isUnchanged)
        }
    }

    private func isShared(_ loader: NodeLoader) -> Bool {
        if case .shared = loader { engine.program == .docker } else { false }
    }

    // MARK: Registry

    /// Pushes an image unless the registry has it; whether it had.
    private func push(_ id: String, _ tag: String, _ names: RegistryNames) async throws -> Bool {
        let repository = names.programRepository(of: image.name)
        let reference = "\(repository):\(tag)"
        var digest = try await access.digest(reference)
        let isUnchanged = digest != nil
        if !isUnchanged {
            try await name(id, reference)
            async let cleaning: Void = removeOld(repository, but: reference)
            try await push(reference)
            digest = try await access.digest(reference)
            await cleaning
            guard digest != nil else { throw elsewhere(reference) }
        }
        // After the tag that pods use, so that it never names something that is not there.
        if let alias = image.alias, try await access.digest("\(repository):\(alias)") != digest {
            try await access.tag(reference, alias)
        }
        return isUnchanged
    }

    private func push(_ reference: String) async throws {
        let registry = ImageName(reference).registry
        let words = command.push(reference, isLoopback: await Registry.isNearby(registry))
        for attempt in 1... {
            let output = try await run(words, limit: .seconds(1800), "push \(reference)")
            if output.status.isSuccess { return }
            let lines = (output.text + "\n" + output.errorText).split(whereSeparator: \.isNewline).map(String.init)
            let failure = PushFailure(image: image.name, reference: reference, engine: engine)
            guard attempt < failure.attempts(lines) else {
                throw LoopFailure(failure: failure.explain(output.status, lines))
            }
            // What breaks off once, such as a registry that is being restarted, is back in a moment.
            try await Task.sleep(for: .milliseconds(300 * attempt * attempt))
        }
    }

    /// An engine in a virtual machine has a loopback of its own.
    private func elsewhere(_ reference: String) -> LoopFailure {
        let host = ImageName(reference).registry
        return LoopFailure(
            failure: LoopEvent.Failure(
                "image \(image.name): \(engine.title) has pushed \(reference), but the registry at \(host) does not have it",
                nextStep:
                    "the engine reaches another \(host) than this machine: name the registry in loop.json as both reach it"
            ))
    }

    // MARK: Engine

    private func name(_ id: String, _ reference: String) async throws {
        let output = try await run(command.tag(id, as: reference), "tag \(reference)")
        guard !output.status.isSuccess else { return }
        let lines = output.errorText.split(whereSeparator: \.isNewline).map(String.init)
        let said = lines.last.map { ProgramText.shortened(ProgramText.plain($0), to: 200) } ?? "\(output.status)"
        throw LoopFailure(
            failure: LoopEvent.Failure("image \(image.name): \(engine.title) does not tag it \(reference): \(said)"))
    }

    /// Takes away loopd's own old tags, so that disks do not fill; what is in use stays, and a failure is none.
    private func removeOld(_ repository: String, but newest: String) async {
        guard let output = try? await run(command.ownTags(of: repository), "list") else { return }
        let tag = newest.split(separator: ":").last ?? ""
        let old = EngineDelivery.ownNames(output.text, repository).filter { !$0.hasSuffix(":\(tag)") }
        guard output.status.isSuccess, old.count > EngineDelivery.kept else { return }
        // One by one: the first that is in use would keep the others.
        for reference in old[EngineDelivery.kept...] {
            _ = try? await run(command.remove([reference]), "remove")
        }
    }

    /// The names among a list's lines that loopd has given to a repository: podman and buildah list every name of an image
    /// that has a matching one.
    static func ownNames(_ list: String, _ repository: String) -> [String] {
        let prefixes = [repository, ImageName.familiar(repository)].map { "\($0):\(ImageHome.tagPrefix)" }
        return list.split(whereSeparator: \.isNewline).map(String.init).filter { line in
            prefixes.contains { line.hasPrefix($0) }
        }
    }

    /// The id of what the engine has under a reference; `nil` where there is nothing.
    func id(of reference: String) async throws -> String? {
        let output = try await run(command.id(of: reference), "inspect \(reference)")
        return output.status.isSuccess ? EngineDelivery.id(output.text) : nil
    }

    /// Takes a name away, where it is there.
    func untag(_ reference: String) async { _ = try? await run(command.remove([reference]), "remove") }

    /// An image's id as programs write it.
    static func id(_ text: String) -> String? {
        let word = ProgramText.plain(text)
        let hex = word.hasPrefix("sha256:") ? word.dropFirst("sha256:".count) : word[...]
        return hex.count == 64 && hex.allSatisfy(\.isHexDigit) ? "sha256:\(hex)" : nil
    }

    private func run(_ words: [String], limit: Duration = .seconds(120), _ what: String) async throws -> Output {
        let environment = command.environment(on: ProcessEnvironment.inherited)
        let leash = leash
        let timeout = LoopEvent.Failure(
            "image \(image.name): \(engine.title) does not come to an end within \(limit.components.seconds) s: \(what)"
        )
        return try await atMost(limit, otherwise: LoopFailure(failure: timeout)) {
            try await Leashed.run(words, environment: environment, leash: leash)
        }
    }
}
