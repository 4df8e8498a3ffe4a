public import JSON

/// What is wrong with a manifest, a configuration or an archive.
public struct ContentProblem: Error, Equatable, Sendable, CustomStringConvertible {
    /// One line for people.
    public let description: String

    init(_ description: String) { self.description = description }
}

/// How manifests refer to content: its type, digest and size.
public struct Descriptor: Equatable, Sendable {
    /// The whole object: members that are not known here survive.
    public private(set) var json: JSON
    /// What it is.
    public let mediaType: String
    /// Of the content, which is proven by it.
    public let digest: Digest
    /// In bytes.
    public let size: Int64

    /// A descriptor of content.
    public init(mediaType: String, digest: Digest, size: Int64) {
        self.mediaType = mediaType
        self.digest = digest
        self.size = size
        json = ["mediaType": .string(mediaType), "digest": .string("\(digest)"), "size": .integer(size)]
    }

    /// Reads a descriptor.
    public init(_ json: JSON) throws(ContentProblem) {
        guard let text = json["digest"]?.string else { throw ContentProblem("a descriptor without digest") }
        guard let digest = Digest(text) else { throw ContentProblem("\(text.prefix(80)) is not a SHA-256 digest") }
        guard let size = json["size"]?.integer, size >= 0 else {
            throw ContentProblem("the descriptor of \(digest.short) has no size")
        }
        self.json = json
        self.digest = digest
        self.size = size
        mediaType = json["mediaType"]?.string ?? ""
    }

    /// What a manifest in an index is for.
    public var platform: Platform? { json["platform"].flatMap { Platform($0) } }

    /// The same content under another media type.
    func typed(_ mediaType: String) -> Descriptor { Descriptor(mediaType: mediaType, digest: digest, size: size) }
}
