internal import Watcher
internal import Wire

/// What tells that a file which a build made is the same as before: its bytes, and who may execute it.
struct Landed: Equatable {
    private let digest: SHA256Digest
    private let executable: UInt32

    init(_ digest: SHA256Digest, _ entry: LocalEntry) {
        self.digest = digest
        executable = entry.mode & 0o111
    }

    /// `nil` where nobody has read it yet.
    init?(_ item: SourceIndex.Item) {
        guard let digest = item.digest else { return nil }
        self.init(digest, item.entry)
    }
}

/// What lies where the outputs of builds go.
extension ServiceLane {
    /// Looks at places that a build brings up for the first time: the comparison knew nothing of them, because a first build
    /// often takes longer than the way into a container.
    ///
    /// What is there already is not brought, nor taken up, again; of another large file only the blocks travel that differ.
    func lookAtOutputs(in replica: Replica, _ access: any ContainerAccess) async throws {
        var unknown: [Int: [RelativePath]] = [:]
        for (place, need) in replica.work.needs where need == .everything {
            guard let item = index.items[place], item.isOutput, case .file = item.entry.kind,
                replica.landed[place] == nil, !replica.blocked.contains(place.destination),
                replica.looked.insert(place).inserted
            else { continue }
            unknown[place.destination, default: []].append(place.path)
        }
        for (destination, paths) in unknown {
            guard let present = try await access.list(destination: destination, paths: paths) else { continue }
            let alike = paths.filter { path in
                guard let local = index.items[Place(destination: destination, path: path)]?.entry,
                    case .file(let size) = local.kind, let there = present[path], there.kind == .file
                else { return false }
                return there.stamp.size == UInt64(size) && there.mode & 0o111 == local.mode & 0o111
            }
            guard !alike.isEmpty else { continue }
            for (path, digest) in try await access.digests(destination: destination, of: alike) {
                let place = Place(destination: destination, path: path)
                guard replica.landed[place] == nil, let entry = index.items[place]?.entry else { continue }
                replica.landed[place] = Landed(digest, entry)
            }
        }
    }
}
