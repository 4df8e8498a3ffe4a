internal import JSON
internal import OCI

/// Images that a node cannot get.
extension PodExamination {
    mutating func cannotPull(_ container: ContainerState, _ reason: String, _ message: String) {
        let refusal = PullRefusal(
            image: container.image, reason: reason, message: pullMessage(of: container, message),
            policy: container.spec["imagePullPolicy"]?.string ?? "", clues: picture.clues,
            pullSecrets: (pod.object.at("spec", "imagePullSecrets")?.array ?? []).compactMap { $0["name"]?.string })
        let (cause, advice) = refusal.explain()
        add(
            ["pull", container.name, container.image, cause],
            "\(title(container)): node \(pod.node ?? "") cannot pull image \(container.image): \(cause)",
            [refusal.words], next: advice)
    }

    /// The node's own words: a back-off's need not repeat them, the event does.
    private func pullMessage(of container: ContainerState, _ message: String) -> String {
        guard message.isEmpty || message.hasPrefix("Back-off pulling image") && !message.contains("ErrImagePull:")
        else { return message }
        let event = picture.events(about: pod.uid, "Failed").first {
            $0.container == container.name && $0.message.hasPrefix("Failed to pull image")
        }
        return event?.message ?? message
    }
}

/// Why a node cannot pull an image: a pure function of its words.
struct PullRefusal {
    let image: String
    /// The container's: `ErrImagePull`, `ErrImageNeverPull`, `InvalidImageName`.
    let reason: String
    let message: String
    /// The container's `imagePullPolicy`.
    var policy = ""
    var clues = RegistryClues()
    var pullSecrets: [String] = []

    /// What the node said last: every layer puts its own words before.
    var words: String {
        var text = message[...]
        for marker in ["ErrImagePull: ", "desc = ", "failed to resolve image: ", "failed to resolve reference "] {
            if let found = text.firstRange(of: marker) { text = text[found.upperBound...] }
        }
        return String(text)
    }

    /// The cause in a few words, and what to do.
    func explain() -> (cause: String, advice: String) {
        let text = message.lowercased()
        func says(_ words: String...) -> Bool { words.contains { text.contains($0) } }
        if reason == "InvalidImageName" || says("invalid reference format") {
            return ("this is no image name", invalid)
        }
        if reason == "ErrImageNeverPull" || says("pull policy of never") {
            return (
                "it is not on the node, and imagePullPolicy Never forbids to pull it",
                "set imagePullPolicy: IfNotPresent, or load the image onto the node "
                    + "(`k3d image import`, `kind load docker-image`, `minikube image load`)"
            )
        }
        if says("no match for platform", "does not match the specified platform", "no matching manifest for") {
            return (
                "it has no build for the node's platform",
                "build it for the node: `kubectl get nodes -o wide -L kubernetes.io/arch` tells which one that is"
            )
        }
        if says("http response to https client") {
            return (
                "the node asks \(host) by HTTPS, and it answers in plain HTTP",
                mapping ?? "tell the nodes that \(host) is insecure: containerd's certs.d/\(host)/hosts.toml, "
                    + "k3s' registries.yaml"
            )
        }
        if says("x509:", "tls:", "certificate") {
            return ("the node does not trust the certificate of \(host)", "give the nodes the authority's certificate")
        }
        if says("toomanyrequests", "rate limit") {
            return ("\(host) has had too many pulls", "log in with a pull secret, or use a mirror")
        }
        if says(
            "unauthorized", "authorization failed", "authentication required", "access denied", "403 forbidden",
            "401 ", "no basic auth", "insufficient_scope")
        {
            return ("\(host) does not let the node in", login)
        }
        if says("no space left") { return ("the node's disk is full", "free it: old images, `crictl rmi --prune`") }
        if says("no such host", "server misbehaving", "name resolution") {
            return ("the node does not know the name \(host)", mapping ?? reachable)
        }
        if says(
            "connection refused", "no route to host", "i/o timeout", "network is unreachable", "deadline exceeded",
            "dial tcp", "reset by peer", "pulls from its own registry only")
        {
            return ("the node does not reach \(host)", mapping ?? local ?? reachable)
        }
        if says("not found", "manifest unknown", "name unknown", "does not exist") {
            return ("\(host) has no such image or tag", mapping ?? bare ?? missing)
        }
        return (words.isEmpty ? "\(reason)" : words, mapping ?? "is the name right, and does \(host) answer?")
    }

    private var name: ImageName { ImageName(image) }

    /// The registry that the node asks.
    private var host: String { name.registry.isEmpty ? clues.playground ?? "docker.io" : name.registry }

    private var invalid: String {
        image.contains(where: \.isUppercase)
            ? "write it in lower case: only a tag may have upper case"
            : "it is [registry[:port]/]name[:tag]"
    }

    /// The name that is right here and wrong there.
    private var mapping: String? {
        guard let registry = clues.names, registry.push != registry.pull else { return nil }
        for (mine, yours) in [(registry.push, registry.pull)] where image.hasPrefix(mine + "/") {
            return "\(mine) is the registry's name on this machine; the nodes call it \(yours): "
                + "use \(yours)\(image.dropFirst(mine.count))"
        }
        return nil
    }

    private var local: String? {
        guard ImageName.isLoopback(name.registry) else { return nil }
        return "seen from a node, \(host) is the node itself: name the registry as the nodes reach it, "
            + "and both names in loop.json's \"registry\""
    }

    private var reachable: String { "does \(host) run, and can nodes reach it by that name?" }

    /// A name without a registry, which nodes look for at Docker's.
    private var bare: String? {
        guard name.registry.isEmpty, clues.playground == nil else { return nil }
        if let pull = clues.names?.pull, !pull.isEmpty {
            return "a name without a registry means docker.io: use \(pull)/\(image)"
        }
        return "a name without a registry means docker.io: put the registry's name before it, or load it onto the nodes"
    }

    private var missing: String {
        if let own = clues.playground, name.registry.isEmpty {
            return "on the playground a name without a registry means its own: `docker push \(own)/\(image)`, or let "
                + "loopd build it"
        }
        return "was it pushed there, under this name and tag? `docker push`, or let loopd build it"
    }

    private var login: String {
        if let bare, message.contains("does not exist") { return bare }
        return pullSecrets.isEmpty
            ? "the pod names no imagePullSecrets: create one (`kubectl create secret docker-registry`) and name it"
            : "do its imagePullSecrets (\(pullSecrets.joined(separator: ", "))) exist, and are they for \(host)?"
    }
}
