/// Content that a registry keeps: what it is, and where its bytes come from.
public struct Blob: Sendable {
    /// Where bytes come from.
    enum Source: Sendable {
        case bytes([UInt8])
        /// From this place of a file on.
        case file(OpenFile, offset: Int64)
        case tar(TarPlan)
        /// Another registry's, or another repository's.
        case registry(Registry, repository: String)
    }

    /// Its type, digest and size.
    public let descriptor: Descriptor
    let source: Source

    init(_ descriptor: Descriptor, _ source: Source) {
        self.descriptor = descriptor
        self.source = source
    }

    /// Bytes in memory.
    public init(_ bytes: [UInt8], mediaType: String) {
        self.init(
            Descriptor(mediaType: mediaType, digest: Digest(of: bytes), size: Int64(bytes.count)), .bytes(bytes))
    }

    /// The same bytes by another media type.
    func typed(_ mediaType: String) -> Blob { Blob(descriptor.typed(mediaType), source) }

    /// The same blob, where it can be read from: what a registry has is downloaded.
    func nearby() async throws -> Blob {
        guard case .registry(let registry, let repository) = source else { return self }
        if descriptor.size <= Layer.keptInMemory / 4 {
            return Blob(descriptor, .bytes(try await registry.blob(descriptor, in: repository)))
        }
        return Blob(descriptor, .file(try await registry.download(descriptor, in: repository), offset: 0))
    }

    /// How many bytes a reader takes at a time.
    static let piece = 1 << 20

    /// At most `count` bytes from `offset` on: all of them where the content goes that far.
    ///
    /// Not for content of a registry, which is downloaded first. Throws `LayerProblem` where a file is not what it was.
    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
        let count = Int(min(Int64(count), descriptor.size - offset))
        guard count > 0 else { return [] }
        switch source {
        case .bytes(let bytes):
            return offset == 0 && count == bytes.count ? bytes : Array(bytes[Int(offset)..<Int(offset) + count])
        case .file(let file, let start):
            return try await file.read(at: start + offset, count: count)
        case .tar(let plan):
            return try await plan.read(at: offset, count: count)
        case .registry:
            preconditionFailure("content of a registry is downloaded before it is read")
        }
    }
}
