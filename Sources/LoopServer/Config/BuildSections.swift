internal import JSON

/// `builds`, the builds that stand in rules, and `sideload`.
extension ConfigurationReader {
    /// The named builds.
    mutating func builds(_ node: Node?) {
        guard let node, let members = members(node) else { return }
        for (name, node) in members {
            if !KubernetesName.isLabel(name) {
                error(node, "\"\(name)\" is not a DNS label: lower-case letters, digits and -, at most 63")
            }
            if let build = build(node, name: name, root: directory) { builds.append(build) }
        }
    }

    /// Whether a build says itself what it is made from.
    func watches(build name: String) -> Bool { builds.first { $0.name == name }.map { !$0.watch.isEmpty } ?? true }

    /// A rule's build: the name of one of `builds`, or one of its own.
    mutating func build(of node: Node, root: String, name: String) -> String? {
        guard case .string = node.value.kind else {
            guard let build = build(node, name: name, root: root) else { return nil }
            builds.append(build)
            return name
        }
        guard let text = string(node) else { return nil }
        if builds.contains(where: { $0.name == text }) { return text }
        let names = builds.map(\.name)
        let near = NearestName.of(text, among: names)
        error(
            node, "there is no build \"\(text)\"",
            hint: near.map { "did you mean \"\($0)\"?" }
                ?? "name it in \"builds\", or give the command itself: [\"program\", \"argument\"]")
        return nil
    }

    /// A build: its command, or an object with more to say.
    private mutating func build(_ node: Node, name: String, root: String) -> Build? {
        guard case .object = node.value.kind else {
            return arguments(node).map { Build(name: name, command: $0, directory: root, root: root) }
        }
        guard let keys = section(node, .build) else { return nil }
        if keys["run"] == nil { error(node, "\"run\" is missing", hint: "\"run\": [\"program\", \"argument\"]") }
        let directory = keys["dir"].flatMap { node in
            string(node).flatMap { relative(node, $0, hint: "\"dir\" is relative to loop.json or the service's root") }
        }
        if let node = keys["dir"] { note(node) }
        let watch = patterns(keys["watch"])
        let environment = variables(keys["env"])
        guard let command = keys["run"].flatMap({ arguments($0) }) else { return nil }
        return Build(
            name: name, command: command, directory: ProjectPath.join(root, directory ?? ""), root: root,
            environment: environment, watch: watch)
    }

    /// An object of variables.
    mutating func variables(_ node: Node?) -> [String: String] {
        guard let node, let members = members(node) else { return [:] }
        var variables: [String: String] = [:]
        for (name, node) in members {
            guard !name.isEmpty, !name.utf8.contains(UInt8(ascii: "=")), !name.utf8.contains(0) else {
                error(node, "\"\(name)\" is not the name of a variable")
                continue
            }
            guard case .string(let value) = node.value.kind else {
                error(node, "a string should be here, not \(node.value.kindName)")
                continue
            }
            variables[name] = value
        }
        return variables
    }

    // MARK: sideload

    /// One object, or an array of them.
    mutating func sideload(_ node: Node, root: String) -> [Sideload] {
        if case .object = node.value.kind { return [item(node, root: root)].compactMap(\.self) }
        guard let elements = elements(node) else { return [] }
        if elements.isEmpty { error(node, "nothing is sideloaded") }
        return elements.compactMap { item($0, root: root) }
    }

    private mutating func item(_ node: Node, root: String) -> Sideload? {
        guard let keys = section(node, .sideload) else { return nil }
        if let nix = keys["nix"] {
            error(nix, "\"nix\" among other sideloads", hint: "make a rule of its own of it")
            return nil
        }
        for key in ["profile", "copyTo"] {
            if let node = keys[key] { error(node, "\"\(key)\" without \"nix\"") }
        }
        let isOnNode = choice(keys["on"], ["node", "container"]) == "node"
        guard let (from, path) = output(node, keys, root: root) else { return nil }
        guard !isOnNode || path.dropFirst().contains("/") else {
            error(
                keys["to"] ?? node, "\"\(path)\" lies in the root of a node, which loopd does not mount",
                hint: "choose a folder of its own: \"/opt\(path)\"")
            return nil
        }
        return Sideload(from: from, to: path, isOnNode: isOnNode)
    }

    /// What a build makes, as an absolute path, and its place.
    mutating func output(_ node: Node, _ keys: [String: Node], root: String) -> (from: String, to: String)? {
        if keys["from"] == nil {
            error(node, "\"from\" is missing", hint: "what the build makes: \"from\": \"target/debug/server\"")
        }
        if keys["to"] == nil {
            error(node, "\"to\" is missing", hint: "its place in the container: \"to\": \"/usr/local/bin/server\"")
        }
        let from = keys["from"].flatMap { node in
            string(node).flatMap { relative(node, $0, hint: "\"from\" is relative to the service's root") }
        }
        if let node = keys["from"], from?.isEmpty == true { error(node, "the whole project is no output of a build") }
        guard let node = keys["to"], let to = destination(node), let from else { return nil }
        var path = to
        if case .string(let text) = node.value.kind, text.hasSuffix("/"), let name = from.split(separator: "/").last {
            path = ProjectPath.join(to, String(name))
        }
        guard path != "/" else {
            error(node, "\"/\" is no place for a file")
            return nil
        }
        return (ProjectPath.join(root, from), path)
    }
}
