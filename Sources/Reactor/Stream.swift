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
    /// Whether a short read means that nothing is left: true of sockets and pipes, not of terminals.
    private let endsShort: Bool
    /// The last read took everything: the next one waits at once, and saves the call that would say `EAGAIN`.
    private let isDrained = Atomic(false)

    /// Takes the descriptor, makes it non-blocking and starts to watch it.
    public init(_ owned: consuming OwnedDescriptor) throws(SystemError) {
        guard clinux_set_nonblocking(owned.raw) == 0 else { throw .last("fcntl descriptor \(owned.raw)") }
        var about = stat()
        let kind = fstat(owned.raw, &about) == 0 ? about.st_mode & S_IFMT : 0
        endsShort = kind == S_IFSOCK || kind == S_IFIFO
        token = try Reactor.shared.register(owned.raw, readiness)
        descriptor = owned.release()
    }

    deinit {
        close()
    }

    /// Reads what is there, at most `limit` bytes, waiting for the first; an empty array is the end of the stream.
    public func read(upTo limit: Int = 65536) async throws -> [UInt8] {
        while true {
            try await passIfDrained()
            var failure: Int32 = 0
            let bytes = try use {
                [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                    let got = Glibc.read(descriptor, buffer.baseAddress, limit)
                    failure = got < 0 ? errno : 0
                    count = max(0, got)
                }
            }
            if failure == 0 {
                note(bytes.count, of: limit)
                return bytes
            }
            try await wait(after: failure, for: readiness.readable, "read")
        }
    }

    /// Reads what is there into `bytes` from index `start` on, at most to its end, waiting for the first byte; 0 is the
    /// end of the stream.
    ///
    /// For large transfers: no other buffer is between the kernel and the array.
    public func read(into bytes: inout [UInt8], at start: Int) async throws -> Int {
        while true {
            try await passIfDrained()
            var failure: Int32 = 0
            let wanted = bytes.count - start
            let got = try use {
                bytes.withUnsafeMutableBytes { buffer in
                    let got = Glibc.read(descriptor, buffer.baseAddress?.advanced(by: start), wanted)
                    failure = got < 0 ? errno : 0
                    return max(0, got)
                }
            }
            if failure == 0 {
                note(got, of: wanted)
                return got
            }
            try await wait(after: failure, for: readiness.readable, "read")
        }
    }

    /// Hands on what a program prints to its end; once the task is cancelled, what is in the pipe then is the rest.
    ///
    /// Nothing is read before `take` has what came before, so that a program that prints faster has to wait.
    public func drain(upTo limit: Int = 65536, _ take: ([UInt8]) -> Void) async {
        while !Task.isCancelled, let bytes = try? await read(upTo: limit), !bytes.isEmpty {
            take(bytes)
            // A program that always has more to say never makes the read wait: let others use the thread.
            await Task.yield()
        }
        // No pipe holds more than 1 MiB; a process that was left behind may go on writing.
        var rest = 1 << 20
        while rest > 0, let bytes = try? readNow(upTo: limit), !bytes.isEmpty {
            take(bytes)
            rest -= bytes.count
        }
    }

    /// Reads what is there without waiting, at most `limit` bytes; `nil` when nothing is there now, an empty array at the
    /// end of the stream.
    public func readNow(upTo limit: Int = 65536) throws -> [UInt8]? {
        while true {
            var failure: Int32 = 0
            let bytes = try use {
                [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
                    let got = Glibc.read(descriptor, buffer.baseAddress, limit)
                    failure = got < 0 ? errno : 0
                    count = max(0, got)
                }
            }
            switch failure {
            case 0: return bytes
            case EINTR: continue
            case EAGAIN: return nil
            default: throw SystemError(code: failure, attempt: "read")
            }
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

    /// Writes `head`, `body` and `tail` in this order, with one system call where the peer takes it all.
    ///
    /// - Parameter taken: is told after each system call how many bytes the kernel has taken by now.
    public func write(
        _ head: [UInt8], then body: [UInt8], then tail: [UInt8] = [], taken: (Int) -> Void = { _ in }
    ) async throws {
        let count = head.count + body.count + tail.count
        var offset = 0
        while offset < count {
            var failure: Int32 = 0
            let sent = try use {
                let sent = Stream.gather(head, body, tail, from: offset) { writev(descriptor, $0, 3) }
                failure = sent < 0 ? errno : 0
                return max(0, sent)
            }
            if failure == 0 {
                offset += sent
                taken(offset)
            } else {
                try await wait(after: failure, for: readiness.writable, "write")
            }
        }
    }

    /// Calls `body` with the three arrays' memory, without their first `offset` bytes.
    private static func gather(
        _ first: [UInt8], _ second: [UInt8], _ third: [UInt8], from offset: Int,
        _ body: (UnsafePointer<iovec>) -> Int
    ) -> Int {
        first.withUnsafeBytes { first in
            second.withUnsafeBytes { second in
                third.withUnsafeBytes { third in
                    var left = offset
                    func part(_ buffer: UnsafeRawBufferPointer) -> iovec {
                        let skipped = min(left, buffer.count)
                        left -= skipped
                        let rest = UnsafeMutableRawPointer(mutating: buffer.baseAddress?.advanced(by: skipped))
                        return iovec(iov_base: rest, iov_len: buffer.count - skipped)
                    }
                    var parts = (part(first), part(second), part(third))
                    return withUnsafePointer(to: &parts) { pointer in
                        pointer.withMemoryRebound(to: iovec.self, capacity: 3, body)
                    }
                }
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
        readiness.close()
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

    /// Whether the peer has ended its sending direction, or the whole connection.
    ///
    /// Bytes may still be there to read.
    public var isHungUp: Bool { readiness.isHungUp }

    /// Returns when the peer has ended its sending direction, this stream is closed, or the task is cancelled.
    ///
    /// One task at a time; others may read and write meanwhile.
    public func untilHungUp() async {
        // In a loop, because an earlier waiter's cancellation may have left the gate open.
        while !readiness.isHungUp, !Task.isCancelled, !state.withLock({ $0.isClosed }) {
            await readiness.hangup.pass()
        }
    }

    /// Waits for the next readiness to read, for callers that make their own call on the descriptor.
    public func untilReadable() async throws {
        isDrained.store(false, ordering: .relaxed)
        try await wait(after: EAGAIN, for: readiness.readable, "wait")
    }

    /// Waits for the next readiness to write.
    func untilWritable() async throws { try await wait(after: EAGAIN, for: readiness.writable, "wait") }

    private func note(_ got: Int, of wanted: Int) {
        if endsShort { isDrained.store(got > 0 && got < wanted, ordering: .relaxed) }
    }

    /// Waits for news where the last read took everything.
    ///
    /// One edge may have announced both those bytes and the end of the stream, and no other edge follows the end: after
    /// a hang-up the kernel is always asked.
    private func passIfDrained() async throws {
        guard isDrained.load(ordering: .relaxed), !readiness.isHungUp else { return }
        try await wait(after: EAGAIN, for: readiness.readable, "read")
        isDrained.store(false, ordering: .relaxed)
    }

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
