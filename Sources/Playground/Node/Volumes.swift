internal import Glibc
internal import JSON
internal import Reactor

/// The volumes of one pod on disk.
struct Volumes: Sendable {
    let layout: NodeLayout
    let references: References
    let uid: String

    private var fsGroup: UInt32? {
        references.pod.at("spec", "securityContext", "fsGroup")?.integer.flatMap(UInt32.init(exactly:))
    }
    private var specs: [JSON] { references.pod.at("spec", "volumes")?.array ?? [] }

    /// Creates what is missing, and brings ConfigMaps, Secrets and the like up to date.
    ///
    /// May be called at any time.
    func refresh() async throws {
        for spec in specs {
            let name = spec["name"]?.string ?? ""
            do {
                try await refresh(spec, at: layout.volume(name, ofPod: uid))
            } catch {
                throw VolumeError(volume: name, cause: "\(error)")
            }
        }
    }

    /// The names of ConfigMaps and Secrets that the volumes show.
    var sources: Set<String> {
        var names: Set<String> = []
        for spec in specs {
            let parts = [spec] + (spec.at("projected", "sources")?.array ?? [])
            for part in parts {
                if let name =
                    (part.at("configMap", "name") ?? part.at("secret", "secretName") ?? part.at("secret", "name"))?
                    .string
                {
                    names.insert(name)
                }
            }
        }
        return names
    }

    /// Where the volume's content is, and whether containers may never write to it.
    func location(_ name: String) throws -> (path: String, isReadOnly: Bool) {
        guard let spec = specs.first(where: { $0["name"]?.string == name }) else {
            throw ConfigurationError("volume \"\(name)\" not found")
        }
        if let path = spec.at("hostPath", "path")?.string { return (path, false) }
        let isContent = ["configMap", "secret", "downwardAPI", "projected"].contains { spec[$0] != nil }
        return (layout.volume(name, ofPod: uid), isContent)
    }

    private func refresh(_ spec: JSON, at path: String) async throws {
        if let empty = spec["emptyDir"] {
            try prepareEmpty(empty, at: path)
        } else if let host = spec["hostPath"] {
            try checkHost(host)
        } else if let source = spec["configMap"] {
            let files = try await files(of: "configmaps", source, named: "name", defaultMode: mode(source))
            try AtomicFolder(path: path, group: fsGroup).write(files)
        } else if let source = spec["secret"] {
            let files = try await files(of: "secrets", source, named: "secretName", defaultMode: mode(source))
            try AtomicFolder(path: path, group: fsGroup).write(files)
        } else if let source = spec["downwardAPI"] {
            try AtomicFolder(path: path, group: fsGroup).write(fields(source, defaultMode: mode(source)))
        } else if let source = spec["projected"] {
            try AtomicFolder(path: path, group: fsGroup).write(try await projected(source))
        } else {
            let kind = spec.object?.keys.first { $0 != "name" } ?? "none"
            throw ConfigurationError("volumes of type \(kind) are not supported by the playground")
        }
    }

    private func mode(_ source: JSON) -> mode_t {
        mode_t(truncatingIfNeeded: source["defaultMode"]?.integer ?? 0o644) & 0o777
    }

    private func prepareEmpty(_ spec: JSON, at path: String) throws {
        guard !Disk.exists(path) else { return }
        try Disk.makeDirectory(path, mode: 0o777)
        if spec["medium"]?.string == "Memory" {
            let size = spec["sizeLimit"]?.string.flatMap(Quantity.init)?.units
            // Without root there is no tmpfs to mount: the folder on disk does as well, only slower.
            if geteuid() == 0 { try Mounts.memory(at: path, size: size) }
        }
        if let fsGroup {
            guard chown(path, 0, fsGroup) == 0, chmod(path, 0o2777) == 0 else {
                throw SystemError.last("chown \(path)")
            }
        }
    }

    private func checkHost(_ spec: JSON) throws {
        let path = spec["path"]?.string ?? ""
        guard path.hasPrefix("/") else { throw ConfigurationError("hostPath \(path) is not absolute") }
        let type = spec["type"]?.string ?? ""
        switch type {
        case "DirectoryOrCreate": try Disk.makeDirectory(path)
        case "FileOrCreate":
            if !Disk.exists(path) { try Disk.write([], to: path) }
        case "":
            // As the kubelet does: a path that is missing becomes a folder.
            if !Disk.exists(path) { try Disk.makeDirectory(path) }
        default: break
        }
        let kind = Disk.kind(of: path)
        let wanted: [String: Disk.Kind] = [
            "Directory": .directory, "DirectoryOrCreate": .directory, "File": .file, "FileOrCreate": .file,
            "Socket": .socket,
        ]
        if let expected = wanted[type], kind != expected {
            throw ConfigurationError("hostPath type check failed: \(path) is not a \(type.lowercased())")
        }
    }

