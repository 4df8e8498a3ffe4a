internal import OCI

extension RegistryNames {
    /// An image's repository as this machine names it: `localhost:5000/acme/web` for `ghcr.io/acme/web`.
    func pushRepository(of name: String) -> String { RegistryNames.join(push, path(of: name)) }

    /// The same for other programs: `localhost:5000/web` for `registry.localhost:5000/web`.
    ///
    /// Names below `localhost` are this machine for loopd, but unknown to programs whose resolver does not say so.
    func programRepository(of name: String) -> String {
        var place = ImageName(pushRepository(of: name))
        let host = place.registry.prefix { $0 != ":" }
        if host.hasSuffix(".localhost") { place.registry = "localhost\(place.registry.dropFirst(host.count))" }
        return "\(place)"
    }

    /// The same as the nodes name it.
    func pullRepository(of name: String) -> String { RegistryNames.join(pull, path(of: name)) }

    /// An image's name without the registry that manifests have in it.
    private func path(of name: String) -> String {
        for registry in [push, pull] where !registry.isEmpty && name.hasPrefix(registry + "/") {
            return String(name.dropFirst(registry.count + 1))
        }
        return ImageName(name).repository
    }

    private static func join(_ registry: String, _ path: String) -> String {
        registry.isEmpty ? path : "\(registry)/\(path)"
    }
}

extension ImageName {
    /// A name with everything that programs add to it: `docker.io/library/web` for `web`.
    ///
    /// Podman and buildah call an image `localhost/web` that is tagged `web`, and no node would look for that.
    static func full(_ name: String) -> String {
        let parsed = ImageName(name)
        if !parsed.registry.isEmpty { return name }
        return parsed.repository.contains("/") ? "docker.io/\(name)" : "docker.io/library/\(name)"
    }

    /// The same name as docker shows it: `web` for `docker.io/library/web`.
    static func familiar(_ name: String) -> String {
        let prefix = ["docker.io/library/", "docker.io/"].first { name.hasPrefix($0) } ?? ""
        return String(name.dropFirst(prefix.count))
    }

    /// Whether a registry, by host and port, is on this machine, where plain HTTP is the custom.
    static func isLoopback(_ registry: String) -> Bool {
        let host =
            registry.hasPrefix("[")
            ? String(registry.dropFirst().prefix { $0 != "]" }) : String(registry.prefix { $0 != ":" })
        return host == "localhost" || host.hasSuffix(".localhost") || host.hasPrefix("127.") || host == "::1"
    }
}

extension Image {
    /// What the image is called on nodes: by a tag first, then by its alias.
    func nodeNames(_ tag: String) -> [String] {
        ([tag] + (alias.map { [$0] } ?? [])).map { "\(ImageName.full(name)):\($0)" }
    }
}
