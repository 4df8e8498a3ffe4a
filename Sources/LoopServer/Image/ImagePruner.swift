internal import OCI
internal import Reactor

/// What has to be asked of a registry to prune it.
protocol PrunableRegistry: Sendable {
    /// The tags of a repository.
    func tags(in repository: String) async throws -> [String]
    /// The digest that a tag stands for; `nil` where there is no such tag.
    func digest(of tag: String, in repository: String) async throws -> String?
    /// Deletes a manifest with every tag of it.
    func delete(_ digest: String, in repository: String) async throws -> Deletion
}

/// What has become of the wish to delete something.
enum Deletion: Sendable {
    case done
    /// The registry deletes nothing.
    case off
    /// The registry deletes nothing for this login.
    case refused
}

/// Deletes loopd's own old tags from the session's registry, or the engine that nodes share, when newer images have taken their place.
///
/// Only where nobody but this cluster or this machine pulls: what runs elsewhere is not to be seen.
actor ImagePruner {
    /// More tags of a repository are not looked through.
    static let tagLimit = 500
    /// How long one look at a repository may take.
    private static let timeLimit = Duration.seconds(120)

    private var pushed: PushedTags
    private let registry: @Sendable (_ host: String) async throws -> any PrunableRegistry
    private let isPrivate: @Sendable (_ host: String) async -> Bool
    private let used: @Sendable () async throws -> Set<String>
    private let tell: @Sendable (String) -> Void
    /// Registries and repositories that are left alone for good.
    private var isOff: Set<String> = []
    /// How many images each repository has got since it was looked at; of one that never was, nothing.
    private var grown: [String: Int] = [:]
    /// How many builds may come to any content of a repository, old ones too.
    private var building: [String: Int] = [:]
    private var deleting: [String: Task<Deletion, any Error>] = [:]
    private var due: Set<String> = []
    private let gate = Gate()

    /// A pruner.
    ///
    /// - Parameters:
    ///   - pushed: what this project has pushed.
    ///   - registry: the registry at a host, or what takes its place.
    ///   - isPrivate: whether nobody pulls from a registry but this cluster, or this machine.
    ///   - used: every tag by content, and every digest, that something in the cluster names, old revisions included.
    ///   - tell: takes what people are told, once.
    init(
        _ pushed: PushedTags, registry: @escaping @Sendable (_ host: String) async throws -> any PrunableRegistry,
        isPrivate: @escaping @Sendable (_ host: String) async -> Bool,
        used: @escaping @Sendable () async throws -> Set<String>, tell: @escaping @Sendable (String) -> Void
    ) {
        self.pushed = pushed
        self.registry = registry
        self.isPrivate = isPrivate
        self.used = used
        self.tell = tell
    }

    /// Prunes what has grown, one repository after the other, until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            await gate.pass()
            while let repository = due.popFirst(), !Task.isCancelled { await prune(repository) }
        }
    }

    // MARK: Builds

    /// Keeps everything in a repository until `end`: a build may come to the content of an old image, and finds it there.
    ///
    /// - Parameter repository: as this machine names it: `localhost:5000/web`.
    func begin(_ repository: String) async {
        building[repository, default: 0] += 1
        _ = await deleting[repository]?.result
    }

    /// Remembers what a build has pushed, and has the repository pruned where it has grown enough.
    ///
    /// - Parameter built: `nil` where it has failed.
    func end(_ repository: String, _ built: BuiltImage?) {
        let rest = (building[repository] ?? 1) - 1
        building[repository] = rest > 0 ? rest : nil
        if let built, let tag = ImageName(built.reference).tag, ImagePruning.isOwn(tag) {
            remember(tag, in: repository, isNew: !built.isUnchanged)
        }
        guard isDue(repository) else { return }
        due.insert(repository)
        gate.signal()
    }

    /// Remembers an image that was pushed under a tag by content.
    func remember(_ tag: String, in repository: String, isNew: Bool) {
        if pushed.tags[repository]?.contains(where: { $0.tag == tag }) != true { grown[repository]? += 1 }
        pushed.remember(tag, in: repository, isNew: isNew)
    }

    private func isDue(_ repository: String) -> Bool {
        (pushed.tags[repository] ?? []).count >= ImagePruning.kept + ImagePruning.batch
            && grown[repository] ?? ImagePruning.batch >= ImagePruning.batch && building[repository] == nil
    }

    // MARK: Pruning

    /// Deletes what is old in a repository.
    ///
    /// Whatever goes wrong, more is kept. Returns the tags that are gone.
    @discardableResult
    func prune(_ repository: String) async -> [String] {
        let host = ImageName(repository).registry
        guard isDue(repository), isOff.isDisjoint(with: [host, repository]), await isPrivate(host) else { return [] }
        grown[repository] = 0
        do {
            let slowness = LoopFailure(failure: LoopEvent.Failure("it takes too long"))
            return try await atMost(ImagePruner.timeLimit, otherwise: slowness) {
                try await self.look(at: repository)
            }
        } catch let error as KubeError where error.isForbidden {
            leave(repository, "old images stay in \(repository): what the whole cluster uses may not be looked at")
        } catch {}
        return []
    }

    private func look(at repository: String) async throws -> [String] {
        let place = ImageName(repository)
        let memory = pushed
        let known = memory.tags[repository] ?? []
        let registry = try await registry(place.registry)
        let images = try await used()
        let tags = try await registry.tags(in: place.repository)
        guard tags.count <= ImagePruner.tagLimit else {
            leave(repository, "old images stay in \(repository): it has \(tags.count) tags, too many to look through")
            return []
        }
        let digests = try await ImagePruner.digests(of: tags, registry, place.repository)
        let others = try await offPool { memory.others(of: repository) }
        let pruning = ImagePruning(known: known, digests: digests, used: others.union(images))
        let gone = try await delete(pruning.obsolete, registry, repository)
        // What is not there any more, or not this project's to delete, is nothing to remember.
        let rest = known.filter { digests[$0.tag] == nil || !$0.isOurs && pruning.old.contains($0.tag) }
        pushed.forget(Set(rest.map(\.tag)).subtracting(newest(repository)), in: repository)
        return gone
    }

    /// What has been built last, in this moment.
    private func newest(_ repository: String) -> Set<String> {
        Set((pushed.tags[repository] ?? []).suffix(ImagePruning.kept).map(\.tag))
    }

    private func delete(
        _ obsolete: [String: [String]], _ registry: any PrunableRegistry, _ repository: String
    ) async throws -> [String] {
        let place = ImageName(repository)
        var gone: [String] = []
        for (digest, tags) in obsolete.sorted(by: { $0.key < $1.key }) {
            // Somebody may have given the same content another tag, or the tag another content, since it was looked at.
            guard try await registry.digest(of: tags[0], in: place.repository) == digest else { continue }
            // It may have become the newest again. From here to the deletion nothing else happens.
            guard newest(repository).isDisjoint(with: tags) else { continue }
            guard building[repository] == nil else {
                // The end of that build has it looked at again.
                grown[repository] = nil
                break
            }
            let deletion = Task { try await registry.delete(digest, in: place.repository) }
            deleting[repository] = deletion
            defer { deleting[repository] = nil }
            let result = await withTaskCancellationHandler {
                await deletion.result
            } onCancel: {
                deletion.cancel()
            }
            switch try result.get() {
            case .done:
                pushed.forget(Set(tags), in: repository)
                gone += tags
            case .off:
                leave(
                    place.registry,
                    "old images stay in \(place.registry): it does not delete (REGISTRY_STORAGE_DELETE_ENABLED=true allows it)"
                )
                return gone
            case .refused:
                leave(place.registry, "old images stay in \(place.registry): this login may not delete there")
                return gone
            }
        }
        return gone
    }

    private func leave(_ place: String, _ why: String) {
        if isOff.insert(place).inserted { tell(why) }
    }

    /// What every tag stands for: one that cannot be asked for makes it all uncertain.
    private static func digests(
        of tags: [String], _ registry: any PrunableRegistry, _ repository: String
    ) async throws -> [String: String] {
        try await withThrowingTaskGroup(of: (String, String?).self) { group in
            var digests: [String: String] = [:]
            var rest = tags[...]
            for tag in rest.prefix(8) { group.addTask { (tag, try await registry.digest(of: tag, in: repository)) } }
            rest = rest.dropFirst(8)
            while let (tag, digest) = try await group.next() {
                digests[tag] = digest
                guard let next = rest.popFirst() else { continue }
                group.addTask { (next, try await registry.digest(of: next, in: repository)) }
            }
            return digests
        }
    }
}

