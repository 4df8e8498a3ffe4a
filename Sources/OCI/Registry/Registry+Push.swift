/// What a push has done.
public struct PushReport: Equatable, Sendable {
    /// Bytes of layers and configuration that travelled.
    public var bytesSent: Int64 = 0
    /// Blobs that travelled.
    public var blobsSent = 0
    /// Blobs that the registry took over from another of its repositories.
    public var blobsMounted = 0
    /// Whether everything, tags included, was there already.
    public var isUnchanged = false

    /// A push that did nothing yet.
    public init() {}
}

/// How far a push is.
public struct PushProgress: Equatable, Sendable {
    /// Bytes that the registry has taken.
    public var bytesSent: Int64
    /// Bytes that have to travel, as far as is known.
    public var bytesToSend: Int64
}

extension Registry {
    /// Pushes an image under one or several tags; without a tag, by its digest alone.
    ///
    /// Only what is not there travels, several layers at once; what another repository of this registry has is mounted.
    /// The tags are written when every blob is known to be there, so that none ever points to something incomplete. An
    /// interrupted upload goes on where the registry has it.
    ///
    /// - Parameter progress: is called from any task, at most a few times for every megabyte.
    public func push(
        _ image: ImageContent, to repository: String, tags: [String],
        progress: (@Sendable (PushProgress) -> Void)? = nil
    ) async throws -> PushReport {
        throw RegistryFailure(.unsupported, registry: host, "not there yet", nextStep: "wait")
    }
}
