internal import HTTP
internal import JSON

extension Registry {
    static func pull(_ repository: String) -> [String] { ["repository:\(repository):pull"] }
    static func push(_ repository: String) -> [String] { ["repository:\(repository):pull,push"] }

    /// The largest manifest that is read, as registries have it.
    static let manifestLimit = 4 << 20

    /// The descriptor of what a tag or digest names; `nil` where there is nothing.
    public func head(_ reference: String, in repository: String) async throws -> Descriptor? {
        try await head(reference, in: repository, scopes: Registry.pull(repository))
    }

    func head(_ reference: String, in repository: String, scopes: [String]) async throws -> Descriptor? {
        let what = "find \(repository):\(reference)"
        var request = Request(
            "HEAD", "\(repository)/manifests/\(reference)", what: what, repository: repository, scopes: scopes)
        for type in MediaType.manifests { request.headers.add("Accept", type) }
        let answer = try await perform(request)
        if answer.status == 404 { return nil }
        guard answer.status == 200 else { throw failure(answer, what, repository) }
        let type = answer.headers["Content-Type"].map { String($0.prefix { $0 != ";" }) } ?? ""
        if let digest = answer.headers["Docker-Content-Digest"].flatMap({ Digest($0) }),
            let size = answer.headers["Content-Length"].flatMap({ Int64($0) })
        {
            return Descriptor(mediaType: type, digest: digest, size: size)
        }
        // The header is not obligatory: the manifest itself tells.
        return try await manifest(reference, in: repository).descriptor
    }

    /// The manifest or index that a tag or digest names, checked against its digest.
    public func manifest(_ reference: String, in repository: String) async throws -> StoredManifest {
        let what = "read \(repository)\(Digest(reference) == nil ? ":" : "@")\(reference)"
        var request = Request(
            "GET", "\(repository)/manifests/\(reference)", what: what, repository: repository,
            scopes: Registry.pull(repository))
        for type in MediaType.manifests { request.headers.add("Accept", type) }
        request.limit = Registry.manifestLimit
        let answer = try await perform(request)
        guard answer.status == 200 else { throw failure(answer, what, repository) }
        var type = answer.headers["Content-Type"].map { String($0.prefix { $0 != ";" }) } ?? ""
        if !type.hasPrefix("application/vnd."), let json = try? JSON(parsing: answer.body) {
            type = json["mediaType"]?.string ?? (json["manifests"] == nil ? MediaType.ociManifest : MediaType.ociIndex)
        }
        let manifest = StoredManifest(mediaType: type, bytes: answer.body)
        let claimed = Digest(reference) ?? answer.headers["Docker-Content-Digest"].flatMap { Digest($0) }
        if let claimed, claimed != manifest.digest { throw mismatch(claimed, manifest.digest, what, repository) }
        return manifest
    }

    /// The image of a platform that a tag or digest names, its layers still there.
    ///
    /// What `push` takes; layers are mounted or copied from here as needed.
    public func image(_ reference: String, in repository: String, platform: Platform) async throws -> ImageContent {
        let what = "read \(repository)\(Digest(reference) == nil ? ":" : "@")\(reference)"
        let (stored, config) = try await parts(reference, in: repository, platform, allowsOther: false)
        return try reading(what, repository) { () throws(ContentProblem) in
            let manifest = try ImageManifest(stored)
            let diffIDs = config.diffIDs
            guard diffIDs.count == manifest.layers.count else {
                throw ContentProblem(
                    "its configuration names \(diffIDs.count) layers and its manifest \(manifest.layers.count)")
            }
            let layers = zip(manifest.layers, diffIDs).map { descriptor, diffID in
                Layer(Blob(descriptor, .registry(self, repository: repository)), diffID: diffID)
            }
            return ImageContent(manifest: manifest, config: config, layers: layers)
        }
    }

    /// How an image is run.
    ///
    /// Where it is not there for the platform, another one's has to do.
    public func configuration(
        _ reference: String, in repository: String, platform: Platform
    ) async throws -> ImageConfig {
        try await parts(reference, in: repository, platform, allowsOther: true).config
    }

