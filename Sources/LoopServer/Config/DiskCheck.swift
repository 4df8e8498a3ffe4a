internal import Glibc
internal import Watcher

extension Configuration {
    /// What `loop.json` names and the disk does not have: missing folders, manifests, Dockerfiles and charts are errors,
    /// a pattern that matches nothing now is a warning.
    public func problemsOnDisk() -> [Problem] {
        let missing = missingOnDisk()
        let roots = services.filter { isFolder($0.root) }
        return Problem.inOrder(missing + (roots.isEmpty ? [] : unmatchedPatterns(of: roots)))
    }

    /// The folders and files that `loop.json` names and the disk does not have.
    public func missingOnDisk() -> [Problem] {
        var problems: [Problem] = []
        for service in services {
            let path = "$.services.\(service.name)"
            guard isFolder(service.root) else {
                problems.append(problem(.error, "\(path).root", "there is no folder \(shown(service.root))"))
                continue
            }
            for (index, manifest) in service.manifests.enumerated() where access(manifest, R_OK) != 0 {
                let reason = errno == ENOENT ? "there is no" : "cannot read"
                problems.append(problem(.error, "\(path).manifests[\(index)]", "\(reason) \(shown(manifest))"))
            }
            for (index, rule) in service.rules.enumerated() {
                problems += missing(rule, root: service.root, at: "\(path).rules[\(index)]")
            }
        }
        return problems
    }

    /// One walk for all patterns, which ends as soon as each of them has matched.
    private func unmatchedPatterns(of services: [Service]) -> [Problem] {
        struct Pattern {
            let path: String
            let glob: Glob
            let root: RelativePath
            var hasMatched = false

            func matches(_ place: RelativePath) -> Bool { place.relative(to: root).map(glob.matches) ?? false }

            func needs(_ folder: RelativePath) -> Bool {
                if root.isInside(folder) { return true }
                return folder.relative(to: root).map(glob.canMatch(inside:)) ?? false
            }
        }
        var patterns: [Pattern] = []
        for service in services {
            let root = RelativePath(shown(service.root))
            // Patterns that nobody wrote stand for files that are looked for by themselves.
            for (rule, read) in service.rules.enumerated() where !read.isWatchingByDefault {
                for (index, glob) in read.watch.enumerated() {
                    let path = "$.services.\(service.name).rules[\(rule)].watch[\(index)]"
                    patterns.append(Pattern(path: path, glob: glob, root: root))
                }
            }
        }
        guard let rules = try? IgnoreRules(root: directory, patterns: watch.ignore) else { return [] }
        TreeScan.walk(rules: rules) { entry in
            for index in patterns.indices where !patterns[index].hasMatched {
                patterns[index].hasMatched = patterns[index].matches(entry.path)
            }
            return patterns.contains { !$0.hasMatched && $0.needs(entry.path) }
        }
        return patterns.filter { !$0.hasMatched }.map { pattern in
            problem(
                .warning, pattern.path, "\"\(pattern.glob.pattern)\" matches no file",
                hint:
                    "patterns begin at \(pattern.root.isRoot ? "the project" : pattern.root.description); ignored files do not count"
            )
        }
    }

    func problem(
        _ severity: Problem.Severity, _ path: String, _ message: String, hint: String? = nil
    ) -> Problem {
        Problem(severity, file: file, position: places[path], path: path, message, hint: hint)
    }

    /// A path as the user would write it: relative to the project.
    func shown(_ path: String) -> String {
        path == directory ? "." : path.hasPrefix(directory + "/") ? String(path.dropFirst(directory.count + 1)) : path
    }

    func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }
}
