/// What builders ask of a registry and of the nodes.
///
/// References are as this machine names them (the push name), with a tag. Each closure throws `LoopFailure`.
struct ImageAccess: Sendable {
    /// The digest of what a reference stands for in its registry; `nil` where there is nothing.
    var digest: @Sendable (_ reference: String) async throws -> String?
    /// Gives what a reference stands for a further tag in its repository.
    var tag: @Sendable (_ reference: String, _ tag: String) async throws -> Void
    /// Takes a tag away, where the registry lets it.
    var untag: @Sendable (_ reference: String) async throws -> Void
    /// Pushes an archive (`docker-archive` or OCI, compressed or not) or the folder of an OCI layout into a repository
    /// (`localhost:5000/web`), under a tag by its content.
    var pushArchive: @Sendable (_ path: String, _ repository: String) async throws -> PushedArchive
    /// Brings an image onto the nodes of a cluster without a registry.
    var load: @Sendable (_ reference: String, _ source: ImageSource, _ loader: NodeLoader) async throws -> Void
}

/// What a pushed archive has become.
struct PushedArchive: Equatable, Sendable {
    /// The tag by content.
    var tag: String
    /// How many bytes travelled.
    var bytesSent: Int64
    /// Whether the registry had it under that tag.
    var isUnchanged: Bool
}

/// Where an image is that goes onto nodes.
enum ImageSource: Equatable, Sendable {
    /// In an engine, under the reference.
    case engine(ContainerEngine)
    /// In a file: a `docker-archive` or an OCI archive.
    case archive(String)
}
