/// Turns received bytes into frames, however they were cut on the way.
///
/// It holds what was fed and not yet taken, and never more on a peer's word: a length only says how long to wait. The
/// bytes of `data` are handed on in pieces as they come.
public struct FrameDecoder: Sendable {
    private var buffer: [UInt8] = []
    private var start = 0
    /// The stream, and how many bytes of its `data` frame are still to come.
    private var content: (stream: UInt32, left: Int)?
    private var failed: WireError?

    /// A decoder at the beginning of a connection.
    public init() {}

    /// How many bytes wait for the rest of their frame.
    public var buffered: Int { buffer.count - start }

    /// Whether the bytes so far end between two frames.
    public var isAtBoundary: Bool { buffered == 0 && content == nil }

    /// Adds bytes as they were received; they are not copied where nothing waits.
    public mutating func feed(_ bytes: [UInt8]) {
        if buffered == 0 {
            (buffer, start) = (bytes, 0)
        } else {
            bytes.withUnsafeBytes { feed($0) }
        }
    }

    /// Adds bytes as they were received.
    public mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        compact()
        buffer.append(copying: bytes)
    }

    /// The next frame, or `nil` until more bytes are fed.
    ///
    /// After an error every further call throws it again.
    public mutating func next() throws(WireError) -> Frame? {
        if let failed { throw failed }
        do {
            return try take()
        } catch {
            failed = error
            buffer = []
            start = 0
            throw error
        }
    }

    private mutating func take() throws(WireError) -> Frame? {
        if let frame = takeContent() { return frame }
        guard content == nil, buffered >= WireProtocol.headerLength else { return nil }
        var header = ByteReader(buffer, start..<start + WireProtocol.headerLength)
        let length = try header.read(UInt32.self)
        let number = try header.read(UInt8.self)
        let stream = try header.read(UInt32.self)
        guard length <= UInt32(WireProtocol.maximumPayload) else { throw .frameTooLong(length) }
        guard let type = MessageType(rawValue: number) else { throw .unknownType(number) }
        if type == .data, length > 0 {
            start += WireProtocol.headerLength
            content = (stream, Int(length))
            return takeContent()
        }
        let end = start + WireProtocol.headerLength + Int(length)
        guard end <= buffer.count else { return nil }
        var reader = ByteReader(buffer, start + WireProtocol.headerLength..<end)
        let message = try Message(type, from: &reader)
        try reader.finish()
        start = end
        return Frame(message, on: stream)
    }

    private mutating func takeContent() -> Frame? {
        guard let (stream, left) = content else { return nil }
        let count = min(left, buffered)
        guard count > 0 else { return nil }
        let bytes = buffer.withUnsafeBytes {
            [UInt8](copying: UnsafeRawBufferPointer(rebasing: $0[start..<start + count]))
        }
        start += count
        content = left == count ? nil : (stream, left - count)
        return Frame(.data(bytes), on: stream)
    }

    /// Drops what was taken before the buffer grows, so that it stays about as long as one frame.
    private mutating func compact() {
        if start == buffer.count {
            // A buffer that one long frame made large is given back.
            buffer.removeAll(keepingCapacity: buffer.capacity <= 1 << 17)
            start = 0
        } else if start > buffer.count / 2 {
            buffer.dropPrefix(start)
            start = 0
        }
    }
}
