internal import OCI
internal import Reactor

/// Builds an image without a daemon: the rules' files as layers on top of a base, pushed as they are made.
actor AppendBuilder: ImageBuilder {
    /// What an image is made of.
    struct Recipe: Sendable {
        let image: Image
        /// The name of the image below, as a pod or `loop.json` has it; asked for with each build.
        let base: @Sendable () async throws -> Base
        /// The layers, from the bottom up.
        let layers: [LayerFiles]
        /// How it is run, where that is not as the base is; later ones over earlier ones.
        let configs: [AppendedLayer.Config]
    }

    /// The image below.
    enum Base: Equatable, Sendable {
        /// None.
        case scratch
        /// What a registry has, by the name that it has here.
        case image(ImageName)
    }

    private let recipe: Recipe
    private let platform: @Sendable () async -> Platform
    private let registries: Registries
    private let access: ImageAccess
    private let progress: @Sendable (PushProgress) -> Void
    /// The base as it was read last.
    private var base: (name: Base, content: ImageContent)?
    /// The base's layers, where nodes get them from this machine.
    private var downloaded: [Digest: Layer] = [:]
    private var packed: [Int: (found: [LayerFiles.Found], family: MediaType.Family, layer: Layer)] = [:]

    init(
        _ recipe: Recipe, platform: @escaping @Sendable () async -> Platform, registries: Registries,
        access: ImageAccess, progress: @escaping @Sendable (PushProgress) -> Void = { _ in }
    ) {
        self.recipe = recipe
        self.platform = platform
        self.registries = registries
        self.access = access
        self.progress = progress
    }

    private var name: String { recipe.image.name }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        var image = try await baseContent()
        for (number, files) in recipe.layers.enumerated() {
            image.append(
                try await layer(number, files, family: image.family),
                history: "loopd: \(files.plan.service.name)/rules[\(files.rule)]")
        }
        image.configure { config in
            for change in recipe.configs { change.apply(to: &config) }
        }
        let tag = ImageHome.tag(ofHex: image.digest.hex)
        switch home {
        case .registry(let names):
            let place = ImageName(names.pushRepository(of: name))
            let (registry, progress, pace) = (registries.client(place.registry), progress, ProgressPace())
            let report = try await Registries.attempt("image \(name)") { [image] in
                try await registry.push(
                    image, to: place.repository, tags: [tag] + [recipe.image.alias].compactMap(\.self),
                    progress: { if pace.isDue { progress($0) } })
            }
            return BuiltImage(
                reference: "\(names.pullRepository(of: name)):\(tag)", bytesSent: report.bytesSent,
                isUnchanged: report.isUnchanged, configuration: ImageConfiguration(image))
        case .nodes(let loader):
            let names = recipe.image.nodeNames(tag)
            // Nothing is downloaded or written for nodes that have it.
            let isUnchanged = try await access.load(
                names[0],
                .archive { [image, name] path in
                    try await Registries.attempt("image \(name)") {
                        try await ImageArchive.write(self.nearby(image), names: names, to: path)
                    }
                }, loader)
            return BuiltImage(
                reference: "\(name):\(tag)", bytesSent: isUnchanged ? 0 : nil, isUnchanged: isUnchanged,
                configuration: ImageConfiguration(image))
        }
    }

    // MARK: Parts

    /// The image with the base's layers on this machine: they are downloaded once, and kept for as long as that is the base.
    private func nearby(_ image: ImageContent) async throws -> ImageContent {
        let needed = base?.content.layers ?? []
        let digests = Set(needed.map(\.descriptor.digest))
        downloaded = downloaded.filter { digests.contains($0.key) }
        for layer in needed where downloaded[layer.descriptor.digest] == nil {
            downloaded[layer.descriptor.digest] = try await layer.nearby()
        }
        return image.with(layers: Array(downloaded.values))
    }

    /// What is below the layers.
    ///
    /// On this machine a name may come to mean another image at any time; elsewhere what it meant first holds for the
    /// session, because asking takes longer than everything else.
    private func baseContent() async throws -> ImageContent {
        let wanted = try await recipe.base()
        guard case .image(let place) = wanted else { return ImageContent(scratch: await platform()) }
        let registry = registries.client(place.registry)
        let isNear = ImageName.isLoopback(place.registry) && place.digest == nil
        return try await Registries.attempt("image \(name): base \(place)") {
            if let base, base.name == wanted {
                guard isNear else { return base.content }
                let now = try await registry.head(place.reference, in: place.repository)
                if now?.digest == base.content.digest { return base.content }
            }
            let content = try await registry.image(
                place.reference, in: place.repository, platform: await platform())
            base = (wanted, content)
            return content
        }
    }

    /// A layer of what is on disk now; of files that are as they were, the one that there is.
    private func layer(_ number: Int, _ files: LayerFiles, family: MediaType.Family) async throws -> Layer {
        for _ in 0..<3 {
            let began = wallClockNow()
            let found = try await offPool { try files.find() }
            if let known = packed[number], known.found == found, known.family == family { return known.layer }
            do {
                let layer = try await Layer.pack(found.map(\.entry), family: family)
                // Of a file that was written a moment ago, the disk's clock does not tell whether it is written again.
                let isCertain = found.allSatisfy { $0.local.isSettled(at: began) }
                packed[number] = isCertain ? (found, family, layer) : nil
                return layer
            } catch LayerProblem.changed {
                // Somebody writes just now: once more as it is then.
                try Task.checkCancellation()
            } catch let problem as LayerProblem {
                throw LoopFailure(
                    failure: LoopEvent.Failure("image \(name): \(problem)", nextStep: "the next change builds it again")
                )
            }
        }
        throw LoopFailure(
            failure: LoopEvent.Failure(
                "image \(name): its files change all the time", nextStep: "the next change builds it again"))
    }
}

extension AppendedLayer.Config {
    /// Changes how an image is run.
    fileprivate func apply(to config: inout ImageConfig) {
        if let entrypoint {
            config.entrypoint = entrypoint
            // As in a Dockerfile: the base's arguments are for the base's program.
            if command == nil { config.command = [] }
        }
        if let command { config.command = command }
        for (name, value) in environment.sorted(by: { $0.key < $1.key }) { config.setVariable(name, to: value) }
        if let user { config.user = user }
        if let workingDirectory { config.workingDirectory = workingDirectory }
    }
}
