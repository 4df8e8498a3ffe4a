internal import CLinux
internal import Glibc
internal import Synchronization

/// A non-blocking socket, pipe or pty with asynchronous reads and writes.
///
/// One task may read while another one writes; two readers, or two writers, at once are a programming error. `close()` may
/// be called from anywhere, any number of times: a pending call then fails with `EBADF`, and the descriptor itself is
/// closed when the last call has left it. A cancelled task's pending call throws `CancellationError`.
public final class Stream: Sendable {
    private struct State {
        var calls = 0
        var isClosed = false
    }
    private let descriptor: Int32
    private let readiness = Readiness()
    private let token: UInt64
    private let state = Mutex(State())

    /// Takes the descriptor, makes it non-blocking and starts to watch it.
    public init(_ owned: consuming OwnedDescriptor) throws(SystemError) {
        guard clinux_set_nonblocking(owned.raw) == 0 else { throw .last("fcntl descriptor \(owned.raw)") }
        token = try Reactor.shared.register(owned.raw, readiness)
        descriptor = owned.release()
    }

    deinit {
        close()
    }

    /// Reads what is there, at most `limit` bytes, waiting for the first; an empty array is the end of the stream.
    public func read(upTo limit: Int = 65536) async throws -> [UInt8] {
        while true {
            var failure: Int32 = 0
            let bytes = try use {
                [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                    let got = Glibc.read(descriptor, buffer.baseAddress, limit)
                    failure = got < 0 ? errno : 0
                    count = max(0, got)
                }
            }
            if failure == 0 { return bytes }
            try await wait(after: failure, for: readiness.readable, "read")
        }
    }

    /// Writes all of `bytes`, waiting as often as the peer makes it wait.
    public func write(_ bytes: [UInt8]) async throws {
        try await write(bytes, from: 0)
    }

    /// Writes `bytes` from index `start` to the end.
    public func write(_ bytes: [UInt8], from start: Int) async throws {
        var offset = start
        while offset < bytes.count {
            var failure: Int32 = 0
            let sent = try use {
                bytes.withUnsafeBytes { buffer in
                    let sent = Glibc.write(descriptor, buffer.baseAddress?.advanced(by: offset), bytes.count - offset)
                    failure = sent < 0 ? errno : 0
                    return max(0, sent)
                }
            }
            if failure == 0 {
                offset += sent
            } else {
                try await wait(after: failure, for: readiness.writable, "write")
            }
        }
    }

    /// Ends the sending direction of a socket; the peer reads the end of the stream.
    public func shutdownWrite() {
        _ = try? use { shutdown(descriptor, Int32(SHUT_WR)) }
    }

    /// Closes the descriptor; see the type's contract for pending calls.
    public func close() {
        let closeNow = state.withLock { state in
            if state.isClosed { return false }
            state.isClosed = true
            return state.calls == 0
        }
        Reactor.shared.forget(token)
        readiness.readable.close()
        readiness.writable.close()
        if closeNow { release() }
    }

    /// Runs one system call on the descriptor, which cannot be closed, and its number not be reused, meanwhile.
    ///
    /// The descriptor's number is passed for calls that this type does not have (`getsockopt`, `ioctl`).
    public func withDescriptor<Result>(_ body: (Int32) throws -> Result) throws -> Result {
        try use { try body(descriptor) }
    }

    private func use<Result>(_ body: () throws -> Result) throws -> Result {
        let isOpen = state.withLock { state in
            if state.isClosed { return false }
            state.calls += 1
            return true
        }
        guard isOpen else { throw SystemError(code: EBADF, attempt: "use of a closed stream") }
        defer {
            let closeNow = state.withLock { state in
                state.calls -= 1
                return state.isClosed && state.calls == 0
            }
            if closeNow { release() }
        }
        return try body()
    }

    private func release() {
        Reactor.shared.remove(descriptor, token)
        _ = Glibc.close(descriptor)
    }

    /// Waits for the next readiness to read, for callers that make their own call on the descriptor.
    public func untilReadable() async throws { try await wait(after: EAGAIN, for: readiness.readable, "wait") }

    /// Waits for the next readiness to write.
    func untilWritable() async throws { try await wait(after: EAGAIN, for: readiness.writable, "wait") }

    private func wait(after failure: Int32, for gate: Gate, _ call: String) async throws {
        switch failure {
        case EINTR: break
        case EAGAIN:
            try Task.checkCancellation()
            await gate.pass()
            try Task.checkCancellation()
        default: throw SystemError(code: failure, attempt: call)
        }
    }
}
