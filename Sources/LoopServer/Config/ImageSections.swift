internal import JSON
internal import Watcher

/// `image`: what is built, by whom, and from what.
extension ConfigurationReader {
    /// A rule with an image; `name` is what a build that stands in it is called.
    mutating func imageRule(
        _ image: Node, in rule: Node, _ keys: [String: Node], watch: [Glob], root: String, name: String
    ) -> Rule? {
        for key in ["sync", "sideload", "deploy"] {
            guard let node = keys[key] else { continue }
            error(node, "a rule has \"\(key)\" or \"image\", not both", hint: "make two rules of it")
        }
        if let node = keys["then"] {
            error(
                node, "\"then\" beside an \"image\"", hint: "its pods start anew with the image: what it needs is in it"
            )
        }
        let service = String(name.prefix { $0 != "/" })
        guard case .object = image.value.kind else { return use(of: image, keys, by: service) }
        guard let parts = section(image, .image) else { return nil }
        note(image)
        // The name is known to other services even where the rest is wrong.
        let imageName = parts["name"] == nil ? service : self.imageName(parts["name"] ?? image)
        var claim = ImageClaim(service: service, image: nil, name: imageName, node: image, keys: parts)
        defer { imageClaims.append(claim) }
        let container = label(parts["container"])
        let alias = parts["alias"].flatMap { self.alias($0) }
        let build = self.build(beside: parts, keys, root: root, name: name)
        guard let family = family(of: parts, in: image) else { return nil }
        let builder = self.builder(family, parts, image, root: root)
        checkWatch(family, keys, parts, rule, build: build)
        guard let imageName, let builder else { return nil }
        let read = Image(imageName, builder, container: container, alias: alias)
        claim.image = read
        var result = Rule(watch: watch, build: build, action: .image(read))
        if keys["watch"] == nil { result.watchByDefault(builder.inputs(below: root)) }
        return result
    }

    /// The name of an image that another service builds.
    private mutating func use(of node: Node, _ keys: [String: Node], by service: String) -> Rule? {
        guard case .string = node.value.kind else {
            error(
                node, "an object should be here, not \(node.value.kindName)",
                hint: "{} builds the Dockerfile; a string names an image that another service builds")
            return nil
        }
        for key in ["watch", "build"] {
            guard let node = keys[key] else { continue }
            error(node, "\"\(key)\" beside the name of an image", hint: "it belongs where the image is built")
        }
        guard let name = imageName(node) else { return nil }
        let image = Image(name, nil)
        imageClaims.append(ImageClaim(service: service, image: image, name: name, node: node, keys: [:]))
        return Rule(watch: [], action: .image(image))
    }

    /// The build that makes an appended layer's files.
    private mutating func build(
        beside parts: [String: Node], _ keys: [String: Node], root: String, name: String
    ) -> String? {
        guard let node = keys["build"] else { return nil }
        guard parts["files"] != nil else {
            error(
                node, "\"build\" beside an \"image\" without \"files\"",
                hint: "\"files\" of an appended layer are what the build makes; a Dockerfile runs its own")
            return nil
        }
        return build(of: node, root: root, name: name)
    }

    /// Which builder the keys mean; keys of another one are named.
    private mutating func family(of parts: [String: Node], in image: Node) -> ImageFamily? {
        let words = ImageFamily.allCases.flatMap(\.builders)
        let word = choice(parts["builder"], words)
        if parts["builder"] != nil, word == nil { return nil }
        // In the order of the file, so that the first one has its way.
        let present = image.value.memberKeys
        let family = word.flatMap { ImageFamily.of(builder: $0) } ?? ImageFamily.of(keys: present)
        let own = word ?? present.first { family.keys.contains($0) }
        for other in ImageFamily.allCases where other != family {
            for key in other.keys {
                guard let node = parts[key], let own else { continue }
                error(
                    node,
                    "\"\(key)\" is for \(other.title), and \"\(own)\" \(word == nil ? "for \(family.title)" : "is the builder")",
                    hint: hint(for: key, in: family))
            }
        }
        return family
    }

    private func hint(for key: String, in family: ImageFamily) -> String {
        switch (key, family) {
        case ("env", .append), ("config", _): "\"config\" says how an appended image is run"
        case ("env", .engine): "build arguments are \"args\""
        case ("files", .engine): "a Dockerfile copies its files itself"
        default: "leave one of them out"
        }
    }

