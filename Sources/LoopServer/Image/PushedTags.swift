internal import Glibc
internal import JSON
internal import Reactor

/// Which tags by content a project has on a cluster, in a file that outlives loopd, and which of them it has pushed itself:
/// only those are its to delete.
///
/// A file that cannot be read or written costs the memory, and with it only that something is kept.
struct PushedTags: Sendable {
    /// A tag, and whether this project brought it to the registry: what was there may be somebody else's.
    struct Entry: Equatable, Sendable {
        let tag: String
        var isOurs: Bool
    }

    /// More tags of one repository are not remembered: the oldest are kept in the registry for ever.
    static let limit = 200

    private let path: String?
    /// By repository as this machine names it (`localhost:5000/web`), the newest tag last.
    private(set) var tags: [String: [Entry]]

    /// Reads the file; `nil` remembers nothing.
    init(path: String?) {
        self.path = path
        tags = path.map(PushedTags.read) ?? [:]
    }

    /// The file of a project on a cluster, by what tells it from others; `nil` where its folder cannot be made.
    static func path(of project: String, on cluster: [String], in stateDirectory: String) -> String? {
        let folder = "\(stateDirectory)/images"
        for path in [stateDirectory, folder] where mkdir(path, 0o700) != 0 && errno != EEXIST { return nil }
        let digest = SHA256Digest(of: Array(([project] + cluster).joined(separator: "\0").utf8))
        return "\(folder)/\(digest.hex.prefix(32)).json"
    }

    /// Takes the newest tag of a repository.
    ///
    /// - Parameter isNew: whether the registry did not have it before.
    mutating func remember(_ tag: String, in repository: String, isNew: Bool) {
        var known = tags[repository] ?? []
        let before = known.firstIndex { $0.tag == tag }.map { known.remove(at: $0) }
        known.append(Entry(tag: tag, isOurs: isNew || before?.isOurs ?? false))
        guard known != tags[repository] else { return }
        tags[repository] = known.suffix(PushedTags.limit)
        save()
    }

    /// Forgets tags.
    mutating func forget(_ gone: Set<String>, in repository: String) {
        guard let known = tags[repository], known.contains(where: { gone.contains($0.tag) }) else { return }
        tags[repository] = known.filter { !gone.contains($0.tag) }
        save()
    }

    /// The tags of a repository that other projects of this user have, or this one on other clusters.
    func others(of repository: String) -> Set<String> {
        guard let path, let slash = path.lastIndex(of: "/"), let folder = opendir(String(path[..<slash])) else {
            return []
        }
        defer { closedir(folder) }
        var tags: Set<String> = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            let other = "\(path[..<slash])/\(name)"
            guard name.hasSuffix(".json"), other != path else { continue }
            tags.formUnion((PushedTags.read(other)[repository] ?? []).map(\.tag))
        }
        return tags
    }

    private static func read(_ path: String) -> [String: [Entry]] {
        guard let bytes = try? SmallFile.read(path, limit: 4 << 20), let saved = try? JSON(parsing: bytes) else {
            return [:]
        }
        return (saved["repositories"]?.object ?? JSONObject()).reduce(into: [:]) { tags, member in
            tags[member.key] = (member.value.array ?? []).compactMap { entry in
                guard let tag = entry["tag"]?.string, ImagePruning.isOwn(tag) else { return nil }
                return Entry(tag: tag, isOurs: entry["pushed"]?.bool ?? false)
            }
        }
    }

    /// The file appears as a whole, so that a killed loopd leaves the old one or the new one.
    private func save() {
        guard let path else { return }
        var repositories = JSONObject()
        for (repository, entries) in tags.sorted(by: { $0.key < $1.key }) {
            repositories[repository] = .array(entries.map { ["tag": .string($0.tag), "pushed": .bool($0.isOurs)] })
        }
        let draft = "\(path).\(getpid())"
        let raw = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return }
        let bytes = (["repositories": .object(repositories)] as JSON).bytes
        let written = bytes.withUnsafeBytes { write(raw, $0.baseAddress, $0.count) }
        close(raw)
        if written != bytes.count || rename(draft, path) != 0 { unlink(draft) }
    }
}
