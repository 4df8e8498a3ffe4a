/// Images in files: what `docker save` and `dockerTools` write, and OCI layouts.
public enum ImageArchive {
    /// Reads an image: a docker archive or an OCI layout as a tar file, perhaps through gzip, or an OCI layout as a folder.
    ///
    /// The layers stay in the file, which is held open. Garbage throws `ContentProblem`, a file that cannot be read
    /// `SystemError`.
    ///
    /// - Parameters:
    ///   - platform: which image of an index is meant.
    ///   - temporaryFolder: where a compressed archive is unpacked to.
    public static func read(
        _ path: String, platform: Platform = .host, temporaryFolder: String = "/var/tmp"
    ) async throws -> ImageContent {
        throw ContentProblem("not there yet")
    }

    /// Writes an image as a docker archive, which `k3d image import`, `kind load image-archive`, `minikube image load` and
    /// `ctr images import` take.
    ///
    /// The file appears when it is complete. Layers of a registry are downloaded.
    ///
    /// - Parameter names: what the image is called where it is loaded: `web:loopd-0123456789abcdef`.
    public static func write(_ image: ImageContent, names: [String], to path: String) async throws {
        throw ContentProblem("not there yet")
    }
}
