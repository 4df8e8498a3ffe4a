internal import Glibc

/// What `strerror` says; the thread-safe form has two shapes in glibc, so the message is copied at once.
func message(_ code: Int32) -> String { String(cString: strerror(code)) }

/// Nanoseconds of `CLOCK_MONOTONIC`.
func monotonicNow() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Reads a small file wholly; nil when it is not there, is no regular file or is larger than `limit`.
func contents(of path: [UInt8], limit: Int = 1 << 20) -> [UInt8]? {
    // Non-blocking, because a pipe of this name would otherwise hold the thread for ever.
    let descriptor = path.withCString { open($0, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var result: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while result.count <= limit {
        let count = read(descriptor, &chunk, chunk.count)
        if count < 0 && errno == EINTR { continue }
        guard count >= 0 else { return nil }
        if count == 0 { return result }
        result += chunk[..<count]
    }
    return nil
}

extension [UInt8] {
    /// Calls `body` with these bytes and a terminating zero.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: count + 1) { buffer in
            for (index, byte) in enumerated() { buffer[index] = CChar(bitPattern: byte) }
            buffer[count] = 0
            guard let start = buffer.baseAddress else { return body("") }
            return body(UnsafePointer(start))
        }
    }
}
