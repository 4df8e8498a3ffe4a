/// Builds an image while nothing is deleted from its repository, in a registry or in the engine that nodes share.
struct PrunedBuilder: ImageBuilder {
    let builder: any ImageBuilder
    /// As manifests name the image.
    let name: String
    let pruner: ImagePruner

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        let repository: String
        switch home {
        case .registry(let names): repository = names.pushRepository(of: name)
        case .nodes(.shared(let context)): repository = EngineStore.repository(of: name, context: context)
        case .nodes: return try await builder.build(to: home, output: output)
        }
        await pruner.begin(repository)
        do {
            let built = try await builder.build(to: home, output: output)
            await pruner.end(repository, built)
            return built
        } catch {
            await pruner.end(repository, nil)
            throw error
        }
    }
}
