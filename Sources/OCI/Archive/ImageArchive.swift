internal import JSON
internal import Reactor

/// Images in files: what `docker save` and `dockerTools` write, and OCI layouts.
public enum ImageArchive {
    private static let documentLimit: Int64 = 8 << 20

    /// Reads an image: a docker archive or an OCI layout as a tar file, perhaps through gzip, or an OCI layout as a
    /// folder.
    ///
    /// The layers stay in the file, which is held open. Of a docker archive with several images the first one is read.
    /// Garbage throws `ContentProblem`, a file that cannot be read `SystemError`.
    ///
    /// - Parameters:
    ///   - platform: which image of an index is meant.
    ///   - temporaryFolder: where a compressed archive is unpacked to.
    public static func read(
        _ path: String, platform: Platform = .host, temporaryFolder: String = "/var/tmp"
    ) async throws -> ImageContent {
        do {
            if let folder = try await offPool({ try LayoutFolder(path) }) {
                return try await layout(folder, platform)
            }
            let file = try await Decompression.plain(path, temporaryFolder: temporaryFolder)
            let archive = TarFile(file: file, index: try await offPool { try TarIndex(file) })
            if let listed = try await archive.document("manifest.json", limit: documentLimit) {
                return try await dockerArchive(archive, listed)
            }
            return try await layout(archive, platform)
        } catch let problem as ContentProblem {
            throw ContentProblem("\(path): \(problem)")
        }
    }

    // MARK: Docker archives

    private static func dockerArchive(_ archive: TarFile, _ listed: [UInt8]) async throws -> ImageContent {
        guard let image = (try? JSON(parsing: listed))?[0] else {
            throw ContentProblem("the archive's manifest.json lists no image")
        }
        guard let name = image["Config"]?.string, let bytes = try await archive.document(name, limit: documentLimit)
        else {
            throw ContentProblem("the archive lacks the configuration that its manifest.json names")
        }
        let config = try ImageConfig(bytes)
        let paths = (image["Layers"]?.array ?? []).compactMap(\.string)
        let diffIDs = config.diffIDs
        guard paths.count == diffIDs.count else {
            throw ContentProblem(
                "the archive's configuration names \(diffIDs.count) layers, and there are \(paths.count)")
        }
        var layers: [Layer] = []
        for (path, diffID) in zip(paths, diffIDs) {
            layers.append(try await layer(archive, path, diffID))
        }
        return ImageContent(config: config, layers: layers)
    }

    private static func layer(_ archive: TarFile, _ path: String, _ diffID: Digest) async throws -> Layer {
        guard let place = archive.index.file(path) else {
            throw ContentProblem("the archive lacks the layer \"\(path.prefix(200))\"")
        }
        var running = RunningDigest()
        var type = MediaType.Family.oci.layer
        var offset: Int64 = 0
        while offset < place.size {
            let count = Int(min(Int64(4 * Blob.piece), place.size - offset))
            let piece = try await archive.file.read(at: place.offset + offset, count: count)
            try Task.checkCancellation()
            if offset == 0 { type = mediaType(ofLayer: piece) }
            running.update(piece)
            offset += Int64(count)
        }
        let digest = running.digest
        guard type != MediaType.Family.oci.layer || digest == diffID else {
            throw ContentProblem("the layer \"\(path.prefix(200))\" is not the one that the configuration names")
        }
        let descriptor = Descriptor(mediaType: type, digest: digest, size: place.size)
        return Layer(Blob(descriptor, .file(archive.file, offset: place.offset)), diffID: diffID)
    }

    private static func mediaType(ofLayer head: [UInt8]) -> String {
        if head.starts(with: [0x1F, 0x8B]) { return MediaType.Family.oci.gzipLayer }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) { return MediaType.Family.oci.zstdLayer }
        return MediaType.Family.oci.layer
    }

    // MARK: OCI layouts

    private static func layout(_ store: some BlobFolder, _ platform: Platform) async throws -> ImageContent {
        guard let bytes = try await store.document("index.json", limit: documentLimit) else {
            throw ContentProblem("neither a docker archive nor an OCI layout: no manifest.json, no index.json")
        }
        var index = try ImageIndex(bytes)
        // An index may name others.
        for _ in 0..<4 {
            let only = index.manifests.count == 1 ? index.manifests[0] : nil
            guard let chosen = index.manifest(for: platform) ?? only else {
                let there = index.platforms.map(\.description).joined(separator: ", ")
                throw ContentProblem("there is no image for \(platform) in it, but for: \(there)")
            }
            let document = try await blob(chosen, of: store)
            if MediaType.isIndex(chosen.mediaType) {
                index = try ImageIndex(document)
                continue
            }
            let type = chosen.mediaType.isEmpty ? MediaType.ociManifest : chosen.mediaType
            return try await image(ImageManifest(StoredManifest(mediaType: type, bytes: document)), of: store)
        }
        throw ContentProblem("its indexes are nested too deep")
    }

    private static func image(_ manifest: ImageManifest, of store: some BlobFolder) async throws -> ImageContent {
        let config = try ImageConfig(try await blob(manifest.config, of: store))
        let diffIDs = config.diffIDs
        guard diffIDs.count == manifest.layers.count else {
            throw ContentProblem(
                "its configuration names \(diffIDs.count) layers and its manifest \(manifest.layers.count)")
        }
        var layers: [Layer] = []
        for (descriptor, diffID) in zip(manifest.layers, diffIDs) {
            guard let place = try await store.content("blobs/sha256/\(descriptor.digest.hex)") else {
                throw ContentProblem("it lacks the layer \(descriptor.digest.short)")
            }
            guard place.size == descriptor.size else {
                throw ContentProblem(
                    "the layer \(descriptor.digest.short) has \(place.size) of \(descriptor.size) bytes")
            }
            layers.append(Layer(Blob(descriptor, .file(place.file, offset: place.offset)), diffID: diffID))
        }
        return ImageContent(manifest: manifest, config: config, layers: layers)
    }

    private static func blob(_ descriptor: Descriptor, of store: some BlobFolder) async throws -> [UInt8] {
        let name = "blobs/sha256/\(descriptor.digest.hex)"
        guard let bytes = try await store.document(name, limit: documentLimit) else {
            throw ContentProblem("it lacks \(descriptor.digest.short)")
        }
        guard Digest(of: bytes) == descriptor.digest else {
            throw ContentProblem("\(descriptor.digest.short) is not what it is called")
        }
        return bytes
    }
}
