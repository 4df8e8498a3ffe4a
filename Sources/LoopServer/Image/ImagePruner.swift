internal import JSON
internal import OCI
internal import Reactor

/// What has to be asked of a registry to prune it.
protocol PrunableRegistry: Sendable {
    /// The tags of a repository.
    func tags(in repository: String) async throws -> [String]
    /// The digest that a tag stands for; `nil` where there is no such tag.
    func digest(of tag: String, in repository: String) async throws -> String?
    /// Deletes a manifest with every tag of it; false where the registry deletes nothing.
    func delete(_ digest: String, in repository: String) async throws -> Bool
}

/// Deletes loopd's own old tags from the session's registry when newer images have taken their place.
actor ImagePruner {
    private var pushed: PushedTags
    private let registry: @Sendable (_ host: String) -> any PrunableRegistry
    private let used: @Sendable () async throws -> Set<String>
    private let tell: @Sendable (String) -> Void
    /// Registries where deletion is off.
    private var isOff: Set<String> = []

    /// A pruner.
    ///
    /// - Parameters:
    ///   - pushed: what this project has pushed.
    ///   - registry: the registry at a host.
    ///   - used: every image that something in the cluster names, old revisions included.
    ///   - tell: takes what people are told, once.
    init(
        _ pushed: PushedTags, registry: @escaping @Sendable (_ host: String) -> any PrunableRegistry,
        used: @escaping @Sendable () async throws -> Set<String>, tell: @escaping @Sendable (String) -> Void
    ) {
        self.pushed = pushed
        self.registry = registry
        self.used = used
        self.tell = tell
    }

    /// Remembers an image that was pushed under a tag by content.
    ///
    /// - Parameter repository: as this machine names it: `localhost:5000/web`.
    func remember(_ tag: String, in repository: String, isNew: Bool) {
        pushed.remember(tag, in: repository, isNew: isNew)
    }

    /// Remembers an image that was built, and deletes what has become old beside it.
    func prune(after built: BuiltImage, of name: String, in home: ImageHome) async {
        guard case .registry(let names) = home, let tag = ImageName(built.reference).tag, ImagePruning.isOwn(tag) else {
            return
        }
        let repository = names.pushRepository(of: name)
        remember(tag, in: repository, isNew: !built.isUnchanged)
        await prune(repository)
    }

    /// Deletes what is old in a repository.
    ///
    /// Whatever goes wrong, more is kept. Returns the tags that are gone.
    @discardableResult
    func prune(_ repository: String) async -> [String] {
        let place = ImageName(repository)
        let memory = pushed
        let known = memory.tags[repository] ?? []
        guard known.count >= ImagePruning.kept + ImagePruning.batch, !isOff.contains(place.registry) else { return [] }
        let registry = registry(place.registry)
        do {
            let images = try await used()
            let digests = try await ImagePruner.digests(registry, place.repository)
            let named = images.flatMap { [ImageName($0).tag, ImageName($0).digest].compactMap(\.self) }
            let others = try await offPool { memory.others(of: repository) }
            let pruning = ImagePruning(
                known: known, digests: digests, used: others.union(named))
            let gone = try await delete(pruning.obsolete, registry, repository)
            // What is not there any more, or not this project's to delete, is nothing to remember.
            let rest = known.filter { digests[$0.tag] == nil || !$0.isOurs && pruning.old.contains($0.tag) }
            pushed.forget(Set(rest.map(\.tag)), in: repository)
            return gone
        } catch {
            return []
        }
    }

    private func delete(
        _ obsolete: [String: [String]], _ registry: any PrunableRegistry, _ repository: String
    ) async throws -> [String] {
        let place = ImageName(repository)
        var gone: [String] = []
        for (digest, tags) in obsolete.sorted(by: { $0.key < $1.key }) {
            // It may have become the newest again.
            guard pushed.tags[repository]?.suffix(ImagePruning.kept).contains(where: { tags.contains($0.tag) }) != true
            else {
                continue
            }
            // Somebody may have given the same content another tag, or the tag another content, since it was looked at.
            guard let now = try await registry.digest(of: tags[0], in: place.repository), now == digest else {
                continue
            }
            guard try await registry.delete(digest, in: place.repository) else {
                isOff.insert(place.registry)
                tell(
                    "old images stay in \(place.registry): it does not delete (REGISTRY_STORAGE_DELETE_ENABLED=true allows it)"
                )
                break
            }
            pushed.forget(Set(tags), in: repository)
            gone += tags
        }
        return gone
    }

    /// What every tag stands for: one that cannot be asked for makes it all uncertain.
    private static func digests(_ registry: any PrunableRegistry, _ repository: String) async throws -> [String: String]
    {
        let tags = try await registry.tags(in: repository)
        return try await withThrowingTaskGroup(of: (String, String?).self) { group in
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
        tell: @escaping @Sendable (String) -> Void
    ) {
        let (client, namespace, registries) = (connection.client, configuration.namespace, Registries())
        self.init(
            PushedTags(
                path: PushedTags.path(
                    of: configuration.directory,
                    on: [connection.context.name, connection.context.server, namespace], in: options.stateDirectory)),
            registry: { registries.client($0) },
            used: {
                do {
                    // Others may run the same content from the same registry.
                    return try await client.images(in: nil)
                } catch let error as KubeError where error.isForbidden {
                    return try await client.images(in: namespace)
                }
            }, tell: tell)
    }
}

extension Registry: PrunableRegistry {
    func digest(of tag: String, in repository: String) async throws -> String? {
        try await head(tag, in: repository).map { "\($0.digest)" }
    }

    func delete(_ digest: String, in repository: String) async throws -> Bool {
        guard let digest = Digest(digest) else { return true }
        do {
            _ = try await deleteManifest(digest, in: repository)
            return true
        } catch let failure as RegistryFailure where failure.kind == .unsupported || failure.kind == .readOnly {
            return false
        }
    }
}

extension KubeClient {
    /// Every image that something in a namespace, or anywhere, names, in old revisions too: what is rolled back to is pulled
    /// again.
    func images(in namespace: String?) async throws -> Set<String> {
        let kinds: [KubeResource] = [
            .pods, .deployments, .replicaSets, .statefulSets, .daemonSets, .controllerRevisions,
            KubeResource(group: "batch", version: "v1", plural: "jobs"),
            KubeResource(group: "batch", version: "v1", plural: "cronjobs"),
        ]
        var images: Set<String> = []
        for kind in kinds {
            do {
                for object in try await list(Scope(kind, namespace: namespace)).items {
                    KubeClient.collectImages(object, into: &images)
                }
            } catch let error as KubeError where kind.group == "batch" && [404, 501].contains(error.code) {
                // The playground does without, and has none that could name an image.
            }
        }
        return images
    }

    /// Every `image` anywhere in an object: revisions hold whole templates.
    static func collectImages(_ value: JSON, into images: inout Set<String>) {
        switch value {
        case .object(let object):
            for (key, value) in object {
                if key == "image" || key == "imageID", let text = value.string { images.insert(text) }
                collectImages(value, into: &images)
            }
        case .array(let elements): for element in elements { collectImages(element, into: &images) }
        case .null, .bool, .integer, .double, .string: break
        }
    }
}
