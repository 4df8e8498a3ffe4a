internal import Glibc
internal import Reactor

/// Archives that went through `gzip`.
enum Decompression {
    /// What an archive may have once it is unpacked: more is a mistake, or an attack on the disk.
    static let limit: Int64 = 64 << 30

    /// The archive as it is, or unpacked into a file without a name.
    static func plain(_ path: String, temporaryFolder: String, limit: Int64 = limit) async throws -> OpenFile {
        let (file, head) = try await offPool {
            let file = try OpenFile(path)
            let status = try file.status()
            guard status.isRegular else { throw ContentProblem("not an ordinary file") }
            return (file, try file.readNow(at: 0, count: Int(min(6, status.size))))
        }
        if head.starts(with: [0x28, 0xB5, 0x2F, 0xFD]) {
            throw ContentProblem("the archive went through zstd; unpack it before, or use gzip")
        }
        if head.starts(with: [0xFD, 0x37, 0x7A, 0x58, 0x5A]) {
            throw ContentProblem("the archive went through xz; unpack it before, or use gzip")
        }
        guard head.starts(with: [0x1F, 0x8B]) else { return file }
        return try await unpacked(path, temporaryFolder: temporaryFolder, limit: limit)
    }

    /// `gzip` ends when nobody reads what it prints, so it does not outlive this process.
    private static func unpacked(_ path: String, temporaryFolder: String, limit: Int64) async throws -> OpenFile {
        let target = try await offPool { try OpenFile(temporaryIn: temporaryFolder) }
        let source = open(path, O_RDONLY | O_CLOEXEC)
        guard source >= 0 else { throw SystemError.last("open \(path)") }
        let input = OwnedDescriptor(source)
        var launch = Launch(["gzip", "-dc"])
        launch.standardInput = .descriptor(source)
        launch.standardOutput = .pipe
        launch.standardError = .null
        let child: Child
        do {
            child = try await Child.spawn(launch)
        } catch let error as SystemError where error.code == ENOENT {
            throw ContentProblem("the archive went through gzip, which is not installed")
        }
        _ = consume input
        do {
            var size: Int64 = 0
            var pending: [UInt8] = []
            while true {
                let bytes = try await child.standardOutput?.read(upTo: 256 << 10) ?? []
                pending += bytes
                size += Int64(bytes.count)
                guard size <= limit else { throw ContentProblem("the archive unpacks to more than \(limit) bytes") }
                if pending.count >= Blob.piece || bytes.isEmpty {
                    let piece = pending
                    try await offPool { try target.writeNow(piece) }
                    pending.removeAll(keepingCapacity: true)
                }
                if bytes.isEmpty { break }
            }
        } catch {
            child.signal(SIGKILL)
            child.standardOutput?.close()
            _ = await child.wait()
            throw error
        }
        guard await child.wait().isSuccess else { throw ContentProblem("the archive is broken: gzip cannot unpack it") }
        return target
    }
}
