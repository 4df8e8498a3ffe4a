/// Builds one image, and brings it to where nodes find it.
protocol ImageBuilder: Sendable {
    /// Builds what is on disk now.
    ///
    /// The tag is made of the content: the same content neither travels again nor gets another name. Never is a tag left
    /// that points to something incomplete. Cancelling ends every program that was started. Throws `LoopFailure`.
    ///
    /// - Parameters:
    ///   - home: where the image goes.
    ///   - output: takes each line that a program prints, free of secrets.
    func build(to home: ImageHome, output: @escaping @Sendable (String) -> Void) async throws -> BuiltImage
}

/// An image that nodes can run.
struct BuiltImage: Equatable, Sendable {
    /// As a pod names it: `k3d-registry.localhost:5000/web:loopd-0123456789abcdef`.
    let reference: String
    /// How many bytes travelled; `nil` where only a program knows.
    var bytesSent: Int64?
    /// Whether it was there already.
    var isUnchanged = false
    /// What it says about how it is run, where its builder knows that.
    var configuration: ImageConfiguration?
}

/// Where nodes find the images that loopd builds.
enum ImageHome: Equatable, Sendable {
    /// A registry, by its name here and by its name for the nodes; nothing is before a slash where the nodes find bare names.
    case registry(RegistryNames)
    /// No registry: a program of the cluster's provider puts images onto the nodes.
    case nodes(NodeLoader)

    /// What every content tag begins with, so that loopd knows its own.
    static let tagPrefix = "loopd-"

    /// The tag of a content by its hexadecimal SHA-256.
    static func tag(ofHex digest: String) -> String { tagPrefix + digest.prefix(16) }
}
