internal import Watcher

/// Which changes on disk concern a service that runs on this machine: a pure function of `loop.json`.
struct HostPlan: Sendable {
    /// The service's name.
    let service: String
    /// The build that has to succeed before it starts.
    let build: String?
    private let root: RelativePath
    private let patterns: [Glob]
    /// Whether a change on disk may start it again.
    var isStartedByChanges: Bool { build != nil || !patterns.isEmpty }

    /// A service of the project in the folder `project`; `nil` where it does not run here.
    init?(_ service: Service, project: String) {
        guard service.isOnHost, let host = service.host else { return nil }
        self.service = service.name
        build = host.build
        root = RelativePath(service.root).relative(to: RelativePath(project)) ?? .root
        patterns = host.watch
    }

    /// Whether a change asks for a new start, or for its build.
    func isConcerned(by changes: ChangeSet) -> Bool {
        changes.paths.contains { path in
            guard let below = path.relative(to: root) else { return false }
            return patterns.contains { $0.matches(below) }
        }
            || changes.rescan.contains { subtree in
                patterns.contains { pattern in
                    let inputs = root.appending(pattern.fixedPart.bytes)
                    return inputs.isInside(subtree) || subtree.isInside(inputs)
                }
            }
    }
}
