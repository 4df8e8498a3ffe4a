internal import Watcher
internal import Wire

/// What has to happen in one destination of one container so that it holds what it should: a pure function of both trees.
struct TreeDiff: Equatable, Sendable {
    /// Places to bring up to date, and how.
    var needs: [RelativePath: Need] = [:]
    /// Places where the container has a folder in a file's place, or the reverse.
    var replaced: Set<RelativePath> = []
    /// Files of the same size: equal only if their hashes are.
    var doubtful: [RelativePath] = []
    /// What is only in the container and not ours to delete; of a folder, only its top.
    var leftAlone: [RelativePath] = []

    /// Compares a container's tree with what it should hold.
    ///
    /// - Parameters:
    ///   - wanted: what should be there.
    ///   - present: what is there.
    ///   - gone: what was once here and must not be there any more.
    ///   - ours: whether loopd itself wrote a path, so that its modification time is ours to keep.
    ///   - mirror: whether everything else there is deleted.
    init(
        wanted: [RelativePath: LocalEntry], present: [RelativePath: Entry], gone: Set<RelativePath>,
        ours: (RelativePath) -> Bool, mirror: Bool
    ) {
        for (path, local) in wanted {
            guard let remote = present[path] else {
                needs[path] = .everything
                continue
            }
            compare(path, local, remote, isOurs: ours(path))
        }
        for path in present.keys where wanted[path] == nil {
            if gone.contains(path) || mirror {
                needs[path] = .everything
            } else if isTop(path, wanted) {
                leftAlone.append(path)
            }
        }
        leftAlone.sort()
        doubtful.sort()
    }

    private mutating func compare(_ path: RelativePath, _ local: LocalEntry, _ remote: Entry, isOurs: Bool) {
        switch (local.kind, remote.kind) {
        case (.folder, .folder): return
        case (.link(let target), .link) where target == remote.target: return
        case (.file(let size), .file) where UInt64(size) == remote.stamp.size:
            if size > 0 { doubtful.append(path) }
            let sameTime = !isOurs || local.modified == remote.stamp.modified
            if !sameTime || local.mode & 0o111 != remote.mode & 0o111 { needs[path] = .metadata }
        default:
            needs[path] = .everything
            if local.isFolder != (remote.kind == .folder) { replaced.insert(path) }
        }
    }

    /// Whether the folder above is one that we know, so that this is the first strange thing on the way down.
    private func isTop(_ path: RelativePath, _ wanted: [RelativePath: LocalEntry]) -> Bool {
        guard let parent = path.parent, !parent.isRoot else { return true }
        return wanted[parent] != nil
    }
}
