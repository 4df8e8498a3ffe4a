internal import Watcher

/// The files that loopd reads when it starts and not again: `loop.json` and the manifests.
struct StartFiles: Sendable {
    private let configuration: RelativePath?
    private let manifests: [RelativePath]

    /// None at all.
    init() { (configuration, manifests) = (nil, []) }

    /// Absolute paths; what is outside the folder `project` is not watched.
    init(project: String, configuration: String, manifests: [String]) {
        let root = RelativePath(project)
        self.configuration = RelativePath(configuration).relative(to: root)
        self.manifests = manifests.compactMap { RelativePath($0).relative(to: root) }
    }

    /// What to say when a file has changed; `nil` where it is none of these.
    func words(on path: RelativePath) -> String? {
        if path == configuration { return "\(path) has changed: it is read when loopd starts" }
        let isManifest = manifests.contains { manifest in
            path == manifest || path.isInside(manifest) && StartFiles.endings.contains { "\(path)".hasSuffix($0) }
        }
        return isManifest ? "\(path) has changed: manifests are applied when loopd starts" : nil
    }

    /// What kubectl applies of a folder.
    private static let endings = [".yaml", ".yml", ".json"]
}
