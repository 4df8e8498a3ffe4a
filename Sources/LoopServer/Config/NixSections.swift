internal import JSON
internal import Watcher

/// `deploy`, and the `nix` of a sideload.
extension ConfigurationReader {
    /// A rule that builds with Nix and brings the closure into the containers.
    mutating func closure(_ keys: [String: Node], root: String) -> Closure? {
        for key in ["from", "to", "on"] {
            guard let node = keys[key] else { continue }
            error(node, "\"\(key)\" beside \"nix\"", hint: "a closure keeps its place: /nix/store")
        }
        let profile = keys["profile"].flatMap { destination($0) }
        if let node = keys["profile"], let profile, profile == "/" || profile.hasPrefix("/nix/store/") {
            error(node, "\"\(profile)\" is no place for a link", hint: "for example \"/nix/var/nix/profiles/app\"")
        }
        let copyTo = keys["copyTo"].flatMap { store($0) }
        guard let node = keys["nix"], let installable = installable(node, root: root) else { return nil }
        return Closure(installable, profile: profile, copyTo: copyTo)
    }

    /// The address of a store.
    private mutating func store(_ node: Node) -> String? {
        guard let text = string(node) else { return nil }
        guard text.contains("://") else {
            error(node, "\"\(text)\" is no store", hint: "for example \"ssh-ng://root@node\", as in `nix copy --to`")
            return nil
        }
        return text
    }

    /// A rule's `deploy`.
    mutating func deployment(_ node: Node, root: String) -> Deployment? {
        guard let keys = section(node, .deploy) else { return nil }
        let isPlanned = node.value.memberKeys.contains { ConfigurationKeys.deploy.later.contains($0) }
        if keys["nix"] == nil, !isPlanned {
            error(node, "\"nix\" is missing", hint: "what the manifests are built from: \"nix\": \".#manifests\"")
        }
        let kluctl = keys["kluctl"].flatMap { self.kluctl($0) }
        guard let nix = keys["nix"], let installable = installable(nix, root: root) else { return nil }
        return Deployment(installable, kluctl: kluctl)
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

    /// Something that Nix can build: a flake's attribute as text, or an object.
    private mutating func installable(_ node: Node, root: String) -> Installable? {
        guard case .object = node.value.kind else { return flake(node, root: root) }
        guard let keys = section(node, .nix) else { return nil }
        let attribute = string(keys["attribute"])
        let arguments = variables(keys["args"])
        if let flake = keys["flake"] {
            if let node = keys["file"] { error(node, "\"flake\" or \"file\", not both") }
            if let node = keys["attribute"] {
                error(node, "\"attribute\" beside \"flake\"", hint: "it is a part of the flake's text: \".#name\"")
            }
            if let node = keys["args"] {
                error(
                    node, "a flake's attribute takes no \"args\"",
                    hint:
                        "\"nix\": {\"file\": \"default.nix\", \"attribute\": \"name\", \"args\": {…}} is `nix build -f`"
                )
            }
            return self.flake(flake, root: root)
        }
        guard let node = keys["file"] else {
            error(node, "neither \"flake\" nor \"file\"", hint: "\"nix\": \".#name\" is a flake's attribute")
            return nil
        }
        guard let text = string(node),
            let path = relative(node, text, hint: "\"file\" is relative to the service's root")
        else { return nil }
        return Installable(
            .file(ProjectPath.join(root, path), attribute: attribute), arguments: arguments, in: root)
    }

    private mutating func flake(_ node: Node, root: String) -> Installable? {
        guard let text = string(node) else { return nil }
        guard text.contains("#") else {
            error(node, "\"\(text)\" names no attribute", hint: "\"\(text)#name\", or \"\(text)#default\"")
            return nil
        }
        guard !text.hasPrefix("-") else {
            error(node, "\"\(text)\" is an option, not a flake")
            return nil
        }
        return Installable(.flake(text), in: root)
    }
}
