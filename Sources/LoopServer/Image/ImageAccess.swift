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
    /// Brings an image that an engine has under a reference onto the nodes; whether they had it.
    var load: @Sendable (_ reference: String, _ engine: ContainerEngine, _ loader: NodeLoader) async throws -> Bool
    /// Brings an archive, or the folder of an OCI layout, onto the nodes: under a name, and a tag by its content.
    var loadArchive: @Sendable (_ path: String, _ name: String, _ loader: NodeLoader) async throws -> DeliveredArchive
}

/// What has become of an archive.
struct DeliveredArchive: Equatable, Sendable {
    /// The tag by content.
    var tag: String
    /// How many bytes travelled; `nil` where only a program knows.
    var bytesSent: Int64?
    /// Whether it was there under that tag.
    var isUnchanged: Bool
}