    private mutating func checkWatch(
        _ family: ImageFamily, _ keys: [String: Node], _ parts: [String: Node], _ rule: Node, build: String?
    ) {
        guard keys["watch"] == nil else { return }
        let hint: String
        switch family {
        case .engine: return
        case .nix: hint = "what it is built from: \"watch\": [\"**/*.nix\", \"flake.lock\", \"src/**\"]"
        case .command: hint = "what it is built from: \"watch\": [\"src/**\"]"
        case .append:
            // A build that there is not was reported; what it would have watched is no second problem.
            let isUnknown = keys["build"] != nil && build == nil
            if isUnknown || parts["to"] == nil && build.map({ watches(build: $0) }) == true { return }
            hint =
                parts["to"] == nil
                ? "what \"files\" are made from: \"watch\": [\"src/**\"], here or at the build"
                : "the files of the layer: \"watch\": [\"app/**\"]"
        }
        error(rule, "\"watch\" is missing", hint: hint)
    }

    /// A rule whose files an image before it takes, because nobody said what the image watches.
    mutating func checkOrder(_ node: Node, _ rule: Rule, after earlier: [Rule]) {
        guard case .object(let members) = node.value.kind,
            let watch = members.first(where: { $0.key == "watch" })?.value
        else { return }
        for image in earlier {
            guard case .engine = image.image?.builder, image.isWatchingByDefault else { continue }
            for pattern in rule.watch
            where image.watch.contains(where: { $0.matches(pattern.fixedPart.appending([1])) }) {
                warning(
                    node.member("watch", watch),
                    "the image \"\(image.image?.name ?? "")\" before it takes \"\(pattern)\"",
                    hint:
                        "the first rule that matches a file takes it: put the image's rule last, or give it a \"watch\""
                )
                return
            }
        }
    }

    // MARK: Builders

    private mutating func builder(
        _ family: ImageFamily, _ parts: [String: Node], _ image: Node, root: String
    ) -> Image.Builder? {
        switch family {
        case .engine: return .engine(engine(parts, root: root))
        case .nix:
            guard let node = parts["nix"] else {
                error(image, "\"nix\" is missing", hint: "what makes the archive: \"nix\": \".#image\"")
                return nil
            }
            return installable(node, root: root).map { .nix($0) }
        case .command:
            if parts["run"] == nil {
                error(image, "\"run\" is missing", hint: "\"run\": [\"program\", \"push\", \"${image}\"]")
            }
            let folder = parts["dir"].flatMap { inside($0) }
            if let node = parts["dir"] { note(node) }
            let environment = variables(parts["env"])
            guard let command = parts["run"].flatMap({ arguments($0) }) else { return nil }
            return .command(
                ImageCommand(command, directory: ProjectPath.join(root, folder ?? ""), environment: environment))
        case .append: return .append(layer(parts, image, root: root))
        }
    }

    private mutating func engine(_ parts: [String: Node], root: String) -> EngineBuild {
        let context = ProjectPath.join(root, parts["context"].flatMap { inside($0) } ?? "")
        let file = parts["dockerfile"].flatMap { inside($0) }
        for key in ["context", "dockerfile"] {
            if let node = parts[key] { note(node) }
        }
        var build = EngineBuild(
            string(parts["builder"]).flatMap(EngineBuild.Program.init(rawValue:)), context: context,
            dockerfile: file.map { ProjectPath.join(root, $0) } ?? ProjectPath.join(context, "Dockerfile"))
        build.target = string(parts["target"])
        build.platform = parts["platform"].flatMap { platform($0) }
        build.arguments = variables(parts["args"])
        for (name, node) in parts["contexts"].flatMap({ members($0) }) ?? [] {
            guard let text = string(node) else { continue }
            note(node)
            let isPath = !text.contains("://") && !text.hasPrefix("target:")
            build.contexts[name] = isPath ? ProjectPath.anywhere(text, from: root) : text
        }
        for (id, node) in parts["secrets"].flatMap({ members($0) }) ?? [] {
            guard let secret = secret(id, node, root: root) else { continue }
            build.secrets[id] = secret
        }
        return build
    }

    private mutating func platform(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard (2...3).contains(parts.count), parts.allSatisfy(KubernetesName.isLabel) else {
            error(node, "\"\(text)\" is no platform", hint: "a system and an architecture: \"linux/arm64\"")
            return nil
        }
        return text
    }

