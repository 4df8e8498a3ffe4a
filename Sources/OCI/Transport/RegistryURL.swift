/// A scheme, host and port.
struct Origin: Hashable, Sendable, CustomStringConvertible {
    let isSecure: Bool
    /// A name or address in lower case, IPv6 without its brackets.
    let host: String
    let port: UInt16

    init(isSecure: Bool, host: String, port: UInt16) {
        self.isSecure = isSecure
        self.host = host.lowercased()
        self.port = port
    }

    /// Reads `host`, `host:port` or `[::1]:port`.
    init?(_ text: some StringProtocol, isSecure: Bool) {
        let usual: UInt16 = isSecure ? 443 : 80
        var host = String(text)
        var port: UInt16? = usual
        if host.hasPrefix("[") {
            guard let end = host.firstIndex(of: "]") else { return nil }
            let rest = host[host.index(after: end)...]
            if !rest.isEmpty { port = rest.hasPrefix(":") ? UInt16(rest.dropFirst()) : nil }
            host = String(host[host.index(after: host.startIndex)..<end])
        } else if let colon = host.lastIndex(of: ":") {
            port = UInt16(host[host.index(after: colon)...])
            host = String(host[..<colon])
        }
        guard let port, !host.isEmpty, host.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && !"/?#@\\".utf8.contains($0) })
        else { return nil }
        self.init(isSecure: isSecure, host: host, port: port)
    }

    /// Host and port, the port only where it is not the usual one.
    var authority: String {
        let name = host.contains(":") ? "[\(host)]" : host
        return port == (isSecure ? 443 : 80) ? name : "\(name):\(port)"
    }

    var description: String { "\(isSecure ? "https" : "http")://\(authority)" }
}

/// Where a request goes.
struct RegistryURL: Equatable, Sendable, CustomStringConvertible {
    let origin: Origin
    /// Path and query, percent-encoded.
    let target: String

    /// Reads an absolute URL, or one relative to `base`; `nil` for what is neither or is no HTTP.
    init?(_ text: String, relativeTo base: RegistryURL? = nil) {
        let text = String(text.prefix { $0 != "#" })
        guard text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
        if let scheme = text.firstRange(of: "://"), !text[..<scheme.lowerBound].contains("/") {
            let isSecure = text[..<scheme.lowerBound].lowercased() == "https"
            guard isSecure || text[..<scheme.lowerBound].lowercased() == "http" else { return nil }
            let rest = text[scheme.upperBound...]
            let authority = rest.prefix { $0 != "/" && $0 != "?" }
            guard let origin = Origin(authority, isSecure: isSecure) else { return nil }
            let target = String(rest.dropFirst(authority.count))
            self.init(origin, target.hasPrefix("/") ? target : "/\(target)")
        } else if let base, text.hasPrefix("/"), !text.hasPrefix("//") {
            self.init(base.origin, text)
        } else if let base, !text.isEmpty, !text.hasPrefix("/") {
            let path = base.target.prefix { $0 != "?" }
            let folder = path[...(path.lastIndex(of: "/") ?? path.startIndex)]
            self.init(base.origin, text.hasPrefix("?") ? path + text : folder + text)
        } else {
            return nil
        }
    }

    init(_ origin: Origin, _ target: some StringProtocol) {
        self.origin = origin
        self.target = String(target)
    }

    /// The same with one more member in the query, whose value is encoded.
    func adding(_ name: String, _ value: String) -> RegistryURL {
        RegistryURL(origin, "\(target)\(target.contains("?") ? "&" : "?")\(name)=\(RegistryURL.encoded(value))")
    }

    /// Percent-encodes everything but unreserved characters.
    static func encoded(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF".utf8)
        var out: [UInt8] = []
        for byte in text.utf8 {
            let isKept =
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) || "-._~".utf8.contains(byte)
            out += isKept ? [byte] : [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
        }
        return String(decoding: out, as: UTF8.self)
    }

    var description: String { "\(origin)\(target)" }
}
