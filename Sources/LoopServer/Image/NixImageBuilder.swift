/// Builds an image with Nix: an archive, the folder of an OCI layout, or a program that streams an archive.
struct NixImageBuilder: ImageBuilder {
    let image: Image
    let installable: Installable
    /// The system to build for, in Nix's words; `nil` is this machine's.
    let system: String?
    /// The link that keeps Nix from collecting the result.
    let root: String?
    let access: ImageAccess
    let leash: String

    /// A builder of one image.
    init(
        image: Image, installable: Installable, system: String? = nil, root: String? = nil, access: ImageAccess,
        leash: String
    ) {
        self.image = image
        self.installable = installable
        self.system = system
        self.root = root
        self.access = access
        self.leash = leash
    }

    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage {
        throw LoopFailure(failure: LoopEvent.Failure("not yet"))
    }
}
