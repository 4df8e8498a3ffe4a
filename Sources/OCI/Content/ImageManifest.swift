public import JSON

/// A manifest or index as a registry has it: bytes with a digest.
public struct StoredManifest: Equatable, Sendable {
    /// What it is.
    public let mediaType: String
    /// Exactly as they were sent: the digest is theirs.
    public let bytes: [UInt8]
    /// The digest of the bytes.
    public let digest: Digest

    /// A manifest from its bytes.
    public init(mediaType: String, bytes: [UInt8]) {
        self.mediaType = mediaType
        self.bytes = bytes
        digest = Digest(of: bytes)
    }

    /// A descriptor of it.
    public var descriptor: Descriptor { Descriptor(mediaType: mediaType, digest: digest, size: Int64(bytes.count)) }
}

/// The manifest of an image of one platform.
public struct ImageManifest: Equatable, Sendable {
    /// As it is stored.
    public let stored: StoredManifest
    /// The whole object.
    public let json: JSON
    /// The image's configuration.
    public let config: Descriptor
    /// From the bottom up.
    public let layers: [Descriptor]

    /// Reads a manifest.
    public init(_ stored: StoredManifest) throws(ContentProblem) {
        let json: JSON
        do {
            json = try JSON(parsing: stored.bytes)
        } catch {
            throw ContentProblem("the manifest is not JSON: \(error)")
        }
        guard let config = json["config"], let layers = json["layers"]?.array else {
            throw ContentProblem(
                json["fsLayers"] != nil
                    ? "the manifest is of Docker's old schema 1; push the image again with a current program"
                    : "the manifest is not that of an image: it lists no configuration and layers")
        }
        self.stored = stored
        self.json = json
        self.config = try Descriptor(config)
        var descriptors: [Descriptor] = []
        for layer in layers { descriptors.append(try Descriptor(layer)) }
        self.layers = descriptors
    }

    /// A manifest of these parts; what else `base` says (annotations, unknown members) stays.
    init(family: MediaType.Family, config: Descriptor, layers: [Descriptor], base: JSON = .null) {
        var json: JSON = ["schemaVersion": 2, "mediaType": .string(family.manifest)]
        json["config"] = config.json
        json["layers"] = .array(layers.map(\.json))
        for (key, value) in base.object ?? JSONObject() where json[key] == nil { json[key] = value }
        self.json = json
        self.config = config
        self.layers = layers
        stored = StoredManifest(mediaType: family.manifest, bytes: json.bytes)
    }

    /// The digest, by which registries find it.
    public var digest: Digest { stored.digest }
}

/// A list of manifests, one for each platform.
public struct ImageIndex: Equatable, Sendable {
    /// The whole object.
    public let json: JSON
    /// In their order.
    public let manifests: [Descriptor]

    /// Reads an index.
    public init(_ bytes: [UInt8]) throws(ContentProblem) {
        do {
            json = try JSON(parsing: bytes)
        } catch {
            throw ContentProblem("the index is not JSON: \(error)")
        }
        guard let listed = json["manifests"]?.array else { throw ContentProblem("the index lists no manifests") }
        var descriptors: [Descriptor] = []
        for manifest in listed { descriptors.append(try Descriptor(manifest)) }
        manifests = descriptors
    }

    /// The manifest that fits a platform best, the first among equals.
    ///
    /// Where there is one manifest that names no platform, it is that one.
    public func manifest(for platform: Platform) -> Descriptor? {
        var best: (fit: Int, manifest: Descriptor)?
        for manifest in manifests {
            guard let its = manifest.platform, let fit = platform.fit(its), fit > best?.fit ?? -1 else { continue }
            best = (fit, manifest)
        }
        if let best { return best.manifest }
        return manifests.count == 1 && manifests[0].platform == nil ? manifests[0] : nil
    }

    /// The platforms that it has, for people; entries for nothing that runs (attestations) are left out.
    public var platforms: [Platform] { manifests.compactMap(\.platform).filter { $0.system != "unknown" } }
}
