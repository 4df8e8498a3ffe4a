/// Builds an image from a Dockerfile with docker, podman or buildah.
struct EngineBuilder: ImageBuilder {
    let image: Image
    let recipe: EngineBuild
    let engine: ContainerEngine
    /// Such as `linux/arm64`; `nil` where the nodes are as this machine.
    let platform: String?
    let access: ImageAccess
    let leash: String

    /// A builder of one image; `platform` is the nodes' where that differs from this machine's.
    init(
        image: Image, build recipe: EngineBuild, engine: ContainerEngine, platform: String? = nil,
        access: ImageAccess, leash: String
    ) {
        self.image = image
        self.recipe = recipe
        self.engine = engine
        self.platform = platform
        self.access = access
        self.leash = leash
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        throw LoopFailure(failure: LoopEvent.Failure("not yet"))
    }
}
