extension Registry {
    /// The descriptor of what a tag or digest names; `nil` where there is nothing.
    public func head(_ reference: String, in repository: String) async throws -> Descriptor? { nil }

    /// The manifest or index that a tag or digest names, checked against its digest.
    public func manifest(_ reference: String, in repository: String) async throws -> StoredManifest {
        throw todo
    }

    /// The image of a platform that a tag or digest names, its layers still there.
    ///
    /// What `push` takes; layers are mounted or copied from here as needed.
    public func image(_ reference: String, in repository: String, platform: Platform) async throws -> ImageContent {
        throw todo
    }

    /// The size of a blob; `nil` where there is none.
    public func size(of digest: Digest, in repository: String) async throws -> Int64? { nil }

    /// A blob in memory, checked against its digest; one of more than `limit` bytes throws.
    public func blob(_ descriptor: Descriptor, in repository: String, limit: Int = 32 << 20) async throws -> [UInt8] {
        throw todo
    }

    /// The tags of a repository, in the registry's order; empty where there is no such repository.
    public func tags(in repository: String) async throws -> [String] { [] }

    /// Forgets a manifest and with it the tags that name it.
    ///
    /// A registry where deletion is off throws `.unsupported`; one that does not have it returns `false`.
    public func deleteManifest(_ digest: Digest, in repository: String) async throws -> Bool { false }

    private var todo: RegistryFailure {
        RegistryFailure(.unsupported, registry: host, "not there yet", nextStep: "wait")
    }
}
