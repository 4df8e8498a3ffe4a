/// An image's name in a pod: `localhost:5000/team/app:1`, perhaps with `@sha256:…`.
public struct ImageName: Equatable, Sendable {
    /// `localhost:5000`; empty where the name has none.
    public let registry: String
    /// The path below the registry.
    public let repository: String
    /// The digest, else the tag.
    public let reference: String

    /// Takes a name apart; what is no name is taken as far as it goes.
    public init(_ text: String) {
        var rest = text[...]
        var reference = "latest"
        let digest = rest.firstIndex(of: "@").map { at in
            defer { rest = rest[..<at] }
            return String(rest[rest.index(after: at)...])
        }
        let lastPart = rest.lastIndex(of: "/") ?? rest.startIndex
        if let colon = rest[lastPart...].lastIndex(of: ":") {
            reference = String(rest[rest.index(after: colon)...])
            rest = rest[..<colon]
        }
        self.reference = digest ?? reference
        // A first part with a dot or a port is a host, by Docker's rule.
        let first = rest.prefix { $0 != "/" }
        let isHost = first.count < rest.count && (first == "localhost" || first.contains { ".:".contains($0) })
        registry = isHost ? String(first) : ""
        repository = String(isHost ? rest.dropFirst(first.count + 1) : rest)
    }

    /// Where its registry listens, if that is on this machine, where plain HTTP is the custom.
    public var loopback: (host: String, port: UInt16)? {
        let parts = registry.split(separator: ":", maxSplits: 1)
        guard let host = parts.first, host == "localhost" || host.hasPrefix("127.") else { return nil }
        guard let port = parts.count == 2 ? UInt16(parts[1]) : 80 else { return nil }
        return (host == "localhost" ? "127.0.0.1" : String(host), port)
    }
}
