internal import CHash
internal import Glibc
internal import JSON
internal import Reactor

/// Which tags by content this project has pushed, in a file that outlives loopd: only those are its to delete.
///
/// A file that cannot be read or written costs the memory, and with it only that something is kept.
struct PushedTags: Sendable {
    /// More tags of one repository are not remembered: the oldest are kept in the registry for ever.
    static let limit = 200

    private let path: String?
    /// By repository as this machine names it (`localhost:5000/web`), the newest tag last.
    private(set) var tags: [String: [String]]

    /// Reads the file; `nil` remembers nothing.
    init(path: String?) {
        self.path = path
        let saved = path.flatMap { try? SmallFile.read($0, limit: 4 << 20) }.flatMap { try? JSON(parsing: $0) }
        tags = (saved?["repositories"]?.object ?? JSONObject()).reduce(into: [:]) { tags, member in
            tags[member.key] = member.value.array?.compactMap(\.string).filter(ImagePruning.isOwn) ?? []
        }
    }

    /// Takes a tag that was pushed; of one that was there already, only its place among those that it knows.
    mutating func remember(_ tag: String, in repository: String, isNew: Bool) {
        var known = tags[repository] ?? []
        guard isNew || known.contains(tag), known.last != tag else { return }
        known.removeAll { $0 == tag }
        known.append(tag)
        tags[repository] = known.suffix(PushedTags.limit)
        save()
    }

    /// Forgets tags that are gone.
    mutating func forget(_ gone: some Sequence<String>, in repository: String) {
        let gone = Set(gone)
        guard let known = tags[repository], known.contains(where: gone.contains) else { return }
        tags[repository] = known.filter { !gone.contains($0) }
        save()
    }

    /// The file appears as a whole, so that a killed loopd leaves the old one or the new one.
    private func save() {
        guard let path else { return }
        let repositories = tags.sorted { $0.key < $1.key }.map { (key: $0.key, value: JSON.array($0.value.map(JSON.string))) }
        var object = JSONObject()
        for (key, value) in repositories { object[key] = value }
        let draft = "\(path).\(getpid())"
        let raw = open(draft, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return }
        let bytes = (["repositories": .object(object)] as JSON).bytes
        let written = bytes.withUnsafeBytes { write(raw, $0.baseAddress, $0.count) }
        close(raw)
        if written != bytes.count || rename(draft, path) != 0 { unlink(draft) }
    }
}
