internal import OCI

/// An image's name in a pod: `localhost:5000/team/app:1`, perhaps with `@sha256:…`, or `host`.
struct ImageReference: Equatable, Sendable {
    /// `localhost:5000`; empty where the name has none.
    var registry: String
    var repository: String
    var tag: String
    var digest: Digest?

    /// The tag or digest that is asked for.
    var reference: String { digest?.description ?? tag }

    /// `nil` where the text is no reference.
    init?(_ text: String) {
        var rest = text[...]
        if let at = rest.firstIndex(of: "@") {
            guard let digest = Digest(rest[rest.index(after: at)...]) else { return nil }
            self.digest = digest
            rest = rest[..<at]
        }
        let lastSlash = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[lastSlash...].lastIndex(of: ":") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        } else {
            tag = "latest"
        }
        // A first part with a dot or a port is a host, by Docker's rule.
        let first = rest.prefix { $0 != "/" }
        let isHost = first == "localhost" || first.contains { $0 == "." || $0 == ":" }
        if rest.contains("/"), isHost, !first.hasPrefix(".") {
            registry = String(first)
            repository = String(rest.dropFirst(first.count + 1))
        } else {
            registry = ""
            repository = String(rest)
        }
        guard RegistryStorage.isName(repository), RegistryStorage.isTag(tag) else { return nil }
    }

    /// The machine's own programs.
    var isHost: Bool { registry.isEmpty && repository == "host" && digest == nil }
}
