internal import Reactor

/// A layer of an image.
public struct Layer: Sendable {
    /// As it travels.
    public let blob: Blob
    /// The digest of the uncompressed content, by which the image's configuration names it.
    public let diffID: Digest

    /// A layer of a blob.
    public init(_ blob: Blob, diffID: Digest) {
        self.blob = blob
        self.diffID = diffID
    }

    /// Its type, digest and size.
    public var descriptor: Descriptor { blob.descriptor }

    /// The same layer, where it can be read from: what a registry has is downloaded, a large one into a file without a name,
    /// which is there for as long as the layer is.
    public func nearby() async throws -> Layer { Layer(try await blob.nearby(), diffID: diffID) }

    /// Layers up to this size stay in memory once their digest is known, so that nothing is read twice.
    public static let keptInMemory: Int64 = 32 << 20

    /// Makes a layer of files: the same files give the same bytes, in whatever order and of whatever age they are.
    ///
    /// Entries are sorted; of two with one path the last one holds. Folders above an entry that are not listed are put
    /// in with mode 0755 (`tmp` and `var/tmp`: 1777, `root`: 0700). Every time is 0. The result is an uncompressed tar:
    /// a registry nearby wants speed, not small size. Reads blocks off the cooperative pool; ends when the task is
    /// cancelled. Throws `LayerProblem`.
    ///
    /// - Parameter family: the base image's, whose names for layers are used.
    public static func pack(_ entries: [LayerEntry], family: MediaType.Family = .oci) async throws -> Layer {
        let plan = try await offPool { try TarPlan(entries) }
        var running = RunningDigest()
        var kept: [UInt8]?
        if plan.size <= keptInMemory {
            let bytes = try await plan.read(at: 0, count: Int(plan.size))
            running.update(bytes)
            kept = bytes
        } else {
            var offset: Int64 = 0
            while offset < plan.size {
                let bytes = try await plan.read(at: offset, count: 4 * Blob.piece)
                try Task.checkCancellation()
                running.update(bytes)
                offset += Int64(bytes.count)
            }
        }
        let digest = running.digest
        let descriptor = Descriptor(mediaType: family.layer, digest: digest, size: plan.size)
        return Layer(Blob(descriptor, kept.map { .bytes($0) } ?? .tar(plan)), diffID: digest)
    }
}
