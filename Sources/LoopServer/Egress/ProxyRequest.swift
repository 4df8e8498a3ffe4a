/// The head of a request to an HTTP proxy.
struct ProxyRequest {
    /// Why a head is refused.
    struct Malformed: Error {
        let text: String
    }

    /// How its body ends.
    enum Body: Equatable {
        case length(Int)
        case chunked
    }

    /// What a request asks the proxy for.
    enum Purpose: Equatable {
        /// A connection.
        case tunnel
        /// That the request itself is passed on, with this target.
        case forward(path: String)
    }

    static let limit = 64 << 10

    let method: String
    let purpose: Purpose
    let host: String
    let port: UInt16
    let body: Body
    /// Whether the connection becomes another protocol's if the server agrees.
    let isUpgrade: Bool
    private let minor: Int
    private let authority: String
    private let fields: [(name: String, value: [UInt8])]

    /// Fields that are about the connection to the proxy.
    private static let ownFields: Set<String> = [
        "connection", "proxy-connection", "proxy-authorization", "proxy-authenticate", "keep-alive", "te", "upgrade",
        "host",
    ]

    /// From a head with its empty line.
    init(parsing head: [UInt8]) throws(Malformed) {
        let lines = try ProxyRequest.lines(head)
        let words = lines[0].split(separator: 0x20, omittingEmptySubsequences: false)
        guard words.count == 3, lines[0].allSatisfy({ $0 >= 0x20 && $0 < 0x7F }) else {
            throw Malformed(text: "the request line is not `METHOD target HTTP/1.1`")
        }
        method = String(decoding: words[0], as: UTF8.self)
        guard !method.isEmpty, method.utf8.allSatisfy({ ProxyRequest.isToken($0) }) else {
            throw Malformed(text: "the method is not a token")
        }
        switch String(decoding: words[2], as: UTF8.self) {
        case "HTTP/1.1": minor = 1
        case "HTTP/1.0": minor = 0
        default: throw Malformed(text: "the version is neither HTTP/1.1 nor HTTP/1.0")
        }
        var fields: [(name: String, value: [UInt8])] = []
        for line in lines.dropFirst() { fields.append(try ProxyRequest.field(line)) }
        self.fields = fields
        body = try ProxyRequest.body(fields)
        let target = String(decoding: words[1], as: UTF8.self)
        if method == "CONNECT" {
            purpose = .tunnel
            (authority, isUpgrade) = (target, false)
            (host, port) = try ProxyRequest.place(target, defaultPort: nil)
        } else {
            let scheme = target.prefix { $0 != ":" }.lowercased()
            guard ["http", "ws"].contains(scheme), target.dropFirst(scheme.count).hasPrefix("://") else {
                throw Malformed(
                    text: scheme == "https" || scheme == "wss"
                        ? "\(scheme) goes through the proxy by CONNECT"
                        : "this is a proxy: the target has to be http://HOST/PATH, or the method CONNECT")
            }
            let rest = target.dropFirst(scheme.count + 3)
            let authority = rest.prefix { !["/", "?", "#"].contains($0) }
            let path = rest.dropFirst(authority.count).prefix { $0 != "#" }
            purpose = .forward(path: path.hasPrefix("/") ? String(path) : "/\(path)")
            // Whoever the user is, is said in a field.
            self.authority = String(authority.split(separator: "@", omittingEmptySubsequences: false).last ?? "")
            (host, port) = try ProxyRequest.place(self.authority, defaultPort: 80)
            let connection = ProxyRequest.tokens("connection", fields)
            isUpgrade = connection.contains("upgrade") && fields.contains { $0.name.lowercased() == "upgrade" }
        }
    }

    /// The head as the server gets it, or another proxy: without what is this proxy's, and for this one request only.
    func forwarded(by proxy: OutsideProxy? = nil) -> [UInt8] {
        guard case .forward(let path) = purpose else { return [] }
        var dropped = ProxyRequest.ownFields.union(ProxyRequest.tokens("connection", fields))
        if isUpgrade { dropped.remove("upgrade") }
        // What says where the body ends stays, whatever a client calls it.
        dropped.subtract(["content-length", "transfer-encoding"])
        let begin = proxy == nil ? "" : "http://\(authority)"
        let own = "Host: \(authority)\r\n\(proxy?.authorization ?? "")"
        var head = Array("\(method) \(begin)\(path) HTTP/1.\(minor)\r\n\(own)".utf8)
        for field in fields where !dropped.contains(field.name.lowercased()) {
            head += Array(field.name.utf8) + [0x3A, 0x20] + field.value + [0x0D, 0x0A]
        }
        return head + Array("Connection: \(isUpgrade ? "Upgrade" : "close")\r\n\r\n".utf8)
    }

