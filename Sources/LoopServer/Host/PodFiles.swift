internal import Glibc
internal import JSON
internal import Reactor

/// The files of a pod's volumes on this machine, below one folder as the container has them below `/`.
///
/// Only this user can read them. What only the pod has (a disk of its own, a folder of its node) is not there.
struct PodFiles: Sendable {
    /// The folder that stands for the container's `/`.
    let root: String
    /// `LOOPD_ROOT`, and for each volume `LOOPD_VOLUME_` with its name.
    private(set) var variables: [String: String] = [:]
    /// What is not there, one line each.
    private(set) var notices: [String] = []
    /// What has been written, by its path.
    private var places: [String: Place] = [:]
    /// The pod that it is of, or that was before a template; `nil` where there was none.
    private let pod: String?

    /// Where a mounted volume lies, and what of it.
    private struct Mount: Equatable {
        let volume: String
        /// As in the container.
        let mountPath: String
        let path: String
        let subPath: String
    }

    /// What a mount shows here.
    private enum Place: Equatable {
        /// A folder with files of a volume.
        case folder
        /// One file of a volume.
        case file(Mount)
        /// A folder for the process, whose files stay as long as it is this mount's.
        case empty(Mount)

        /// Whether the other one becomes this when this is written, and need not go before.
        func follows(_ other: Place) -> Bool {
            switch (self, other) {
            case (.folder, .folder), (.file, .file): true
            case (.empty(let mount), .empty(let earlier)): mount == earlier
            default: false
            }
        }
    }

    /// Writes the files of a container's mounts below `folder`, which nobody else may enter, or brings them up to date.
    ///
    /// What `earlier` has written there and this pod does not have is removed. Blocks for as long as the disk does.
    init(
        _ references: PodReferences, variables: PodEnvironment, tokens: [TokenWish: String], into folder: String,
        after earlier: PodFiles? = nil
    ) throws {
        root = folder
        let uid = references.pod.at("metadata", "uid")?.string
        pod = uid ?? earlier?.pod
        self.variables["LOOPD_ROOT"] = folder
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(folder)") }
        var contents: [String: VolumeContent] = [:]
        for volume in references.mountedVolumes {
            contents[volume["name"]?.string ?? ""] = try references.content(of: volume, tokens: tokens)
        }
        let mounts = try references.mounts.map { try mount($0, variables) }
        var wanted: [String: (place: Place, files: [VolumeFile])] = [:]
        for mount in mounts { wanted[mount.path] = try PodFiles.place(of: mount, in: contents[mount.volume]) }
        places = earlier?.places ?? [:]
        // The mounts of one pod never change; and a template does not have all that pods of it get.
        if uid == nil ? earlier?.pod == nil : uid != earlier?.pod { removeObsolete(wanted.mapValues(\.place)) }
        var missing: [String] = []
        // A mount within another one comes after it.
        for mount in mounts.sorted(by: { ($0.path.utf8.count, $0.path) < ($1.path.utf8.count, $1.path) }) {
            if let (place, files) = wanted[mount.path], try write(place, files, to: mount.path, after: earlier) {
                places[mount.path] = place
            } else {
                var type = ""
                if case .elsewhere(let kind)? = contents[mount.volume] { type = "\(kind) " }
                missing.append("\(mount.mountPath) (\(type)\(mount.volume))")
            }
        }
        // The first mount of a volume names it, and one of the whole volume before one of a part.
        for mount in mounts.filter(\.subPath.isEmpty) + mounts.filter({ !$0.subPath.isEmpty })
        where places[mount.path] != nil {
            name(mount)
        }
        if !missing.isEmpty { notices.append("only in the pod: \(missing.joined(separator: ", "))") }
    }

