/// What builders ask of a registry and of the nodes.
///
/// References are as this machine names them (the push name), with a tag. Each closure throws `LoopFailure`.
struct ImageAccess: Sendable {
    /// The digest of what a reference stands for in its registry; `nil` where there is nothing.
    var digest: @Sendable (_ reference: String) async throws -> String?
    /// Gives what a reference stands for a further tag in its repository.
    var tag: @Sendable (_ reference: String, _ tag: String) async throws -> Void
    /// Takes a tag away where the registry lets it; other tags of the same content stay.
    var untag: @Sendable (_ reference: String) async throws -> Void
    /// Pushes an archive (`docker-archive` or OCI, compressed or not) or the folder of an OCI layout into a repository
    /// (`localhost:5000/web`), under a tag by its content.
    var pushArchive: @Sendable (_ path: String, _ repository: String) async throws -> DeliveredArchive
    /// Brings an image onto the nodes under a reference; whether they had it.
    var load: @Sendable (_ reference: String, _ source: NodeImages.Source, _ loader: NodeLoader) async throws -> Bool
    /// Brings an archive, or the folder of an OCI layout, onto the nodes: under the image's name, a tag by its content, and
    /// its alias.
    var loadArchive: @Sendable (_ path: String, _ image: Image, _ loader: NodeLoader) async throws -> DeliveredArchive
}

/// What has become of an archive.
struct DeliveredArchive: Equatable, Sendable {
    /// The tag by content.
    var tag: String
    /// How many bytes travelled; `nil` where only a program knows.
    var bytesSent: Int64?
    /// Whether it was there under that tag.
    var isUnchanged: Bool
    /// What it says about how it is run.
    var configuration: ImageConfiguration?
}
