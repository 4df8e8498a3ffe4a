/// One message on one stream.
public struct Frame: Equatable, Sendable {
    /// Which conversation it belongs to.
    public var stream: UInt32
    /// What is said.
    public var message: Message

    /// A message for `stream`.
    public init(_ message: Message, on stream: UInt32 = WireProtocol.connectionStream) {
        self.stream = stream
        self.message = message
    }

    /// The frame's bytes.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return bytes
    }

    /// Appends the frame of `data` with these bytes, which are copied once.
    public static func append(data: UnsafeRawBufferPointer, on stream: UInt32, to bytes: inout [UInt8]) {
        var writer = ByteWriter(bytes)
        bytes = []
        writer.write(UInt32(data.count))
        writer.write(MessageType.data.rawValue)
        writer.write(stream)
        bytes = writer.bytes
        bytes.append(copying: data)
    }

    /// Appends the frame's bytes.
    ///
    /// A message that is longer than a payload may be is a programming error: content, entries, operations and results
    /// are cut into frames by their senders.
    public func append(to bytes: inout [UInt8]) {
        let start = bytes.count
        var writer = ByteWriter(bytes)
        bytes = []
        writer.write(UInt32(0))
        writer.write(message.type.rawValue)
        writer.write(stream)
        message.encodePayload(to: &writer)
        let length = writer.bytes.count - start - WireProtocol.headerLength
        precondition(length <= WireProtocol.maximumPayload, "a message longer than a frame")
        writer.overwrite(UInt32(length), at: start)
        bytes = writer.bytes
    }
}
