import CHash
import Glibc
import Reactor
import TestCluster

/// The programs under test, which the build puts beside the test program.
enum Built {
    static let helper = folder + "/LoopAgent"
    static let leash = folder + "/Leash"
    static let probe = folder + "/Probe"

    /// The repository's root.
    static let package: String = {
        var parts = #filePath.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/")
    }()

    private static let folder: String = {
        let path = Disk.link("/proc/self/exe") ?? ""
        return path.split(separator: "/").dropLast().reduce("") { $0 + "/" + $1 }
    }()
}

/// Runs `body` with a folder that is removed afterwards.
func withFolder<Result>(_ body: (String) async throws -> Result) async throws -> Result {
    var template = Array("/tmp/loopd-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw SystemError.last("mkdtemp") }
    let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    do {
        let result = try await body(path)
        await Disk.removeTree(path)
        return result
    } catch {
        await Disk.removeTree(path)
        throw error
    }
}

/// Looks at and changes the real disk, past the helper.
enum Disk {
    static func write(_ path: String, _ content: String, mode: UInt32 = 0o644) {
        write(path, Array(content.utf8), mode: mode)
    }

    static func write(_ path: String, _ content: [UInt8], mode: UInt32 = 0o644) {
        let fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard fd >= 0 else { return }
        _ = content.withUnsafeBytes { Glibc.write(fd, $0.baseAddress, $0.count) }
        fchmod(fd, mode)
        Glibc.close(fd)
        if mode & 0o111 != 0 { TestCluster.Disk.untilNobodyWrites(Array(path.utf8)) }
    }

    static func bytes(_ path: String) -> [UInt8]? {
        let fd = open(path, O_RDONLY | O_CLOEXEC)
        guard fd >= 0 else { return nil }
        defer { Glibc.close(fd) }
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = read(fd, &buffer, buffer.count)
            guard count > 0 else { return count < 0 ? nil : all }
            all += buffer[..<count]
        }
    }

    static func text(_ path: String) -> String? { bytes(path).map { String(decoding: $0, as: UTF8.self) } }

    static func status(_ path: String) -> stat? {
        var result = stat()
        return lstat(path, &result) == 0 ? result : nil
    }

    static func mode(_ path: String) -> UInt32? { status(path).map { $0.st_mode & 0o7777 } }
    static func isFolder(_ path: String) -> Bool { status(path).map { $0.st_mode & S_IFMT == S_IFDIR } ?? false }
    static func exists(_ path: String) -> Bool { status(path) != nil }
    static func makeFolder(_ path: String) { mkdir(path, 0o755) }
    static func makeLink(_ path: String, to target: String) { symlink(target, path) }

    static func link(_ path: String) -> String? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = buffer.withUnsafeMutableBytes { raw in
            raw.baseAddress.map { readlink(path, $0.assumingMemoryBound(to: CChar.self), raw.count) } ?? -1
        }
        return count < 0 ? nil : String(decoding: buffer[..<count], as: UTF8.self)
    }

    /// The names in a folder, sorted.
    static func names(_ path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { raw in
                String(decoding: raw.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    static func removeTree(_ path: String) async {
        _ = try? await Child.run(Launch(["rm", "-rf", "--", path]))
    }
}

func sha256(_ bytes: [UInt8]) -> [UInt8] {
    var hash = chash_sha256()
    chash_sha256_init(&hash)
    chash_sha256_update(&hash, bytes, bytes.count)
    var digest = [UInt8](repeating: 0, count: 32)
    chash_sha256_final(&hash, &digest)
    return digest
}

/// A generator whose seed can be printed and used again.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Waits until a condition holds, looking again after pauses that leave the processor to what is waited for.
func eventually(_ condition: () async -> Bool) async -> Bool {
    let clock = ContinuousClock()
    let limit = clock.now.advanced(by: .seconds(60))
    while clock.now < limit {
        if await condition() { return true }
        if Task.isCancelled { return false }
        try? await Task.sleep(for: .milliseconds(1))
    }
    return await condition()
}
