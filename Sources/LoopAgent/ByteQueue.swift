import CAgent

/// Bytes on their way to a descriptor that does not block: what it does not take waits here.
struct ByteQueue {
    /// How much memory it keeps while nothing waits.
    let spare: Int
    private var bytes: Bytes = []
    private var sent = 0

    init(spare: Int) {
        self.spare = spare
    }

    /// How many bytes wait.
    var pending: Int { bytes.count - sent }

    /// Lets `body` append to what waits.
    mutating func append(_ body: (inout Bytes) -> Void) {
        // At most half as much as waits is kept behind it: cheap on the whole, and a bound.
        if sent * 2 > pending {
            bytes.dropPrefix(sent)
            sent = 0
        }
        body(&bytes)
    }

    /// Appends bytes; they are not copied where nothing waits.
    mutating func append(_ more: Bytes) {
        if pending == 0 {
            (bytes, sent) = (more, 0)
        } else {
            append { bytes in more.withUnsafeBytes { bytes.append(copying: $0) } }
        }
    }

    /// Writes what the descriptor takes; returns how much that was, throws when nobody reads any more.
    mutating func flush(_ descriptor: Int32) throws(SystemFailure) -> Int {
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
        defer {
            if pending == 0 {
                bytes.removeAll(keepingCapacity: bytes.capacity <= spare)
                sent = 0
            }
        }
        return sent - before
    }
}
