/// The names that manifests, layers and configurations go by.
public enum MediaType {
    /// Whose names an image uses; mixing them is refused by some registries.
    public enum Family: Sendable {
        /// The Open Container Initiative's.
        case oci
        /// Docker's, schema 2.
        case docker

        /// A manifest of one platform.
        public var manifest: String { self == .oci ? MediaType.ociManifest : MediaType.dockerManifest }
        /// An image's configuration.
        public var config: String {
            switch self {
            case .oci: "application/vnd.oci.image.config.v1+json"
            case .docker: "application/vnd.docker.container.image.v1+json"
            }
        }
        /// A layer as it is.
        public var layer: String {
            switch self {
            case .oci: "application/vnd.oci.image.layer.v1.tar"
            case .docker: "application/vnd.docker.image.rootfs.diff.tar"
            }
        }
        /// A layer through gzip.
        public var gzipLayer: String { self == .oci ? "\(layer)+gzip" : "\(layer).gzip" }
        /// A layer through zstd; Docker's names have none, and tools use this one in both.
        public var zstdLayer: String { "application/vnd.oci.image.layer.v1.tar+zstd" }
    }

    /// The OCI's manifest of one platform.
    public static let ociManifest = "application/vnd.oci.image.manifest.v1+json"
    /// The OCI's list of manifests.
    public static let ociIndex = "application/vnd.oci.image.index.v1+json"
    /// Docker's manifest of one platform.
    public static let dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
    /// Docker's list of manifests.
    public static let dockerList = "application/vnd.docker.distribution.manifest.list.v2+json"

    /// What a client asks for that understands all of them.
    public static let manifests = [ociManifest, ociIndex, dockerManifest, dockerList]

    /// Whether it names a list of manifests.
    public static func isIndex(_ type: String) -> Bool { type == ociIndex || type == dockerList }

    /// The family of a manifest's media type.
    public static func family(of type: String) -> Family {
        type.hasPrefix("application/vnd.docker.") ? .docker : .oci
    }
}
