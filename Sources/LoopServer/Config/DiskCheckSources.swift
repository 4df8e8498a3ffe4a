internal import Glibc

/// What images and deployments are made from, as far as `loop.json` names it by its path.
extension Configuration {
    /// What a rule names and the disk does not have; `path` is the rule's place in the tree.
    func missing(_ rule: Rule, root: String, at path: String) -> [Problem] {
        switch rule.action {
        case .image(let image): missing(image, root: root, at: "\(path).image")
        case .deploy(let deployment): missing(deployment, at: "\(path).deploy")
        case .sync, .sideload, .closure: []
        }
    }

    private func missing(_ image: Image, root: String, at path: String) -> [Problem] {
        switch image.builder {
        case .engine(let build): missing(build, root: root, at: path)
        case .command(let command) where !isFolder(command.directory):
            [problem(.error, "\(path).dir", "there is no folder \(shown(command.directory))")]
        case .command, .nix, .append, nil: []
        }
    }

    private func missing(_ build: EngineBuild, root: String, at path: String) -> [Problem] {
        guard isFolder(build.context) else {
            return [problem(.error, "\(path).context", "there is no folder \(shown(build.context))")]
        }
        var problems: [Problem] = []
        if access(build.dockerfile, R_OK) != 0 {
            let isGiven = places["\(path).dockerfile"] != nil
            problems.append(
                problem(
                    .error, isGiven ? "\(path).dockerfile" : path,
                    "\(errno == ENOENT ? "there is no" : "cannot read") \(shown(build.dockerfile))",
                    hint: dockerfileHint(build, root: root, isGiven: isGiven)))
        }
        for (name, place) in build.contexts.sorted(by: { $0.key < $1.key }) where place.hasPrefix("/") {
            guard !isFolder(place) else { continue }
            problems.append(problem(.error, member("\(path).contexts", name), "there is no folder \(shown(place))"))
        }
        for (id, secret) in build.secrets.sorted(by: { $0.key < $1.key }) {
            guard case .file(let file) = secret, access(file, R_OK) != 0 else { continue }
            let reason = errno == ENOENT ? "there is no" : "cannot read"
            problems.append(problem(.error, member("\(path).secrets", id) + ".file", "\(reason) \(shown(file))"))
        }
        return problems
    }

    private func member(_ path: String, _ key: String) -> String { ConfigurationReader.Node.path(path, key) }

    /// Where the Dockerfile may be instead.
    private func dockerfileHint(_ build: EngineBuild, root: String, isGiven: Bool) -> String? {
        if isGiven, build.context != root, let below = ProjectPath.below(root, build.dockerfile),
            let context = ProjectPath.below(root, build.context),
            access(ProjectPath.join(build.context, below), R_OK) == 0
        {
            return "it is relative to the service's root: \"\(context)/\(below)\"?"
        }
        let folder =
            isGiven
            ? String(build.dockerfile.prefix(upTo: build.dockerfile.lastIndex(of: "/") ?? build.dockerfile.startIndex))
            : build.context
        let found = ["Dockerfile", "Containerfile", "dockerfile"].first {
            let path = ProjectPath.join(folder, $0)
            return path != build.dockerfile && access(path, R_OK) == 0
        }
        if let found { return "there is \(shown(ProjectPath.join(folder, found))): name it in \"dockerfile\"" }
        return isGiven ? nil : "\"dockerfile\" names another one, \"context\" another folder"
    }

    private func missing(_ deployment: Deployment, at path: String) -> [Problem] {
        switch deployment.source {
        case .nix: return []
        case .manifests(let paths):
            return paths.enumerated().filter { access($0.element, R_OK) != 0 }.map { index, manifest in
                let reason = errno == ENOENT ? "there is no" : "cannot read"
                let isAlone = places["\(path).manifests"] != nil
                return problem(
                    .error, isAlone ? "\(path).manifests" : "\(path).manifests[\(index)]",
                    "\(reason) \(shown(manifest))")
            }
        case .kustomize(let folder):
            guard isFolder(folder) else {
                return [problem(.error, "\(path).kustomize", "there is no folder \(shown(folder))")]
            }
            let names = ["kustomization.yaml", "kustomization.yml", "Kustomization"]
            if names.contains(where: { access(ProjectPath.join(folder, $0), R_OK) == 0 }) { return [] }
            return [problem(.error, "\(path).kustomize", "there is no kustomization.yaml in \(shown(folder))")]
        case .helm(let release): return missing(release, at: "\(path).helm")
        }
    }

    private func missing(_ release: HelmRelease, at path: String) -> [Problem] {
        var problems: [Problem] = []
        if release.isLocal {
            if access(release.chart, R_OK) != 0 {
                problems.append(
                    problem(
                        .error, "\(path).chart", "there is no \(shown(release.chart))",
                        hint: "a chart of a repository needs its \"version\""))
            } else if isFolder(release.chart), access(ProjectPath.join(release.chart, "Chart.yaml"), R_OK) != 0 {
                problems.append(problem(.error, "\(path).chart", "there is no Chart.yaml in \(shown(release.chart))"))
            }
        }
        for (index, file) in release.valuesFiles.enumerated() where access(file, R_OK) != 0 {
            let reason = errno == ENOENT ? "there is no" : "cannot read"
            problems.append(problem(.error, "\(path).valuesFiles[\(index)]", "\(reason) \(shown(file))"))
        }
        return problems
    }
}
