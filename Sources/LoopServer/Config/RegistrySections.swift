internal import JSON

/// `registry`, and the names of images.
extension ConfigurationReader {
    /// One name for this machine and the nodes, or a name for each.
    mutating func registry(_ node: Node) -> RegistryNames? {
        guard case .object = node.value.kind else {
            guard case .string = node.value.kind else {
                error(
                    node, "a string or an object should be here, not \(node.value.kindName)",
                    hint: "\"localhost:5000\", or {\"push\": …, \"pull\": …} where nodes have another name for it")
                return nil
            }
            return host(node).map { RegistryNames(push: $0) }
        }
        guard let keys = section(node, .registry) else { return nil }
        if keys["push"] == nil {
            error(node, "\"push\" is missing", hint: "its name on this machine: \"push\": \"localhost:5000\"")
        }
        let push = keys["push"].flatMap { host($0) }
        let pull = keys["pull"].flatMap { host($0) }
        return push.map { RegistryNames(push: $0, pull: pull) }
    }

    /// A registry's host and port, perhaps with a path.
    private mutating func host(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        if let scheme = text.firstRange(of: "://") {
            var rest = text[scheme.upperBound...]
            while rest.last == "/" { rest = rest.dropLast() }
            error(
                node, "\"\(text)\" has a scheme",
                hint: "\"\(rest)\": loopd speaks plain HTTP to registries on this machine and HTTPS to others")
            return nil
        }
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        let isGood =
            ImageNameText.isHost(String(parts[0])) && (parts.count == 1 || ImageNameText.isPath(String(parts[1])))
        guard isGood else {
            error(
                node, "\"\(text)\" is no registry",
                hint: "a host with its port, perhaps with a lower-case path: \"localhost:5000\", \"ghcr.io/acme\"")
            return nil
        }
        return text
    }

    /// An image's name without tag and digest.
    mutating func imageName(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        return check(node, text, ImageNameText.flaw(text)) ? text : nil
    }

    /// `scratch`, or an image's name, perhaps with a tag or digest.
    mutating func baseImage(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        return check(node, text, ImageNameText.referenceFlaw(text)) ? text : nil
    }

    private mutating func check(_ node: Node, _ text: String, _ flaw: ImageNameText.Flaw?) -> Bool {
        switch flaw {
        case nil: return true
        case .scheme(let rest): error(node, "\"\(text)\" is an address, not an image's name", hint: "\"\(rest)\"?")
        case .digest(let name):
            error(node, "\"\(text)\" has a digest", hint: "\"\(name)\": what is built has a new digest each time")
        case .tag(let name):
            error(node, "\"\(text)\" has a tag", hint: "\"\(name)\": loopd's tags are made of the content")
        case .upperCase(let suggestion):
            error(node, "\"\(text)\" has upper-case letters, which registries refuse", hint: "\"\(suggestion)\"?")
        case .characters:
            error(
                node, "\"\(text)\" is no image's name",
                hint: "lower-case letters and digits with . _ - between them, in parts joined by /")
        }
        return false
    }

    /// A tag that goes beside the one by content.
    mutating func alias(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        if text == "latest" {
            error(node, "loopd never writes :latest", hint: "a name of your own: \"alias\": \"dev\"")
            return nil
        }
        if text.hasPrefix(ImageHome.tagPrefix) {
            error(
                node, "\"\(ImageHome.tagPrefix)…\" are loopd's own tags", hint: "a name of your own: \"alias\": \"dev\""
            )
            return nil
        }
        guard ImageNameText.isTag(text) else {
            error(node, "\"\(text)\" is no tag", hint: "letters and digits with . _ - between them, at most 128")
            return nil
        }
        return text
    }
}