    private mutating func secret(_ id: String, _ node: Node, root: String) -> EngineBuild.Secret? {
        guard case .object = node.value.kind else {
            // What stands here could be the secret itself: it is not repeated.
            error(
                node, "an object should be here, not \(node.value.kindName)",
                hint: "{\"file\": PATH} or {\"env\": NAME}: the value itself does not belong into loop.json")
            return nil
        }
        guard let keys = section(node, .secret) else { return nil }
        guard !id.isEmpty, !id.contains(where: { ",= ".contains($0) }) else {
            error(node, "\"\(id)\" is no secret's id", hint: "as in RUN --mount=type=secret,id=…")
            return nil
        }
        if let file = keys["file"] {
            if let other = keys["env"] { error(other, "a \"file\" or an \"env\", not both") }
            note(file)
            return string(file).map { .file(ProjectPath.anywhere($0, from: root)) }
        }
        if keys["env"] == nil { error(node, "neither \"file\" nor \"env\"") }
        return string(keys["env"]).map { .environment($0) }
    }

    private mutating func layer(_ parts: [String: Node], _ image: Node, root: String) -> AppendedLayer {
        var layer = AppendedLayer()
        layer.base = parts["base"].flatMap { baseImage($0) }
        layer.to = parts["to"].flatMap { destination($0) }
        if let node = parts["from"] {
            layer.from = inside(node)
            if parts["to"] == nil { error(node, "\"from\" without \"to\"", hint: "where the watched files go") }
        }
        if let node = parts["files"] { layer.files = files(node, root: root) }
        if parts["to"] == nil, parts["files"] == nil {
            error(
                image, "neither \"to\" nor \"files\": nothing is in the layer",
                hint: "\"to\" for the watched files themselves, \"files\" for what a build makes")
        }
        warnOfLinks(layer, parts, image)
        guard let node = parts["config"], let keys = section(node, .config) else { return layer }
        layer.config.entrypoint = keys["entrypoint"].flatMap { words($0) }
        layer.config.command = keys["cmd"].flatMap { words($0) }
        layer.config.environment = variables(keys["env"])
        layer.config.user = string(keys["user"])
        layer.config.workingDirectory = keys["workingDir"].flatMap { destination($0) }
        return layer
    }

    /// Names folders that are links in most images: a folder in a layer takes the link's place, and hides what is behind it.
    private mutating func warnOfLinks(_ layer: AppendedLayer, _ parts: [String: Node], _ image: Node) {
        guard let base = layer.base, base != "scratch" else { return }
        let links = ["/bin", "/sbin", "/lib", "/lib32", "/lib64"]
        for path in [layer.to].compactMap(\.self) + layer.files.map(\.to) {
            guard let link = links.first(where: { path == $0 || path.hasPrefix("\($0)/") }) else { continue }
            warning(
                parts["to"] ?? parts["files"] ?? image,
                "\(link) is a link to /usr\(link) in many images, which this layer would replace",
                hint: "\"/usr\(path)\", unless it is a folder in \(base)")
        }
    }

    /// One object, or an array of them.
    private mutating func files(_ node: Node, root: String) -> [Sideload] {
        if case .object = node.value.kind { return [file(node, root: root)].compactMap(\.self) }
        guard let elements = elements(node) else { return [] }
        if elements.isEmpty { error(node, "no file is named") }
        return elements.compactMap { file($0, root: root) }
    }

    private mutating func file(_ node: Node, root: String) -> Sideload? {
        guard let keys = section(node, .files), let (from, to) = output(node, keys, root: root) else { return nil }
        return Sideload(from: from, to: to)
    }

    /// A path below the service's root.
    mutating func inside(_ node: Node) -> String? {
        string(node).flatMap { relative(node, $0, hint: "paths are relative to loop.json or the service's root") }
    }
}

extension Image.Builder {
    /// What a Dockerfile is built from where no rule says so: the context, and the Dockerfile.
    fileprivate func inputs(below root: String) -> [Glob] {
        guard case .engine(let build) = self else { return [] }
        let context = ProjectPath.below(root, build.context)
        let file = ProjectPath.below(root, build.dockerfile)
        let isOutside = context.map { !$0.isEmpty && file?.hasPrefix($0 + "/") == false } ?? true
        return (context.map(Glob.folder) ?? []) + (isOutside ? file.map(Glob.file) ?? [] : [])
    }
}
