import CAgent

/// Frames on their way to a descriptor that does not block: what it does not take waits here.
struct OutputQueue {
    /// Above this nothing that causes output is taken on: requests, listings, programs' output.
    static let highWater = 128 << 10

    private var bytes: Bytes = []
    private var sent = 0

    var pending: Int { bytes.count - sent }
    var isFull: Bool { pending >= OutputQueue.highWater }

    mutating func send(_ message: Message, on stream: UInt32 = WireProtocol.connectionStream) {
        Frame(message, on: stream).append(to: &bytes)
    }

    /// Writes what the descriptor, by default standard output, takes.
    ///
    /// Returns whether it took something; throws when nobody reads any more.
    mutating func flush(_ descriptor: Int32 = 1) throws(SystemFailure) -> Bool {
        let before = sent
        while pending > 0 {
            let written = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress.map { $0 + sent }, pending) }
            if written < 0 {
                let code = cagent_errno()
                if code == EINTR { continue }
                guard code == EAGAIN else { throw SystemFailure(code: code) }
                break
            }
            sent += written
        }
        let progressed = sent > before
        if pending == 0 {
            bytes.removeAll(keepingCapacity: bytes.capacity <= OutputQueue.highWater)
            sent = 0
        } else if sent > OutputQueue.highWater {
            bytes.removeSubrange(0..<sent)
            sent = 0
        }
        return progressed
    }
}
