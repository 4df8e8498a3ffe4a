/// What is wrong with the text of a port, and what would be right.
public struct PortTextError: Error, Equatable, Sendable {
    /// What is wrong, in plain words.
    public let message: String
    /// What to do about it.
    public let hint: String?

    /// A port's number; `zero` where 0 stands for one that the kernel chooses.
    static func port(_ text: some StringProtocol, of whole: String, zero: Bool = false) throws(PortTextError) -> UInt16
    {
        guard let port = UInt16(text), text.first != "+", zero || port > 0 else {
            throw PortTextError(
                message: "\"\(text)\" is not a port" + (whole == text ? "" : ", in \"\(whole)\""),
                hint: "a whole number from 1 to 65535")
        }
        return port
    }

    /// UDP, which no way into a pod carries.
    static func refuseUDP(_ text: String) throws(PortTextError) {
        guard text.lowercased().hasSuffix("/udp") else { return }
        throw PortTextError(message: "UDP is not carried: \"\(text)\"", hint: "only TCP connections are")
    }
}

extension Forward {
    /// Reads `8080:80`, `8080` for both sides, or `:80` for a local port that the kernel chooses.
    public init(_ text: String) throws(PortTextError) {
        try PortTextError.refuseUDP(text)
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count <= 2 else {
            throw PortTextError(message: "\"\(text)\" is no pair of ports", hint: "LOCAL:REMOTE, for example 8080:80")
        }
        let remote = try PortTextError.port(parts[parts.count - 1], of: text)
        let local =
            parts.count == 1 ? remote : parts[0].isEmpty ? 0 : try PortTextError.port(parts[0], of: text, zero: true)
        self.init(local: local, remote: remote)
    }
}

extension Dependency {
    /// Reads `postgres:5432`.
    public init(_ text: String) throws(PortTextError) {
        try PortTextError.refuseUDP(text)
        guard let colon = text.lastIndex(of: ":") else {
            throw PortTextError(message: "\"\(text)\" names no port", hint: "for example \"\(text):5432\"")
        }
        let name = String(text[..<colon])
        let port = try PortTextError.port(text[text.index(after: colon)...], of: text)
        guard KubernetesName.isSubdomain(name) else {
            throw PortTextError(
                message: "\"\(name)\" is not a name that pods could look up", hint: "for example \"postgres:\(port)\"")
        }
        self.init(name: name, port: port)
    }
}