extension ImagePruner {
    /// The pruner of a session, with what its project has pushed for this cluster.
    init(
        _ configuration: Configuration, _ options: Session.Options, _ connection: ClusterConnection,
        home: ImageHomeChoice, tell: @escaping @Sendable (String) -> Void
    ) {
        let (client, namespace, leash) = (connection.client, configuration.namespace, connection.leash)
        let registries = connection.registries
        self.init(
            PushedTags(
                path: PushedTags.path(
                    of: configuration.directory,
                    on: [connection.context.name, connection.context.server, namespace], in: options.stateDirectory)),
            registry: { host in
                guard EngineStore.isStore(host) else { return registries.client(host) }
                return EngineStore(engine: try await ContainerEngine.find(.docker), leash: leash)
            },
            isPrivate: { host in
                let isOfCluster = await home.isOfCluster(host)
                if isOfCluster || EngineStore.isStore(host) { return true }
                return await Registry.isNearby(host)
            }, used: { try await client.usedContent() }, tell: tell)
    }
}

extension Registry: PrunableRegistry {
    func digest(of tag: String, in repository: String) async throws -> String? {
        try await head(tag, in: repository).map { "\($0.digest)" }
    }

    func delete(_ digest: String, in repository: String) async throws -> Deletion {
        guard let digest = Digest(digest) else { return .done }
        do {
            _ = try await deleteManifest(digest, in: repository)
            return .done
        } catch let failure as RegistryFailure {
            switch failure.kind {
            case .unsupported, .readOnly: return .off
            case .unauthorized, .denied: return .refused
            default: throw failure
            }
        }
    }
}
