/// An image's name in a pod: `localhost:5000/team/app:1`, perhaps with `@sha256:…`.
public struct ImageName: Equatable, Sendable, CustomStringConvertible {
    /// `localhost:5000`; empty where the name has none.
    public var registry: String
    /// The path below the registry.
    public var repository: String
    /// The tag; `nil` where there is none, or only a digest.
    public var tag: String?
    /// `sha256:…`; `nil` where there is none.
    public var digest: String?

    /// Takes a name apart; what is no name is taken as far as it goes.
    public init(_ text: String) {
        var rest = text[...]
        digest = rest.firstIndex(of: "@").map { at in
            defer { rest = rest[..<at] }
            return String(rest[rest.index(after: at)...])
        }
        let lastPart = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[lastPart...].lastIndex(of: ":") {
            tag = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        // A first part with a dot or a port is a host, by Docker's rule.
        let first = rest.prefix { $0 != "/" }
        let isHost = first.count < rest.count && (first == "localhost" || first.contains { ".:".contains($0) })
        registry = isHost ? String(first) : ""
        repository = String(isHost ? rest.dropFirst(first.count + 1) : rest)
    }

    /// A name of its parts.
    public init(registry: String, repository: String, tag: String? = nil, digest: String? = nil) {
        self.registry = registry
        self.repository = repository
        self.tag = tag
        self.digest = digest
    }

    /// The digest, else the tag, else `latest`.
    public var reference: String { digest ?? tag ?? "latest" }

    /// Registry and repository, without tag and digest.
    public var untagged: String { registry.isEmpty ? repository : "\(registry)/\(repository)" }

    /// The name as pods have it.
    public var description: String { untagged + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "") }
}
