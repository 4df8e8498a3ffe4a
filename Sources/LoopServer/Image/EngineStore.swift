internal import OCI
internal import Reactor

/// What docker has here, where nodes run from that: its names are pruned as those of a registry are.
struct EngineStore: PrunableRegistry {
    /// What the places of such a store begin with, where those of a registry have a host: no host has that form.
    private static let mark = "engine:"

    let engine: ContainerEngine
    let leash: String

    private var command: EngineCommand { EngineCommand(engine) }

    /// An image's repository as the pruner remembers it, in the store that nodes of a context share.
    static func repository(of name: String, context: String) -> String {
        "\(mark)\(context)/\(ImageName.full(name))"
    }

    /// Whether a place is such a store.
    static func isStore(_ host: String) -> Bool { host.hasPrefix(mark) }

    func tags(in repository: String) async throws -> [String] {
        let output = try await run(command.ownTags(of: repository))
        return EngineDelivery.ownNames(output.text, repository).compactMap { ImageName($0).tag }
    }

    func digest(of tag: String, in repository: String) async throws -> String? {
        EngineDelivery.id(try await run(command.id(of: "\(repository):\(tag)")).text)
    }

    func delete(_ digest: String, in repository: String) async throws -> Deletion {
        // By their names: by its id it would be taken from other projects, too.
        for tag in try await tags(in: repository) {
            guard try await self.digest(of: tag, in: repository) == digest else { continue }
            _ = try await run(command.remove(["\(repository):\(tag)"]))
        }
        return .done
    }

    private func run(_ words: [String]) async throws -> Output {
        let leash = leash
        let environment = command.environment(on: ProcessEnvironment.inherited)
        return try await KubeClient.within(.seconds(60), words[0]) {
            try await Leashed.run(words, environment: environment, leash: leash)
        }
    }
}
