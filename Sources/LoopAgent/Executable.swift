import CAgent
import CHash

/// A SHA-256 in the making.
struct RunningHash {
    private var state = chash_sha256()

    init() {
        chash_sha256_init(&state)
    }

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        chash_sha256_update(&state, bytes.baseAddress, bytes.count)
    }

    mutating func finish() -> Bytes {
        var digest = Bytes(repeating: 0, count: 32)
        chash_sha256_final(&state, &digest)
        return digest
    }
}

/// The helper's own file.
enum Executable {
    /// Where it lies; with " (deleted)" behind it once it was removed.
    static var path: Bytes { (try? readLink(-1, Bytes("/proc/self/exe"))) ?? [] }

    static func digest() throws(SystemFailure) -> Bytes {
        let file = try Descriptor(cagent_open(-1, "/proc/self/exe", CAGENT_READ, 0))
        var hash = RunningHash()
        var buffer = Bytes(repeating: 0, count: 32 << 10)
        while true {
            let count = read(file.raw, &buffer, buffer.count)
            guard count >= 0 else { throw .last() }
            if count == 0 { return hash.finish() }
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }

    /// Removes the file, and its folder if nothing else is in it.
    static func remove() throws(SystemFailure) {
        let path = path
        try checked(path.withCString { cagent_remove(-100, $0, 0) })
        guard let slash = path.lastIndex(of: UInt8(ascii: "/")), slash > 0 else { return }
        _ = Array(path[..<slash]).withCString { cagent_remove(-100, $0, 1) }
    }
}
