internal import Glibc
internal import Reactor

/// Files by names: a tar archive, or a folder.
protocol BlobFolder: Sendable {
    /// Where a file's bytes are; `nil` where there is no such file.
    func content(_ name: String) async throws -> (file: OpenFile, offset: Int64, size: Int64)?
}

extension BlobFolder {
    /// A whole small file; `nil` where there is none.
    func document(_ name: String, limit: Int64) async throws -> [UInt8]? {
        guard let place = try await content(name) else { return nil }
        guard place.size <= limit else {
            throw ContentProblem("\"\(name.prefix(200))\" has \(place.size) bytes, more than any such file needs")
        }
        return try await place.file.read(at: place.offset, count: Int(place.size))
    }
}

/// A tar archive whose files are read where they are.
struct TarFile: BlobFolder {
    let file: OpenFile
    let index: TarIndex

    func content(_ name: String) async throws -> (file: OpenFile, offset: Int64, size: Int64)? {
        index.file(name).map { (file, $0.offset, $0.size) }
    }
}

/// A folder on disk.
struct LayoutFolder: BlobFolder {
    let path: String

    /// `nil` where the path is no folder; blocks.
    init?(_ path: String) throws(SystemError) {
        var about = stat()
        guard stat(path, &about) == 0 else { throw .last("open \(path)") }
        guard about.st_mode & S_IFMT == S_IFDIR else { return nil }
        self.path = path
    }

    func content(_ name: String) async throws -> (file: OpenFile, offset: Int64, size: Int64)? {
        try await offPool {
            let file: OpenFile
            do {
                file = try OpenFile("\(path)/\(name)")
            } catch let error as SystemError where error.code == ENOENT {
                return nil
            }
            let status = try file.status()
            guard status.isRegular else { throw ContentProblem("\"\(name)\" is not an ordinary file") }
            return (file, 0, status.size)
        }
    }
}
