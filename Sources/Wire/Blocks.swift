/// A part of the base that stands for content; it costs no window.
///
/// Answered by nothing, or by `failure` on the stage's stream when the base has no such part.
public struct Copy: Equatable, Sendable {
    /// The most bytes that one of these may name, so that the helper is never long away from its other work.
    public static let maximumLength: UInt32 = 4 << 20

    /// Where the part begins in the base.
    public var offset: UInt64
    /// How long it is: 1 to `maximumLength`.
    public var length: UInt32

    /// A part of the base.
    public init(offset: UInt64, length: UInt32) {
        self.offset = offset
        self.length = length
    }
}

/// Asks for the blocks of a file.
///
/// Answered by `blocks`, in the file's order, and `blocked`; or by `failure`.
public struct BlockRequest: Equatable, Sendable {
    /// The number from `opened`.
    public var destination: UInt32
    /// The file, below the destination.
    public var path: [UInt8]

    /// A request with every field.
    public init(destination: UInt32, path: [UInt8]) {
        self.destination = destination
        self.path = path
    }
}

/// A block of a file, whose borders the content itself decides.
public struct Block: Hashable, Sendable {
    /// Its length in bytes.
    public var length: UInt32
    /// What tells it apart from others.
    ///
    /// Only the whole content's SHA-256 proves that they were the same.
    public var hash: UInt64

    /// A block.
    public init(length: UInt32, hash: UInt64) {
        self.length = length
        self.hash = hash
    }
}

extension Copy: WireCodable {
    static var minimumSize: Int { 12 }

    init(from reader: inout ByteReader) throws(WireError) {
        offset = try reader.read()
        length = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(offset)
        writer.write(length)
    }
}

extension BlockRequest: WireCodable {
    static var minimumSize: Int { 8 }

    init(from reader: inout ByteReader) throws(WireError) {
        destination = try reader.read()
        path = try reader.readBytes()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(destination)
        writer.write(path)
    }
}

extension Block: WireCodable {
    static var minimumSize: Int { 12 }

    init(from reader: inout ByteReader) throws(WireError) {
        length = try reader.read()
        hash = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(length)
        writer.write(hash)
    }
}
