/// Builds an image with any program that is told the image's name.
struct CommandBuilder: ImageBuilder {
    let image: Image
    let recipe: ImageCommand
    /// Where the image is looked for when there is no registry; `nil` where no engine is here.
    let engine: ContainerEngine?
    let access: ImageAccess
    let leash: String

    /// A builder of one image.
    init(
        image: Image, command recipe: ImageCommand, engine: ContainerEngine?, access: ImageAccess, leash: String
    ) {
        self.image = image
        self.recipe = recipe
        self.engine = engine
        self.access = access
        self.leash = leash
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        throw LoopFailure(failure: LoopEvent.Failure("not yet"))
    }
}
