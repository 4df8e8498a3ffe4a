internal import JSON

/// A whole image: its manifest, its configuration, and where its layers' bytes are.
public struct ImageContent: Sendable {
    /// As it will be stored.
    public private(set) var manifest: ImageManifest
    /// How it is run.
    public private(set) var config: ImageConfig
    /// From the bottom up, in the order of the manifest.
    public private(set) var layers: [Layer]

    /// An image of what a registry or archive has.
    init(manifest: ImageManifest, config: ImageConfig, layers: [Layer]) {
        self.manifest = manifest
        self.config = config
        self.layers = layers
    }

    /// An image of these layers, whose manifest is made for it.
    init(config: ImageConfig, layers: [Layer], family: MediaType.Family = .oci) {
        self.init(
            manifest: ImageManifest(
                family: family, config: ImageContent.blob(config, family).descriptor, layers: layers.map(\.descriptor)),
            config: config, layers: layers)
    }

    /// An image without layers: `FROM scratch`.
    public init(scratch platform: Platform) {
        self.init(config: ImageConfig(platform: platform), layers: [])
    }

    /// The same image with layers from elsewhere, where they are the same.
    public func with(layers: [Layer]) -> ImageContent {
        let known = Dictionary(layers.map { ($0.descriptor.digest, $0) }) { first, _ in first }
        var image = self
        image.layers = self.layers.map { known[$0.descriptor.digest] ?? $0 }
        return image
    }

    /// Whose media types it has; new layers are packed for it.
    public var family: MediaType.Family { MediaType.family(of: manifest.stored.mediaType) }

    /// The digest of the manifest.
    public var digest: Digest { manifest.digest }

    /// The configuration as it travels.
    public var configBlob: Blob {
        // Unchanged, its bytes and media type are those that the manifest names.
        let blob = ImageContent.blob(config, family)
        return blob.descriptor.digest == manifest.config.digest ? blob.typed(manifest.config.mediaType) : blob
    }

    /// Puts a layer on top.
    ///
    /// - Parameter history: says in the image's history what made it.
    public mutating func append(_ layer: Layer, history: String = "loopd") {
        layers.append(layer)
        configure { $0.append(layer.diffID, history: history) }
    }

    /// Changes how it is run.
    public mutating func configure(_ change: (inout ImageConfig) -> Void) {
        change(&config)
        let descriptor = ImageContent.blob(config, family).descriptor
        guard descriptor.digest != manifest.config.digest || layers.count != manifest.layers.count else { return }
        manifest = ImageManifest(
            family: family, config: descriptor, layers: layers.map(\.descriptor), base: manifest.json)
    }

    private static func blob(_ config: ImageConfig, _ family: MediaType.Family) -> Blob {
        Blob(config.bytes, mediaType: family.config)
    }
}