    // MARK: - Parts

    private static func lines(_ head: [UInt8]) throws(Malformed) -> [ArraySlice<UInt8>] {
        var lines: [ArraySlice<UInt8>] = []
        for line in head.split(separator: 0x0A, omittingEmptySubsequences: false) {
            guard line.last == 0x0D || line.isEmpty else {
                throw Malformed(text: "a line feed without carriage return")
            }
            let line = line.dropLast()
            guard !line.contains(0x0D) else { throw Malformed(text: "a carriage return without line feed") }
            if !line.isEmpty { lines.append(line) }
        }
        guard !lines.isEmpty, lines.count <= 256 else { throw Malformed(text: "no line, or more than 256 of them") }
        return lines
    }

    private static func field(_ line: ArraySlice<UInt8>) throws(Malformed) -> (name: String, value: [UInt8]) {
        guard let colon = line.firstIndex(of: 0x3A), colon > line.startIndex,
            line[..<colon].allSatisfy({ isToken($0) })
        else { throw Malformed(text: "a field without name or colon") }
        var value = line[(colon + 1)...]
        while let first = value.first, first == 0x20 || first == 0x09 { value.removeFirst() }
        while let last = value.last, last == 0x20 || last == 0x09 { value.removeLast() }
        guard value.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            throw Malformed(text: "a control character in a field")
        }
        return (String(decoding: line[..<colon], as: UTF8.self), Array(value))
    }

    private static func body(_ fields: [(name: String, value: [UInt8])]) throws(Malformed) -> Body {
        let lengths = Set(fields.filter { $0.name.lowercased() == "content-length" }.map(\.value))
        let codings = tokens("transfer-encoding", fields)
        // Two parties that disagree about where a request ends see different requests.
        guard lengths.count <= 1, lengths.isEmpty || codings.isEmpty else {
            throw Malformed(text: "more than one word about the body's length")
        }
        guard codings.isEmpty else {
            guard codings == ["chunked"] else { throw Malformed(text: "a transfer coding other than chunked") }
            return .chunked
        }
        guard let text = lengths.first else { return .length(0) }
        guard !text.isEmpty, text.allSatisfy({ (0x30...0x39).contains($0) }),
            let length = Int(String(decoding: text, as: UTF8.self))
        else { throw Malformed(text: "a length that is no number") }
        return .length(length)
    }

    /// The comma-separated members of a field, in lower case.
    private static func tokens(_ name: String, _ fields: [(name: String, value: [UInt8])]) -> [String] {
        fields.filter { $0.name.lowercased() == name }.flatMap { field in
            String(decoding: field.value, as: UTF8.self).lowercased().split { [",", " ", "\t"].contains($0) }
                .map(String.init)
        }
    }

    /// `host:port`, an IPv6 address in brackets.
    static func place(
        _ authority: String, defaultPort: UInt16?
    ) throws(Malformed) -> (host: String, port: UInt16) {
        var host = authority[...]
        var port = defaultPort
        let end = authority.hasPrefix("[") ? authority.firstIndex(of: "]") : authority.startIndex
        guard let end else { throw Malformed(text: "an address without its bracket") }
        if let colon = authority[end...].lastIndex(of: ":") {
            host = authority[..<colon]
            let digits = authority[authority.index(after: colon)...]
            if !digits.isEmpty || defaultPort == nil {
                guard let number = UInt16(digits), number > 0 else { throw Malformed(text: "a port that is no number") }
                port = number
            }
        }
        if host.hasPrefix("[") {
            guard let address = IPAddress(host) else { throw Malformed(text: "an address that is none") }
            host = "\(address)"[...]
        } else if host.contains(":") {
            throw Malformed(text: "an IPv6 address without brackets")
        }
        guard !host.isEmpty, let port else { throw Malformed(text: "the target is not HOST:PORT") }
        return (String(host), port)
    }

    private static func isToken(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
