internal import JSON
internal import Watcher

/// The `nix` of sideloads, deployments and images.
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

    /// Something that Nix can build: a flake's attribute as text, or an object.
    mutating func installable(_ node: Node, root: String) -> Installable? {
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
