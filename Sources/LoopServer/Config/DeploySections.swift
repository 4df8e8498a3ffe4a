internal import JSON
internal import Watcher

/// `deploy`: what the cluster is to hold besides pods.
extension ConfigurationReader {
    /// A rule that deploys.
    mutating func deployRule(
        _ deploy: Node, in rule: Node, _ keys: [String: Node], watch: [Glob], root: String, name: String
    ) -> Rule? {
        for key in ["sync", "sideload", "build"] {
            guard let node = keys[key] else { continue }
            error(node, "a rule has \"\(key)\" or \"deploy\", not both", hint: "make two rules of it")
        }
        if let node = keys["then"] {
            error(node, "\"then\" after a \"deploy\"", hint: "a deployment rolls pods out itself")
        }
        let deployment = deployment(deploy, root: root, service: String(name.prefix { $0 != "/" }))
        if keys["watch"] == nil, deploy.value.memberKeys.contains("nix") {
            error(
                rule, "\"watch\" is missing",
                hint: "what the manifests are built from: \"watch\": [\"**/*.nix\", \"flake.lock\"]")
        }
        guard let deployment else { return nil }
        var result = Rule(watch: watch, action: .deploy(deployment))
        if keys["watch"] == nil { result.watchByDefault(deployment.inputs(below: root)) }
        return result
    }

    private mutating func deployment(_ node: Node, root: String, service: String) -> Deployment? {
        guard let keys = section(node, .deploy) else { return nil }
        let sources = ["nix", "manifests", "kustomize", "helm"].filter { keys[$0] != nil }
        guard let source = sources.first, let value = keys[source] else {
            let isElsewhereWrong = node.value.memberKeys.contains { !ConfigurationKeys.deploy.known.contains($0) }
            if !isElsewhereWrong {
                error(
                    node, "neither \"nix\", \"manifests\", \"kustomize\" nor \"helm\"",
                    hint: "what is applied: \"manifests\": \"k8s/\"")
            }
            return nil
        }
        for other in sources.dropFirst() {
            error(
                keys[other] ?? node, "a deployment has \"\(source)\" or \"\(other)\", not both",
                hint: "make a service of its own of it")
        }
        let kluctl = keys["kluctl"].flatMap { self.kluctl($0) }
        if let node = keys["kluctl"], source != "nix" {
            error(node, "\"kluctl\" beside \"\(source)\"", hint: "it deploys what \"nix\" builds")
        }
        switch source {
        case "nix": return installable(value, root: root).map { Deployment($0, kluctl: kluctl) }
        case "manifests":
            let paths = manifests(value).map { ProjectPath.join(root, $0) }
            return paths.isEmpty ? nil : Deployment(.manifests(paths))
        case "kustomize":
            note(value)
            return inside(value).map { Deployment(.kustomize(ProjectPath.join(root, $0))) }
        default: return helm(value, root: root, service: service).map { Deployment(.helm($0)) }
        }
    }

    /// One path, or an array of them.
    private mutating func manifests(_ node: Node) -> [String] {
        if case .string = node.value.kind {
            note(node)
            return [inside(node)].compactMap(\.self)
        }
        guard let elements = elements(node) else { return [] }
        if elements.isEmpty { error(node, "no file is named") }
        return elements.compactMap { element in
            note(element)
            return inside(element)
        }
    }

    private mutating func kluctl(_ node: Node) -> Deployment.Kluctl? {
        guard let keys = section(node, .kluctl) else { return nil }
        if let target = keys["target"], let other = keys["discriminator"] {
            _ = string(target)
            error(other, "a \"target\" or a \"discriminator\", not both", hint: "a target has its own discriminator")
        }
        if let target = string(keys["target"]) { return .target(target) }
        if let discriminator = string(keys["discriminator"]) { return .discriminator(discriminator) }
        if keys.isEmpty { error(node, "neither \"target\" nor \"discriminator\"") }
        return nil
    }

    // MARK: helm

    private mutating func helm(_ node: Node, root: String, service: String) -> HelmRelease? {
        guard let keys = section(node, .helm) else { return nil }
        if keys["chart"] == nil {
            error(node, "\"chart\" is missing", hint: "its folder: \"chart\": \"charts/\(service)\"")
        }
        let version = string(keys["version"])
        let chart = keys["chart"].flatMap { self.chart($0, root: root, version: keys["version"]) }
        var release = HelmRelease(chart ?? "", name: service)
        if let node = keys["release"], let name = string(node) {
            // Helm's own limit: names of objects begin with it.
            if KubernetesName.isSubdomain(name), name.utf8.count <= 53 {
                release.name = name
            } else {
                error(node, "\"\(name)\" is no release's name", hint: "lower-case letters, digits, - and ., at most 53")
            }
        }
        release.version = version
        for file in keys["valuesFiles"].flatMap({ elements($0) }) ?? [] {
            guard let path = inside(file) else { continue }
            note(file)
            release.valuesFiles.append(ProjectPath.join(root, path))
        }
        if let node = keys["set"] { set(node, below: "", in: &release) }
        return chart == nil ? nil : release
    }

    /// A folder or archive of the project, or what helm finds itself: an address, or a name with a version.
    private mutating func chart(_ node: Node, root: String, version: Node?) -> String? {
        guard let text = string(node) else { return nil }
        if text.contains("://") { return text }
        guard !text.hasPrefix("-") else {
            error(node, "\"\(text)\" is an option, not a chart")
            return nil
        }
        let isPath = text.hasPrefix(".") || text.hasPrefix("/") || text.hasSuffix("/") || text.hasSuffix(".tgz")
        if let version {
            guard isPath else { return text }
            error(version, "\"version\" of a chart in the project", hint: "its Chart.yaml says it")
        }
        note(node)
        return inside(node).map { ProjectPath.join(root, $0) }
    }

    /// Values by their paths; an object stands for what is below it.
    private mutating func set(_ node: Node, below path: String, in release: inout HelmRelease) {
        guard let members = members(node) else { return }
        for (key, node) in members {
            guard !key.isEmpty else {
                error(node, "a value without a name")
                continue
            }
            let place = path.isEmpty ? key : "\(path).\(key)"
            switch node.value.kind {
            case .string, .bool, .integer, .double: release.set[place] = node.value.json
            case .object: set(node, below: place, in: &release)
            case .array, .null:
                error(
                    node, "a string, a number, true or false should be here, not \(node.value.kindName)",
                    hint: "other values belong into a file of \"valuesFiles\"")
            }
        }
    }
}

extension Deployment {
    /// The files that it reads where no rule says so.
    fileprivate func inputs(below root: String) -> [Glob] {
        func below(_ path: String, _ patterns: (String) -> [Glob]) -> [Glob] {
            ProjectPath.below(root, path).map(patterns) ?? []
        }
        switch source {
        case .nix: return []
        case .manifests(let paths): return paths.flatMap { below($0, Glob.fileOrFolder) }
        case .kustomize(let folder): return below(folder, Glob.folder)
        case .helm(let release):
            let chart = release.isLocal ? below(release.chart, Glob.fileOrFolder) : []
            return chart + release.valuesFiles.flatMap { below($0, Glob.file) }
        }
    }
}
