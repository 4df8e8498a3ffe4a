extension Dependency {
    /// Why a text is no dependency.
    public struct Unreadable: Error, Equatable, Sendable {
        /// What is wrong with it, in one line.
        public let message: String
    }

    /// From `postgres:5432`.
    public init(parsing text: String) throws(Unreadable) {
        guard !text.lowercased().hasSuffix("/udp") else {
            throw Unreadable(message: "\"\(text)\": only TCP is carried, not UDP")
        }
        guard let colon = text.lastIndex(of: ":") else {
            throw Unreadable(message: "\"\(text)\" names no port: for example \"\(text):5432\"")
        }
        let name = String(text[..<colon])
        guard let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            throw Unreadable(message: "\"\(text)\" ends with no port from 1 to 65535")
        }
        guard KubernetesName.isSubdomain(name) else {
            throw Unreadable(message: "\"\(name)\" is not a name that pods could look up")
        }
        self.init(name: name, port: port)
    }
}
