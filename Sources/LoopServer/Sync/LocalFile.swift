internal import CHash
internal import Glibc
internal import Reactor
internal import Synchronization
internal import Watcher

/// The file is no longer what the plan was made from; its next event brings it again.
struct SourceChanged: Error {}

/// An open local file on its way into containers, hashed while it is read.
///
/// Reads must go from the beginning to the end in order, and may begin again; the last one checks that nobody wrote
/// meanwhile.
final class LocalFile: ContentSource {
    let size: Int64
    private let descriptor: Int32
    private let attempt: String
    private let expected: LocalEntry
    private let hash: Mutex<chash_sha256>
    private let checked = Mutex<Int64>(0)

    /// Opens a file.
    ///
    /// Throws `SourceChanged` when it is not `expected` any more, else `SystemError`.
    init(_ path: RelativePath, in tree: LocalTree, expected: LocalEntry) throws {
        attempt = "read \(path)"
        self.expected = expected
        guard case .file(let size) = expected.kind else { throw SourceChanged() }
        self.size = size
        // A file that was replaced by a pipe must not hold the engine: O_NONBLOCK.
        descriptor = open(tree.systemPath(path), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
        guard descriptor >= 0 else {
            let code = errno
            if code == ENOENT || code == ENOTDIR || code == ELOOP { throw SourceChanged() }
            throw SystemError(code: code, attempt: attempt)
        }
        var state = chash_sha256()
        chash_sha256_init(&state)
        hash = Mutex(state)
        try check()
    }

    deinit {
        if descriptor >= 0 { close(descriptor) }
    }

    func read(at offset: Int64, limit: Int) throws -> [UInt8] {
        let bytes = try peek(at: offset, limit: limit)
        hash.withLock { hash in
            if offset == 0 { chash_sha256_init(&hash) }
            chash_sha256_update(&hash, bytes, bytes.count)
        }
        if offset + Int64(bytes.count) >= size { try check() }
        return bytes
    }

    /// A part of the content, in any order, without hashing it.
    func peek(at offset: Int64, limit: Int) throws -> [UInt8] {
        var failure: Int32 = 0
        let bytes = [UInt8](unsafeUninitializedCapacity: limit) { buffer, count in
            let got = pread(descriptor, buffer.baseAddress, limit, off_t(offset))
            failure = got < 0 ? errno : 0
            count = max(0, got)
        }
        guard failure == 0 else { throw SystemError(code: failure, attempt: attempt) }
        guard !bytes.isEmpty else { throw SourceChanged() }
        return bytes
    }

    /// Whether any write since the last byte was read shows in the file's times.
    var isCertain: Bool { expected.isSettled(at: checked.withLock { $0 }) }

    /// The hash of everything that was read.
    var digest: SHA256Digest {
        hash.withLock { hash in
            var copy = hash
            return SHA256Digest(finishing: &copy)
        }
    }

    /// The hash of a file's content without sending it.
    static func content(of path: RelativePath, in tree: LocalTree, expected: LocalEntry) throws -> ReadContent {
        let file = try LocalFile(path, in: tree, expected: expected)
        var offset: Int64 = 0
        while offset < file.size {
            offset += Int64(try file.read(at: offset, limit: Int(min(file.size - offset, 1 << 20))).count)
        }
        return ReadContent(digest: file.digest, isCertain: file.isCertain)
    }

    /// Throws `SourceChanged` when the file is not what was expected any more.
    func check() throws {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw SystemError.last(attempt) }
        guard let now = LocalEntry(status, target: nil), now.hasContent(of: expected) else { throw SourceChanged() }
        checked.withLock { $0 = wallClockNow() }
    }
}

/// The hash of content that was read, and whether a write just after the reading could go unseen.
struct ReadContent: Sendable {
    let digest: SHA256Digest
    let isCertain: Bool
    /// How many bytes of it travelled.
    var bytesSent: UInt64 = 0
}

/// Nanoseconds since 1970, the clock of files' times.
func wallClockNow() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return nanoseconds(now)
}

/// A SHA-256 in 32 bytes without an allocation of its own.
struct SHA256Digest: Hashable, Sendable {
    private let words: (UInt64, UInt64, UInt64, UInt64)

    init(finishing hash: inout chash_sha256) {
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { buffer in
            chash_sha256_final(&hash, buffer.baseAddress?.assumingMemoryBound(to: UInt8.self))
        }
        self.words = words
    }

    /// The digest that the other end sent; `nil` when it does not have 32 bytes.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        var words: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &words) { $0.copyBytes(from: bytes) }
        self.words = words
    }

    /// The digest of bytes in memory.
    init(of bytes: [UInt8]) {
        var hash = chash_sha256()
        chash_sha256_init(&hash)
        chash_sha256_update(&hash, bytes, bytes.count)
        self.init(finishing: &hash)
    }

    /// The 32 bytes.
    var bytes: [UInt8] { withUnsafeBytes(of: words) { Array($0) } }

    /// Lower-case hexadecimal, as `sha256sum` prints it.
    var hex: String {
        withUnsafeBytes(of: words) { bytes in
            bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        }
    }

    static func == (left: SHA256Digest, right: SHA256Digest) -> Bool { left.words == right.words }

    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}
