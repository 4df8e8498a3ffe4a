internal import Glibc
internal import Reactor

/// A folder that only this user can look into, gone with this object.
final class PrivateFolder: Sendable {
    let path: String
    private static let names = ["body", "output"]

    init(in parent: String) throws(SystemError) {
        var name = Array("\(parent)/loopd-oci-XXXXXX".utf8CString)
        let isMade = name.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { mkdtemp($0) != nil } ?? false
        }
        guard isMade else { throw .last("make a folder in \(parent)") }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    deinit {
        for name in PrivateFolder.names { _ = unlink("\(path)/\(name)") }
        _ = rmdir(path)
    }

    /// Where a body to send is.
    var body: String { "\(path)/body" }
    /// Where an answer goes.
    var output: String { "\(path)/output" }
}

/// A new file that an answer goes to.
final class OutputFile: Sendable {
    let path: String
    private let folder: PrivateFolder
    private let descriptor: Int32

    init(in parent: String) throws(SystemError) {
        folder = try PrivateFolder(in: parent)
        path = folder.output
        descriptor = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .last("create \(path)") }
    }

    deinit { close(descriptor) }

    /// How many bytes it has.
    var size: Int64 {
        var about = stat()
        return fstat(descriptor, &about) == 0 ? Int64(about.st_size) : 0
    }

    /// Keeps its beginning, and appends there from now on.
    func cut(to size: Int64) throws(SystemError) {
        guard ftruncate(descriptor, off_t(size)) == 0, lseek(descriptor, off_t(size), SEEK_SET) >= 0 else {
            throw .last("cut \(path)")
        }
    }

    /// Appends bytes, off the cooperative pool.
    func append(_ bytes: [UInt8]) async throws {
        try await offPool { try OpenFile.write(bytes, to: self.descriptor, self.path) }
    }

    /// The file for reading; it needs no name any more.
    func reopened() throws(SystemError) -> OpenFile { try OpenFile(path) }
}
