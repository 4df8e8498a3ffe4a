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
func contents(of path: [UInt8], followLinks: Bool = true, limit: Int = 1 << 20) -> [UInt8]? {
    // Non-blocking, because a pipe of this name would otherwise hold the thread for ever.
    let flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | (followLinks ? 0 : O_NOFOLLOW)
    let descriptor = path.withCString { open($0, flags) }
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

/// The path without links, `.` and `..`; nil when it does not lead anywhere.
func realPath(_ path: String) -> [UInt8]? {
    guard let resolved = realpath(path, nil) else { return nil }
    defer { free(resolved) }
    return Array(UnsafeBufferPointer(start: resolved, count: strlen(resolved)).map { UInt8(bitPattern: $0) })
}

/// The path from `/` without doubled slashes and `.`; what it names need not exist.
func absolutePath(_ path: String) -> [UInt8] {
    var names: [ArraySlice<UInt8>] = []
    if path.utf8.first != slash, let current = realPath(".") { names = current.split(separator: slash) }
    for name in Array(path.utf8).split(separator: slash) where !name.elementsEqual(".".utf8) {
        if name.elementsEqual("..".utf8) { _ = names.popLast() } else { names.append(name) }
    }
    return names.flatMap { [slash] + $0 }
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
