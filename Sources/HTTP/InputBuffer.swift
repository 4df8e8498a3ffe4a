internal import Glibc
internal import Reactor

/// What has arrived on a stream and was not consumed yet.
struct InputBuffer: Sendable {
    let stream: Stream
    private(set) var bytes: [UInt8]
    private var start = 0

    init(_ stream: Stream, leftover: [UInt8] = []) {
        self.stream = stream
        bytes = leftover
    }

    /// How many bytes are there.
    var count: Int { bytes.count - start }

    subscript(offset: Int) -> UInt8 { bytes[start + offset] }

    /// Waits for more bytes; `false` at the end of the stream.
    mutating func fill() async throws -> Bool {
        let chunk = try await stream.read()
        if chunk.isEmpty { return false }
        if start == bytes.count {
            bytes = chunk
        } else {
            bytes.removeFirst(start)
            bytes += chunk
        }
        start = 0
        return true
    }

    /// Waits until `wanted` bytes are there.
    mutating func fill(to wanted: Int, of what: String) async throws {
        while count < wanted {
            guard try await fill() else { throw HTTPError.unexpectedEnd(what) }
        }
    }

    mutating func skip(_ number: Int) {
        start += number
    }

    /// Takes at most `limit` of the bytes that are there.
    mutating func take(upTo limit: Int) -> [UInt8] {
        if start == 0, bytes.count <= limit {
            // Hand the array over instead of copying it.
            let all = bytes
            bytes = []
            return all
        }
        let taken = Array(bytes[start..<start + min(count, limit)])
        start += taken.count
        return taken
    }

    /// Takes exactly `number` bytes.
    ///
    /// What is not here yet goes from the kernel straight into the result.
    mutating func take(exactly number: Int, of what: String) async throws -> [UInt8] {
        if count >= number { return take(upTo: number) }
        var taken = [UInt8](unsafeUninitializedCapacity: number) { buffer, initialized in
            let present = count
            bytes.withUnsafeBytes { source in
                guard let from = source.baseAddress, let to = buffer.baseAddress else { return }
                memcpy(to, from + start, present)
                memset(to + present, 0, number - present)
            }
            initialized = number
        }
        var filled = count
        bytes = []
        start = 0
        while filled < number {
            let got = try await stream.read(into: &taken, at: filled)
            guard got > 0 else { throw HTTPError.unexpectedEnd(what) }
            filled += got
        }
        return taken
    }

    /// How far a search for the end of a head or line has come.
    struct Scan {
        fileprivate var offset = 0
        fileprivate var lineStart = 0
    }

    /// The number of bytes up to and including the next line's CR LF, or `nil` when it is not all there.
    ///
    /// A line feed without its carriage return is refused: two parties that disagree about it see different messages.
    func line(_ scan: inout Scan) throws(HTTPError) -> Int? {
        guard let end = nextLineFeed(from: scan.offset) else {
            scan.offset = count
            return nil
        }
        guard end > scan.lineStart, self[end - 1] == 0x0D else {
            throw .malformed("a line feed without carriage return")
        }
        scan.offset = end + 1
        return end + 1
    }

    /// The number of bytes up to and including the empty line that ends a head, or `nil` when it is not all there.
    func head(_ scan: inout Scan) throws(HTTPError) -> Int? {
        while let end = try line(&scan) {
            let isEmpty = end == scan.lineStart + 2
            scan.lineStart = end
            if isEmpty { return end }
        }
        return nil
    }

    private func nextLineFeed(from offset: Int) -> Int? {
        guard offset < count else { return nil }
        return bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress, let found = memchr(base + start + offset, 0x0A, count - offset) else {
                return nil
            }
            return UnsafeRawPointer(found) - base - start
        }
    }

    /// Takes a whole head, its empty line included, waiting for it; `nil` when the stream ends before its first byte.
    mutating func takeHead(limit: Int) async throws -> [UInt8]? {
        var scan = Scan()
        while true {
            if let length = try head(&scan) {
                guard length <= limit else { throw HTTPError.tooLarge("a head of more than \(limit) bytes") }
                return take(upTo: length)
            }
            guard count <= limit else { throw HTTPError.tooLarge("a head of more than \(limit) bytes") }
            guard try await fill() else {
                if count == 0 { return nil }
                throw HTTPError.unexpectedEnd("a head")
            }
        }
    }

    /// Takes one line without its CR LF, waiting for it.
    mutating func takeLine(limit: Int, of what: String) async throws -> [UInt8] {
        var scan = Scan()
        while true {
            if let length = try line(&scan), length <= limit { return take(upTo: length).dropLast(2) }
            guard count <= limit else { throw HTTPError.tooLarge("\(what) of more than \(limit) bytes") }
            guard try await fill() else { throw HTTPError.unexpectedEnd(what) }
        }
    }
}
