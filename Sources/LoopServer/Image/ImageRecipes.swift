internal import Glibc
internal import OCI
internal import Reactor
internal import Synchronization
internal import Watcher

/// Makes the builders of a session's images.
final class ImageRecipes: Sendable {
    /// What makes a builder anew for each build: an engine may come to be there.
    typealias Maker = @Sendable () async throws -> any ImageBuilder

    private let configuration: Configuration
    /// Where a playground's nodes find images whose name has no registry.
    private let playground: String?
    private let connection: ClusterConnection
    private let home: ImageHomeChoice
    private let set: ImageSet
    private let scratch: String
    private let stateDirectory: String
    private let registries: Registries
    private let nodes: NodeSystems
    private let images: NodeImages
    /// What was said of engines.
    private let told = Mutex<Set<String>>([])

    init(
        _ configuration: Configuration, playground: String?, _ connection: ClusterConnection, home: ImageHomeChoice,
        set: ImageSet, scratch: String, stateDirectory: String
    ) {
        self.configuration = configuration
        self.playground = playground
        self.connection = connection
        self.home = home
        self.set = set
        self.scratch = scratch
        self.stateDirectory = stateDirectory
        nodes = NodeSystems(connection.client)
        let client = connection.client
        images = NodeImages(
            leash: connection.leash, nodes: { await client.clusterNodes() },
            isMissed: { await client.isMissed($0, in: configuration.namespace) })
        registries = connection.registries
    }

    /// What builds an image of the plan.
    func builder(of entry: ImagePlan.Entry, emit: @escaping @Sendable (LoopEvent.Kind) -> Void) throws -> Maker {
        let (image, leash) = (entry.image, connection.leash)
        let access = ImageAccess.live(registries, images)
        switch image.builder {
        case .append:
            let builder = try appender(of: entry, access, emit: emit)
            return { builder }
        case .engine(let build):
            let (nodes, survey) = (nodes, ContextSurvey(emit: emit))
            return {
                let engine = try await ContainerEngine.find(build.program)
                if self.told.withLock({ $0.insert(engine.notice).inserted }) { emit(.notice(engine.notice)) }
                return EngineBuilder(
                    image: image, build: build, engine: engine, platform: await nodes.foreignPlatform, access: access,
                    leash: leash, survey: survey)
            }
        case .command(let command):
            let turns = BuildTurns(of: image.name, in: configuration.directory, stateDirectory: stateDirectory)
            return {
                CommandBuilder(
                    image: image, command: command, turns: turns, engine: try? await ContainerEngine.find(nil),
                    access: access, leash: leash)
            }
        case .nix(let installable):
            let root = "\(scratch)/image-\(entry.owner.name)-\(entry.rules[0])"
            let nodes = nodes
            return {
                NixImageBuilder(
                    image: image, installable: installable,
                    system: NixSystem.needed(forNodes: await nodes.architectures), root: root, access: access,
                    leash: leash)
            }
        case nil: preconditionFailure("an image without a builder is nobody's in the plan")
        }
    }

    // MARK: Appended images

    private func appender(
        of entry: ImagePlan.Entry, _ access: ImageAccess, emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) throws -> AppendBuilder {
        let plan = ServicePlan(entry.owner, project: configuration.directory)
        let ignore = try IgnoreRules(root: configuration.directory, patterns: configuration.watch.ignore)
        let layers = entry.layers.map { rule, layer in
            LayerFiles(
                plan: plan, rule: rule, layer: layer, tree: LocalTree(root: configuration.directory), ignore: ignore)
        }
        let (nodes, name) = (nodes, entry.name)
        let recipe = AppendBuilder.Recipe(
            image: entry.image, base: base(of: entry), layers: layers, configs: entry.layers.map(\.layer.config))
        return AppendBuilder(
            recipe, platform: { await nodes.platform }, registries: registries, access: access
        ) { progress in
            emit(.progress(done: progress.bytesSent, total: progress.bytesToSend, path: "image \(name)"))
        }
    }

    /// The image below, by the name that this machine has for it.
    private func base(of entry: ImagePlan.Entry) -> @Sendable () async throws -> AppendBuilder.Base {
        let text = entry.layers.first?.layer.base ?? "scratch"
        if text == "scratch" { return { .scratch } }
        let (set, home, playground, isOurs, name) = (set, home, playground, entry.base != nil, entry.name)
        return {
            let names: RegistryNames? =
                if case .registry(let names) = try await home.find(for: name) { names } else { nil }
            if isOurs {
                guard let reference = await set.references[text], let tag = ImageName(reference).tag, let names else {
                    throw LoopFailure(
                        failure: LoopEvent.Failure(
                            "image \(entry.name): its base \(text) is not in a registry yet",
                            nextStep: "it is built as soon as \(text) is"))
                }
                return .image(ImageName("\(names.pushRepository(of: text)):\(tag)"))
            }
            return .image(ImageRecipes.place(of: text, playground: playground, names))
        }
    }

    /// Where this machine finds a base that is none of the plan's images.
    static func place(of text: String, playground: String?, _ names: RegistryNames?) -> ImageName {
        var place = ImageName(text)
        if place.registry.isEmpty, let playground {
            // A bare name is its own registry's; elsewhere it is the Hub's, by custom.
            place.registry = playground
        } else if let names, !place.registry.isEmpty, place.registry == ImageName("\(names.pull)/x").registry {
            place.registry = ImageName("\(names.push)/x").registry
        }
        (place.registry, place.repository) = place.location
        return place
    }
}

extension NodeSystems {
    /// What images have to be for; this machine's where the nodes are not known, or are of several kinds.
    fileprivate var platform: Platform {
        get async {
            let known = await architectures
            return known.count == 1 ? known.first.map { Platform(architecture: $0) } ?? .host : .host
        }
    }

    /// The same, where it is not what this machine is.
    fileprivate var foreignPlatform: String? {
        get async {
            let needed = await platform
            return needed == .host ? nil : "\(needed)"
        }
    }
}
