internal import Wire

/// One content on its way into a container, and what is known of it when it is there.
struct Transfer: Sendable {
    /// Smaller content always travels whole: comparing costs more than it saves.
    static let smallestWithBlocks: Int64 = 256 << 10

    /// The helper's word on what is on disk.
    var staged = Staged(stage: 0, sha256: [], size: 0)
    /// The content's blocks, for the next comparison; `nil` for small content.
    var blocks: BlockTable?
    /// How many bytes of content travelled.
    var bytesSent: UInt64 = 0
}
