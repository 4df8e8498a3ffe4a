import CAgent

/// One end of a local socket that carries frames, and never waits.
final class FrameSocket {
    let raw: Int32
    private var decoder = FrameDecoder()
    private var output = OutputQueue()

    init(_ socket: consuming Descriptor) {
        raw = socket.release()
    }

    deinit {
        close(raw)
    }

    /// Connects to the supervisor whose state lies in a folder.
    convenience init(to state: Bytes) throws(SystemFailure) {
        self.init(try Descriptor(FrameSocket.path(in: state).withCString { cagent_connect($0) }))
    }

    /// Where the supervisor's socket lies: short, because such paths may have 107 bytes.
    static func path(in state: Bytes) -> Bytes { state + Bytes("/s") }

    /// What to wait for.
    var watched: pollfd {
        pollfd(fd: raw, events: Int16(output.pending > 0 ? POLLIN | POLLOUT : POLLIN), revents: 0)
    }

    func send(_ message: Message, on stream: UInt32) { output.send(message, on: stream) }

    /// Sends what the peer takes; throws when it is gone, or takes nothing for too long.
    func flush() throws(SystemFailure) {
        _ = try output.flush(raw)
        if output.isFull { throw SystemFailure(code: ENOBUFS) }
    }

    /// The frames that have come; throws when the connection has ended or makes no sense.
    func receive(_ buffer: inout Bytes) throws(SystemFailure) -> [Frame] {
        var frames: [Frame] = []
        let count = read(raw, &buffer, buffer.count)
        if count < 0 {
            let code = cagent_errno()
            guard code == EAGAIN || code == EINTR else { throw SystemFailure(code: code) }
            return frames
        }
        guard count > 0 else { throw SystemFailure(code: ECONNRESET) }
        buffer.withUnsafeBytes { decoder.feed(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        do {
            while let frame = try decoder.next() { frames.append(frame) }
        } catch {
            throw SystemFailure(code: EPROTO)
        }
        return frames
    }
}
