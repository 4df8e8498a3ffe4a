internal import Glibc
internal import Reactor

/// A tar archive that is not written down: any part of it can be read, which brings the files' bytes from disk.
struct TarPlan: Sendable {
    private enum Part: Sendable {
        case bytes([UInt8])
        case file(DiskFile)
    }
    private var parts: [Part] = []
    /// Where each part begins.
    private var starts: [Int64] = []
    /// In bytes.
    private(set) var size: Int64 = 0

    /// Plans a layer, looking at every file; blocks.
    init(_ entries: [LayerEntry]) throws(LayerProblem) {
        // What lies between the contents of two files is one part.
        var pending: [UInt8] = []
        for entry in try LayerTree.complete(entries) {
            var fields = TarHeader.Fields(
                path: entry.path, kind: .file, mode: entry.mode ?? 0o644, user: entry.user, group: entry.group)
            switch entry.content {
            case .folder:
                fields.kind = .folder
                fields.path.append(UInt8(ascii: "/"))
                fields.mode = entry.mode ?? 0o755
                pending += TarHeader.bytes(fields)
            case .link(let target):
                fields.kind = .link
                fields.target = target
                fields.mode = 0o777
                pending += TarHeader.bytes(fields)
            case .bytes(let bytes):
                fields.size = Int64(bytes.count)
                pending += TarHeader.bytes(fields)
                pending += bytes
                pending += TarHeader.padding(after: fields.size)
            case .file(let path):
                let file = try DiskFile(path)
                fields.size = file.size
                fields.mode = entry.mode ?? (file.isExecutable ? 0o755 : 0o644)
                pending += TarHeader.bytes(fields)
                add(.bytes(pending), count: Int64(pending.count))
                add(.file(file), count: file.size)
                pending = TarHeader.padding(after: file.size)
            }
        }
        pending += TarHeader.end
        add(.bytes(pending), count: Int64(pending.count))
    }

    private mutating func add(_ part: Part, count: Int64) {
        guard count > 0 else { return }
        parts.append(part)
        starts.append(size)
        size += count
    }

    /// At most `count` bytes from `offset` on, fewer only at the end; reads off the cooperative pool.
    ///
    /// Throws `LayerProblem.changed` for a file that is not what it was when the layer was planned.
    func read(at offset: Int64, count: Int) async throws -> [UInt8] {
        let count = Int(min(Int64(count), size - offset))
        guard count > 0 else { return [] }
        return try await offPool { try self.readNow(at: offset, count: count) }
    }

    private func readNow(at offset: Int64, count: Int) throws -> [UInt8] {
        var failure: LayerProblem?
        let bytes = [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
            var index = place(of: offset)
            while filled < count {
                let inside = offset + Int64(filled) - starts[index]
                let end = index + 1 < starts.count ? starts[index + 1] : size
                let wanted = Int(min(Int64(count - filled), end - starts[index] - inside))
                let room = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[filled..<filled + wanted])
                switch parts[index] {
                case .bytes(let bytes):
                    bytes.withUnsafeBytes {
                        room.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[Int(inside)..<Int(inside) + wanted]))
                    }
                case .file(let file):
                    do throws(LayerProblem) {
                        try file.read(at: inside, into: room)
                    } catch {
                        failure = error
                        return
                    }
                }
                filled += wanted
                index += 1
            }
        }
        if let failure { throw failure }
        return bytes
    }

    /// The part that holds a byte.
    private func place(of offset: Int64) -> Int {
        var low = 0
        var high = starts.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if starts[middle] <= offset { low = middle } else { high = middle }
        }
        return low
    }
}

/// A file of a layer as it was when the layer was planned.
private struct DiskFile: Sendable {
    let path: [CChar]
    let size: Int64
    let isExecutable: Bool
    private let identity: Identity

    private struct Identity: Equatable {
        let device: UInt64
        let inode: UInt64
        let size: Int64
        let seconds: Int
        let nanoseconds: Int

        init(_ about: stat) {
            device = UInt64(about.st_dev)
            inode = UInt64(about.st_ino)
            size = Int64(about.st_size)
            seconds = Int(about.st_mtim.tv_sec)
            nanoseconds = Int(about.st_mtim.tv_nsec)
        }
    }

    init(_ path: [UInt8]) throws(LayerProblem) {
        self.path = path.map { CChar(bitPattern: $0) } + [0]
        var about = stat()
        guard stat(self.path, &about) == 0 else { throw DiskFile.problem("read", path, errno) }
        guard about.st_mode & S_IFMT == S_IFREG else {
            throw .unreadable("\(String(decoding: path, as: UTF8.self)) is not an ordinary file")
        }
        size = Int64(about.st_size)
        isExecutable = about.st_mode & S_IXUSR != 0
        identity = Identity(about)
    }

    func read(at offset: Int64, into buffer: UnsafeMutableRawBufferPointer) throws(LayerProblem) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)
        guard descriptor >= 0 else { throw errno == ENOENT ? changed : DiskFile.problem("open", name, errno) }
        defer { close(descriptor) }
        var about = stat()
        guard fstat(descriptor, &about) == 0, Identity(about) == identity else { throw changed }
        var done = 0
        while done < buffer.count {
            let got = pread(
                descriptor, buffer.baseAddress?.advanced(by: done), buffer.count - done, off_t(offset) + off_t(done))
            if got > 0 {
                done += got
            } else if got == 0 {
                throw changed
            } else if errno != EINTR {
                throw DiskFile.problem("read", name, errno)
            }
        }
    }

    private var name: [UInt8] { path.dropLast().map { UInt8(bitPattern: $0) } }
    private var changed: LayerProblem { .changed(String(decoding: name, as: UTF8.self)) }

    private static func problem(_ what: String, _ path: [UInt8], _ code: Int32) -> LayerProblem {
        .unreadable("\(SystemError(code: code, attempt: "\(what) \(String(decoding: path, as: UTF8.self))"))")
    }
}