    private func mount(_ mount: JSON, _ variables: PodEnvironment) throws -> Mount {
        let mountPath = mount["mountPath"]?.string ?? ""
        let expression = mount["subPathExpr"]?.string.map { VariableExpansion.expand($0) { variables[$0] } }
        let subPath = PodFiles.parts(mount["subPath"]?.string ?? expression ?? "")
        let parts = PodFiles.parts(mountPath)
        guard let parts, let subPath else {
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "the pod mounts a volume at \"\(mountPath)\", which leads elsewhere: not written"))
        }
        return Mount(
            volume: mount["name"]?.string ?? "", mountPath: mountPath,
            path: ([root] + parts).joined(separator: "/"), subPath: subPath.joined(separator: "/"))
    }

    /// The names of a path; `nil` where one of them leads up.
    private static func parts(_ path: String) -> [String]? {
        let parts = path.split(separator: "/").map(String.init).filter { $0 != "." }
        return parts.contains("..") || path.utf8.contains(0) ? nil : parts
    }

    /// What a mount shows of its volume; `nil` where that is nothing that can be here.
    private static func place(
        of mount: Mount, in content: VolumeContent?
    ) throws -> (place: Place, files: [VolumeFile])? {
        switch content {
        case .elsewhere?, nil: return nil
        case .empty?: return (.empty(mount), [])
        case .files(let files)? where mount.subPath.isEmpty: return (.folder, files)
        case .files(let files)?:
            if let file = files.first(where: { $0.path == mount.subPath }) { return (.file(mount), [file]) }
            let inner = try files.filter { $0.path.hasPrefix(mount.subPath + "/") }.map { file in
                try VolumeFile(
                    String(file.path.dropFirst(mount.subPath.count + 1)), file.content, mode: Int64(file.mode))
            }
            return inner.isEmpty ? nil : (.folder, inner)
        }
    }

    /// Writes what a mount shows; false where something else is in the way.
    private func write(
        _ place: Place, _ files: [VolumeFile], to path: String, after earlier: PodFiles?
    ) throws -> Bool {
        switch place {
        case .empty: return makeFolder(path)
        case .folder:
            guard makeFolder(path) else { return false }
            try ContentFolder(path: path).write(files)
        case .file:
            guard makeFolder(PodFiles.parent(of: path)) else { return false }
            var about = stat()
            if lstat(path, &about) == 0 {
                // As in the pod: what is mounted alone stays as it was at first.
                if pod != nil, earlier?.pod == pod, earlier?.places[path] == place { return true }
                guard about.st_mode & S_IFMT != S_IFDIR else { return false }
            }
            for file in files { try ContentFolder.replace(file, at: path) }
        }
        return true
    }

    /// Removes what lies at mounts that are not wanted any more, with all that is in it but for the mounts that are.
    private mutating func removeObsolete(_ wanted: [String: Place]) {
        let obsolete = places.filter { wanted[$0.key]?.follows($0.value) != true }.keys
        for path in obsolete { places[path] = nil }
        let staying = Set(places.keys)
        // Behind a link of the process's there is nothing of the pod's.
        for path in obsolete where makeFolder(PodFiles.parent(of: path)) {
            PodFiles.remove(path, keeping: staying)
            // The folders that were made for it, unless there is something else in them.
            var parent = PodFiles.parent(of: path)
            while parent != root, !staying.contains(parent), rmdir(parent) == 0 { parent = PodFiles.parent(of: parent) }
        }
    }

    private static func remove(_ path: String, keeping staying: Set<String>) {
        var about = stat()
        guard !staying.contains(path), lstat(path, &about) == 0 else { return }
        // What is behind a link is not the pod's, also where the link itself cannot be removed.
        guard about.st_mode & S_IFMT == S_IFDIR else {
            unlink(path)
            return
        }
        guard staying.contains(where: { $0.hasPrefix(path + "/") }) else { return SocketDirectory.remove(path) }
        for name in SocketDirectory.names(in: path) { remove("\(path)/\(name)", keeping: staying) }
    }

    /// Notes where a volume is, unless that is known.
    private mutating func name(_ mount: Mount) {
        let word = mount.volume.uppercased().map { $0 == "-" || $0 == "." ? "_" : $0 }
        let name = "LOOPD_VOLUME_\(String(word))"
        if variables[name] == nil { variables[name] = mount.path }
    }

    private static func parent(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)])
    }

    /// Makes a folder and those around it below the root; false where something else is there.
    private func makeFolder(_ path: String) -> Bool {
        var place = root
        for part in path.dropFirst(root.count).split(separator: "/") {
            place += "/\(part)"
            if mkdir(place, 0o700) == 0 { continue }
            var about = stat()
            // A link is another volume's: it may go with the next change of that one.
            guard errno == EEXIST, lstat(place, &about) == 0, about.st_mode & S_IFMT == S_IFDIR else { return false }
        }
        return true
    }
}