    private func parts(
        _ reference: String, in repository: String, _ platform: Platform, allowsOther: Bool
    ) async throws -> (manifest: StoredManifest, config: ImageConfig) {
        let what = "read \(repository)\(Digest(reference) == nil ? ":" : "@")\(reference)"
        var stored = try await manifest(reference, in: repository)
        if MediaType.isIndex(stored.mediaType) {
            let index = try reading(what, repository) { () throws(ContentProblem) in try ImageIndex(stored.bytes) }
            let other = allowsOther ? index.manifests.first { $0.platform?.system != "unknown" } : nil
            guard let chosen = index.manifest(for: platform) ?? other else {
                let there = index.platforms.map(\.description).joined(separator: ", ")
                throw RegistryFailure(
                    .notFound, registry: host, repository: repository,
                    "cannot \(what): \(host) has it not for \(platform)", details: ["it is there for \(there)"],
                    nextStep: "choose an image for \(platform)")
            }
            stored = try await manifest("\(chosen.digest)", in: repository)
        }
        let config = try reading(what, repository) { () throws(ContentProblem) in try ImageManifest(stored).config }
        let bytes = try await blob(config, in: repository, limit: Registry.manifestLimit)
        return (stored, try reading(what, repository) { () throws(ContentProblem) in try ImageConfig(bytes) })
    }

    private func reading<Result>(
        _ what: String, _ repository: String, _ body: () throws(ContentProblem) -> Result
    ) throws(RegistryFailure) -> Result {
        do {
            return try body()
        } catch {
            throw RegistryFailure(
                .protocolError, registry: host, repository: repository, "cannot \(what): \(error)",
                nextStep: "push the image to \(host) again")
        }
    }

    /// The tags of a repository, in the registry's order; empty where there is no such repository.
    public func tags(in repository: String) async throws -> [String] {
        let what = "list the tags of \(repository)"
        var tags: [String] = []
        var request = Request(
            "GET", "\(repository)/tags/list?n=1000", what: what, repository: repository,
            scopes: Registry.pull(repository))
        // A registry that links its pages in a circle does not get a client that turns with it.
        for _ in 0..<200 {
            let answer = try await perform(request)
            if answer.status == 404 { return tags }
            guard answer.status == 200, let json = try? JSON(parsing: answer.body) else {
                throw failure(answer, what, repository)
            }
            tags += (json["tags"]?.array ?? []).compactMap(\.string)
            guard let next = answer.headers["Link"], next.contains("rel=\"next\"") || next.contains("rel=next"),
                let open = next.firstIndex(of: "<"), let close = next.firstIndex(of: ">"), open < close
            else { break }
            let base = RegistryURL(try await link.find().origin, "/v2/\(request.path)")
            guard let url = RegistryURL(String(next[next.index(after: open)..<close]), relativeTo: request.url ?? base),
                url.origin == base.origin
            else { break }
            request.url = url
        }
        return tags
    }

    /// Forgets a manifest and with it the tags that name it.
    ///
    /// A registry where deletion is off throws `.unsupported`; for one that does not have it the result is `false`.
    public func deleteManifest(_ digest: Digest, in repository: String) async throws -> Bool {
        let what = "delete \(digest.short) from \(repository)"
        let answer = try await perform(
            Request(
                "DELETE", "\(repository)/manifests/\(digest)", what: what, repository: repository,
                scopes: ["repository:\(repository):delete,pull,push"]))
        switch answer.status {
        case 200..<300: return true
        case 404: return false
        case 405:
            throw RegistryFailure(
                .unsupported, registry: host, repository: repository, "cannot \(what): deletion is off in \(host)",
                details: Registry.errors(answer).map(\.text),
                nextStep: "allow it: REGISTRY_STORAGE_DELETE_ENABLED=true for docker's registry")
        default: throw failure(answer, what, repository)
        }
    }

    func mismatch(_ claimed: Digest, _ found: Digest, _ what: String, _ repository: String) -> RegistryFailure {
        RegistryFailure(
            .digestMismatch, registry: host, repository: repository,
            "cannot \(what): \(host) sent something else than \(claimed.short)",
            details: ["it has the digest \(found)"],
            nextStep: "look at the registry's disk, or push the image again")
    }
}
