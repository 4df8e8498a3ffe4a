internal import Glibc
internal import OCI
internal import Reactor

/// Lets builds take turns that share a name, also those of other loopds: by a lock on a file, which the system lets go of
/// when its holder is killed.
///
/// Whoever has the same name has the same file: the name is made of the machine and of the file's place.
struct BuildTurns: Sendable {
    /// 16 hexadecimal digits.
    let name: String
    private let path: String?

    /// The turns of a project's image among the loopds that remember things in `stateDirectory`; where that cannot be
    /// written, nobody waits.
    init(of image: String, in project: String, stateDirectory: String) {
        let folder = "\(stateDirectory)/builds"
        let digest = SHA256Digest(of: Array("\(project)\0\(image)".utf8)).hex.prefix(32)
        let isThere = [stateDirectory, folder].allSatisfy { (path: String) in
            mkdir(path, 0o700) == 0 || errno == EEXIST
        }
        path = isThere ? "\(folder)/\(digest).lock" : nil
        // Homes of several machines may be one folder, and containers have the same folders.
        name = String(SHA256Digest(of: Array("\(BuildTurns.machine)\0\(folder)\0\(digest)".utf8)).hex.prefix(16))
    }

    /// What tells this machine from others.
    private static var machine: String {
        var host = [CChar](repeating: 0, count: 256)
        gethostname(&host, host.count - 1)
        let name = String(decoding: host.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let id = (try? SmallFile.read("/etc/machine-id", limit: 256)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return "\(name)\0\(id)"
    }

    /// Runs `body` while no other build does; `onWait` is called once where that takes a while.
    func take<Result: Sendable>(
        onWait: () -> Void, body: () async throws -> Result
    ) async throws -> Result {
        guard let path else { return try await body() }
        let raw = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return try await body() }
        defer { close(raw) }
        var isTold = false
        // A file system without locks has no turns either.
        while flock(raw, LOCK_EX | LOCK_NB) != 0, errno == EWOULDBLOCK || errno == EINTR {
            if !isTold { onWait() }
            isTold = true
            // A wait inside flock could not be cancelled.
            try await Task.sleep(for: .milliseconds(100))
        }
        return try await body()
    }
}
