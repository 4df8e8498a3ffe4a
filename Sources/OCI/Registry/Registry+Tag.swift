extension Registry {
    /// Gives what a tag or digest names a further tag: an image, or an index of several.
    ///
    /// Nothing but the manifest travels.
    public func tag(_ reference: String, as tag: String, in repository: String) async throws {
        let stored = try await manifest(reference, in: repository)
        _ = try await put(stored, tag, repository, isLast: true)
    }

    /// Takes a tag away and leaves what it names to its other tags; where deletion is off the tag stays, and names nothing of
    /// use.
    ///
    /// To delete by tag is beyond many registries, and to delete the manifest would take all of its tags away: so the tag
    /// first comes to name something else.
    public func untag(_ tag: String, in repository: String) async throws {
        var nothing = ImageContent(scratch: .host)
        // Different from what other tags were made to name.
        nothing.configure { $0.setVariable("TAG", to: tag) }
        _ = try await push(nothing, to: repository, tags: [tag])
        _ = try await deleteManifest(nothing.digest, in: repository)
    }
}
