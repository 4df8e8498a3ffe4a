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

    /// Where a mounted volume lies, and what of it.
    private struct Mount {
        let volume: String
        /// As in the container.
        let mountPath: String
        let path: String
        let subPath: String
    }

    /// Writes the files of a container's mounts below `folder`, which nobody else may enter, or brings them up to date.
    ///
    /// Blocks for as long as the disk does.
    init(_ references: PodReferences, variables: PodEnvironment, tokens: [TokenWish: String], into folder: String)
        throws
    {
        root = folder
        self.variables["LOOPD_ROOT"] = folder
        guard mkdir(folder, 0o700) == 0 || errno == EEXIST else { throw SystemError.last("mkdir \(folder)") }
        var contents: [String: VolumeContent] = [:]
        for volume in references.mountedVolumes {
            contents[volume["name"]?.string ?? ""] = try references.content(of: volume, tokens: tokens)
        }
        let mounts = try references.mounts.map { try mount($0, variables) }
        var missing: [String] = []
        var placed: Set<String> = []
        // A mount within another one comes after it.
        for mount in mounts.sorted(by: { ($0.path.utf8.count, $0.path) < ($1.path.utf8.count, $1.path) }) {
            var isPlaced = false
            var type = ""
            switch contents[mount.volume] {
            case .elsewhere(let kind)?: type = "\(kind) "
            case .empty?: isPlaced = makeFolder(mount.path)
            case .files(let files)?: isPlaced = try place(files, mount)
            case nil: break
            }
            if isPlaced {
                placed.insert(mount.path)
            } else {
                missing.append("\(mount.mountPath) (\(type)\(mount.volume))")
            }
        }
        // The first mount of a volume names it, and one of the whole volume before one of a part.
        for mount in mounts.filter(\.subPath.isEmpty) + mounts.filter({ !$0.subPath.isEmpty })
        where placed.contains(mount.path) {
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

    /// Writes what a mount shows; false where that is nothing, or another volume's file is in the way.
    private func place(_ files: [VolumeFile], _ mount: Mount) throws -> Bool {
        if mount.subPath.isEmpty {
            guard makeFolder(mount.path) else { return false }
            try ContentFolder(path: mount.path).write(files)
            return true
        }
        if let file = files.first(where: { $0.path == mount.subPath }) {
            guard makeFolder(PodFiles.parent(of: mount.path)) else { return false }
            var about = stat()
            // As in the pod: what is mounted alone stays as it was at first.
            if lstat(mount.path, &about) != 0 { try ContentFolder.replace(file, at: mount.path) }
            return true
        }
        let inner = try files.filter { $0.path.hasPrefix(mount.subPath + "/") }.map { file in
            try VolumeFile(
                String(file.path.dropFirst(mount.subPath.count + 1)), file.content, mode: Int64(file.mode))
        }
        guard !inner.isEmpty, makeFolder(mount.path) else { return false }
        try ContentFolder(path: mount.path).write(inner)
        return true
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
