internal import JSON

/// The volumes that stand in for destinations that the service's user cannot write: empty ones, filled from the image by
/// init containers of the image's own.
struct SeededVolumes: Equatable {
    /// One of them.
    struct Volume: Equatable {
        /// Where the service sees it.
        let path: String
        /// What of the image it is filled with.
        let sources: [String]
    }

    private(set) var volumes: [Volume] = []
    private(set) var details: [String] = []

    /// Where single files go that belong directly into `/`, in place of which nothing can be mounted.
    static let root = "/.loopd/root"

    /// The volumes that a container needs for these destinations.
    ///
    /// - Parameter rootFiles: the paths of the files that go directly into `/`; `nil` where anything below may be written.
    init(destinations: [String], rootFiles: [String]?, container: JSON, pod: JSON) {
        for path in Set(destinations).sorted(by: { ($0.count, $0) < ($1.count, $1) }) {
            if path == "/" {
                guard let rootFiles else {
                    details.append("files below / stay read-only: a rule's destination has to be a folder for that")
                    continue
                }
                volumes.append(Volume(path: SeededVolumes.root, sources: rootFiles.sorted()))
            } else if !volumes.contains(where: { SeededVolumes.covers($0.path, path) }),
                !SeededVolumes.isWritable(path, container, pod)
            {
                volumes.append(Volume(path: path, sources: [path]))
            }
        }
    }

    /// Whether the container's user can be expected to write what lies in its image.
    static func canWriteImage(_ container: JSON, pod: JSON, image: ImageConfiguration?) -> Bool {
        let own = container["securityContext"] ?? .null
        let shared = pod["securityContext"] ?? .null
        if own["readOnlyRootFilesystem"]?.bool == true { return false }
        if let user = own["runAsUser"]?.integer ?? shared["runAsUser"]?.integer { return user == 0 }
        if (own["runAsNonRoot"] ?? shared["runAsNonRoot"])?.bool == true { return false }
        return image?.isRoot ?? true
    }

    /// Whether a path lies in a volume that can be written.
    private static func isWritable(_ path: String, _ container: JSON, _ pod: JSON) -> Bool {
        let around = (container["volumeMounts"]?.array ?? []).filter { covers($0["mountPath"]?.string ?? "", path) }
        let nearest = around.max { ($0["mountPath"]?.string ?? "").count < ($1["mountPath"]?.string ?? "").count }
        guard let nearest, nearest["readOnly"]?.bool != true else { return false }
        let volume = pod["volumes"]?.array?.first { $0["name"] == nearest["name"] } ?? .null
        return !["configMap", "secret", "projected", "downwardAPI", "image"].contains { volume[$0] != nil }
    }

    /// Whether a path is a folder, or lies in it.
    static func covers(_ folder: String, _ path: String) -> Bool {
        var folder = folder[...]
        while folder.hasSuffix("/") { folder = folder.dropLast() }
        return path == folder || path.hasPrefix("\(folder)/")
    }
}
