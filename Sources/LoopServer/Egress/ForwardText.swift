extension Forward {
    /// Why a text is no forward.
    public struct Unreadable: Error, Equatable, Sendable {
        /// What is wrong with it, in one line.
        public let message: String
    }

    /// From `LOCAL:REMOTE`, or `PORT` for both; a local port of 0, or none, lets the kernel choose.
    public init(parsing text: String) throws(Unreadable) {
        var ports = text
        if let slash = text.firstIndex(of: "/") {
            let kind = text[text.index(after: slash)...]
            guard kind == "tcp" else {
                throw Unreadable(
                    message: kind == "udp"
                        ? "\"\(text)\": only TCP can be forwarded, not UDP" : "\"\(text)\" is no port")
            }
            ports = String(text[..<slash])
        }
        let parts = ports.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count <= 2, let last = parts.last, let remote = Forward.port(last), remote > 0 else {
            throw Unreadable(message: "\"\(text)\" is not LOCAL:REMOTE or PORT, with ports from 1 to 65535")
        }
        guard parts.count == 2 else {
            self.init(local: remote, remote: remote)
            return
        }
        guard let local = parts[0].isEmpty ? 0 : Forward.port(parts[0]) else {
            throw Unreadable(message: "\"\(text)\": the local port is not a number from 0 to 65535")
        }
        self.init(local: local, remote: remote)
    }

    private static func port(_ text: String) -> UInt16? {
        text.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt16(text) : nil
    }
}
