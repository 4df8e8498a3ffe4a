import CAgent

/// Frames on their way to a descriptor that does not block, by default the host's.
struct OutputQueue {
    /// Above this nothing that causes output is taken on: requests, listings, programs' output.
    static let highWater = 128 << 10
    /// Above this sockets are not read, so that answers and pings find room and do not wait long.
    static let bulkWater = 64 << 10

    private var queue = ByteQueue(spare: OutputQueue.highWater)

    var pending: Int { queue.pending }
    var isFull: Bool { pending >= OutputQueue.highWater }
    var hasRoomForBulk: Bool { pending < OutputQueue.bulkWater }

    mutating func send(_ message: Message, on stream: UInt32 = WireProtocol.connectionStream) {
        queue.append { Frame(message, on: stream).append(to: &$0) }
    }

    /// Sends the first `count` bytes of a buffer as `data`.
    mutating func send(_ buffer: Bytes, count: Int, on stream: UInt32) {
        buffer.withUnsafeBytes { bytes in
            queue.append { Frame.append(data: UnsafeRawBufferPointer(rebasing: bytes[..<count]), on: stream, to: &$0) }
        }
    }

    /// Writes what the descriptor, by default standard output, takes.
    ///
    /// Returns whether it took something; throws when nobody reads any more.
    mutating func flush(_ descriptor: Int32 = 1) throws(SystemFailure) -> Bool { try queue.flush(descriptor) > 0 }
}
