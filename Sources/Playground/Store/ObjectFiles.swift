internal import Glibc
internal import JSON
internal import Reactor

/// The store's copy on disk: one file an object, replaced by rename, and the version counter.
///
/// Files are not synced to the medium: they survive a killed process, which is what the playground promises, not a power cut.
final class ObjectFiles {
    private let directory: String
    /// The version at which this run started: nothing before it can be watched.
    let firstVersion: UInt64
    /// Versions below this are ours to give; it is on disk before any of them is given.
    private(set) var reservedVersion: UInt64 = 0
    private static let reservation: UInt64 = 10_000

    init(directory: String) throws {
        self.directory = directory
        try FileTree.makeDirectories(directory)
        try FileTree.makeDirectories("\(directory)/tmp")
        let saved = FileTree.read("\(directory)/version").flatMap { UInt64(String(decoding: $0, as: UTF8.self)) }
        firstVersion = saved ?? 0
        try reserveVersions(after: firstVersion)
    }

    /// Reserves the next versions on disk.
    ///
    /// A restart goes on behind the reservation, so that a version is never given twice, and the counter costs one write
    /// in ten thousand changes.
    func reserveVersions(after version: UInt64) throws {
        reservedVersion = version + ObjectFiles.reservation
        try replace("\(directory)/version", with: Array(String(reservedVersion).utf8))
    }

    func load(_ kind: ResourceKind) throws -> [JSON] {
        var objects: [JSON] = []
        let root = "\(directory)/\(kind.qualifiedName)"
        for namespace in FileTree.names(in: root) {
            for name in FileTree.names(in: "\(root)/\(namespace)") {
                // A rename is whole or did not happen: anything unreadable here is not ours.
                guard let bytes = FileTree.read("\(root)/\(namespace)/\(name)"), let object = try? JSON(parsing: bytes)
                else { continue }
                objects.append(object)
            }
        }
        return objects
    }

    /// Writes an object's file; returns its size.
    func save(_ object: JSON, _ kind: ResourceKind, _ key: ObjectStore.Key) throws -> Int {
        let folder = folder(kind, key)
        try FileTree.makeDirectories(folder)
        let bytes = object.bytes
        try replace("\(folder)/\(key.name)", with: bytes)
        return bytes.count
    }

    func remove(_ kind: ResourceKind, _ key: ObjectStore.Key) throws {
        let path = "\(folder(kind, key))/\(key.name)"
        guard unlink(path) == 0 || errno == ENOENT else { throw SystemError.last("unlink \(path)") }
    }

    private func folder(_ kind: ResourceKind, _ key: ObjectStore.Key) -> String {
        "\(directory)/\(kind.qualifiedName)/\(key.namespace.isEmpty ? "_" : key.namespace)"
    }

    private func replace(_ path: String, with bytes: [UInt8]) throws {
        // One writer under the store's lock: one name for the file that is being written is enough.
        let temporary = "\(directory)/tmp/next"
        do {
            try FileTree.write(bytes, to: temporary)
        } catch {
            // On a full disk its first half would take the room that a removal makes.
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else { throw SystemError.last("rename \(path)") }
    }
}