    private func files(
        of resource: String, _ source: JSON, named key: String, defaultMode: mode_t
    ) async throws -> [AtomicFolder.File] {
        guard let entries = try await references.entries(resource, source, named: key, forFiles: true) else {
            return []
        }
        guard let items = source["items"]?.array else {
            return entries.map { AtomicFolder.File(path: $0.0, content: $0.1, mode: defaultMode) }
        }
        return try items.compactMap { item in
            let wanted = item["key"]?.string ?? ""
            guard let (_, content) = entries.first(where: { $0.0 == wanted }) else {
                if source["optional"]?.bool == true { return nil }
                throw ConfigurationError(
                    "references non-existent \(resource == "secrets" ? "secret" : "config") key: \(wanted)")
            }
            return try file(item, content, defaultMode: defaultMode)
        }
    }

    private func fields(_ source: JSON, defaultMode: mode_t) throws -> [AtomicFolder.File] {
        try (source["items"]?.array ?? []).map { item in
            let text: String
            if let path = item.at("fieldRef", "fieldPath")?.string {
                text = try references.field(path)
            } else {
                text = try references.resource(item["resourceFieldRef"] ?? [:], of: [:])
            }
            return try file(item, Array(text.utf8), defaultMode: defaultMode)
        }
    }

    private func projected(_ source: JSON) async throws -> [AtomicFolder.File] {
        var all: [AtomicFolder.File] = []
        let defaultMode = mode(source)
        for part in source["sources"]?.array ?? [] {
            if let map = part["configMap"] {
                all += try await files(of: "configmaps", map, named: "name", defaultMode: defaultMode)
            } else if let secret = part["secret"] {
                all += try await files(of: "secrets", secret, named: "name", defaultMode: defaultMode)
            } else if let down = part["downwardAPI"] {
                all += try fields(down, defaultMode: defaultMode)
            } else {
                let kind = part.object?.keys.first ?? "none"
                throw ConfigurationError("projected source \(kind) is not supported by the playground")
            }
        }
        // A later source wins, as the kubelet has it.
        var seen: Set<String> = []
        return all.reversed().filter { seen.insert($0.path).inserted }.reversed()
    }

    private func file(_ item: JSON, _ content: [UInt8], defaultMode: mode_t) throws -> AtomicFolder.File {
        let path = item["path"]?.string ?? ""
        guard !path.isEmpty, !path.hasPrefix("/"), !path.split(separator: "/").contains("..") else {
            throw ConfigurationError("path \(path) leaves the volume")
        }
        return AtomicFolder.File(
            path: path, content: content,
            mode: item["mode"]?.integer.map { mode_t(truncatingIfNeeded: $0) & 0o777 } ?? defaultMode)
    }
}

/// A volume that could not be set up; the pod waits for it.
struct VolumeError: Error, CustomStringConvertible {
    let volume: String
    let cause: String
    var description: String { "MountVolume.SetUp failed for volume \"\(volume)\" : \(cause)" }
}

/// The mounts of one container.
enum VolumeMounts {
    static func mounts(
        of container: JSON, _ volumes: Volumes, variables: Environment.Variables
    ) throws -> [RuntimeSpec.Mount] {
        try (container["volumeMounts"]?.array ?? []).map { mount in
            let name = mount["name"]?.string ?? ""
            let (base, isReadOnly) = try volumes.location(name)
            var source = base
            let subPath =
                mount["subPath"]?.string
                ?? mount["subPathExpr"]?.string.map { Environment.expand($0, with: variables) } ?? ""
            if !subPath.isEmpty { source = try resolve(subPath, in: base) }
            let path = mount["mountPath"]?.string ?? ""
            var bind = RuntimeSpec.Mount.bind(
                source, at: path.hasPrefix("/") ? path : "/" + path,
                readOnly: isReadOnly || mount["readOnly"]?.bool == true)
            if mount["mountPropagation"]?.string == "HostToContainer" {
                bind.options = bind.options.map { $0 == "rprivate" ? "rslave" : $0 }
            }
            return bind
        }
    }

    /// The path below a volume, created as a folder where it is missing.
    ///
    /// A link must not lead out of the volume.
    private static func resolve(_ subPath: String, in base: String) throws -> String {
        guard !subPath.hasPrefix("/"), !subPath.split(separator: "/").contains("..") else {
            throw ConfigurationError("subPath \(subPath) leaves the volume")
        }
        let path = "\(base)/\(subPath)"
        guard let root = Disk.resolved(base) else { throw ConfigurationError("volume folder \(base) is missing") }
        // Checked before anything is created: the deepest part that is there must be inside already.
        var present = path
        while Disk.resolved(present) == nil, present != base { present = Disk.parent(of: present) }
        guard let reached = Disk.resolved(present), Disk.isInside(reached, root) else {
            throw ConfigurationError("subPath \(subPath) leaves the volume")
        }
        try create(path, below: present)
        return Disk.resolved(path) ?? path
    }

    /// Creates the missing folders of a path with the mode of the one above, set-group-id included: whoever may write to
    /// the volume may write there.
    private static func create(_ path: String, below present: String) throws(SystemError) {
        guard path != present else { return }
        try create(Disk.parent(of: path), below: present)
        var status = stat()
        guard stat(Disk.parent(of: path), &status) == 0 else { throw .last("stat \(Disk.parent(of: path))") }
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else { throw .last("mkdir \(path)") }
        guard chmod(path, status.st_mode & 0o7777) == 0 else { throw .last("chmod \(path)") }
    }
}
