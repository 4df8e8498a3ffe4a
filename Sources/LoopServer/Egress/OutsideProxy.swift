internal import HTTP
internal import Reactor

/// A proxy that leads out of this machine: one of HTTP, by CONNECT (RFC 9110), or one of SOCKS5 (RFC 1928 and 1929).
struct OutsideProxy: Sendable, CustomStringConvertible {
    enum Kind {
        case http, socks
    }

    let kind: Kind
    /// How long it may take to answer, while it connects to what is behind it; for tests.
    var patience = Duration.seconds(30)
    private let host: String
    private let port: UInt16
    private let login: (user: String, password: String)?
    private let variable: String

    /// From a variable's value, a URL or only `HOST:PORT`; `nil` where it is no such proxy.
    init?(_ text: String, variable: String) {
        let mark = text.firstRange(of: "://")
        switch mark.map({ text[..<$0.lowerBound].lowercased() }) {
        case "http", nil: kind = .http
        case "socks5", "socks5h": kind = .socks
        default: return nil
        }
        let rest = mark.map { text[$0.upperBound...] } ?? text[...]
        let authority = rest.prefix { !["/", "?", "#"].contains($0) }
        // Part of a password that is not encoded: the rest of it would be taken for the host.
        guard !rest.dropFirst(authority.count).contains("@") else { return nil }
        let at = authority.lastIndex(of: "@")
        let place = at.map { authority[authority.index(after: $0)...] } ?? authority
        guard let (host, port) = try? ProxyRequest.place(String(place), defaultPort: kind == .http ? 80 : 1080)
        else { return nil }
        (self.host, self.port, self.variable) = (host, port, variable)
        login = at.map { at in
            let parts = authority[..<at].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
                .map { PercentEncoding.decode($0) }
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
    }

    /// Whether the other one is at the same place.
    func isSame(as other: OutsideProxy?) -> Bool {
        other.map { ($0.kind, $0.host, $0.port) == (kind, host, port) } ?? false
    }

    /// As an error names it: without user and password.
    var description: String { "this machine's proxy \(Endpoint.tcp(host: host, port: port)) (\(variable))" }

    /// The field of a request that says whose it is, with its line's end; empty where nobody is named.
    var authorization: String {
        login.map { "Proxy-Authorization: Basic \(Base64.encode(Array("\($0.user):\($0.password)".utf8)))\r\n" } ?? ""
    }

    /// What it says to whom it does not let through for who they are.
    var loginRefusal: String { login == nil ? "wants a user and a password" : "does not take this user and password" }

    /// A connection to the proxy itself; throws `DialFailure` or `CancellationError`.
    func connect() async throws -> Stream {
        do {
            return try await Dialer.reach(host, port: port)
        } catch let failure as DialFailure {
            throw DialFailure(kind: .unreachable, text: "\(self) cannot be reached: \(failure.text)")
        }
    }

    /// A connection through the proxy to a name or an address, which the proxy resolves; throws `DialFailure` or
    /// `CancellationError`.
    func tunnel(to host: String, port: UInt16) async throws -> PrefixedStream {
        let late = failure("has not answered within \(patience.components.seconds) s", .timedOut)
        return try await atMost(patience, otherwise: late) {
            let stream = try await connect()
            var input = ProxyInput(stream)
            do {
                switch kind {
                case .http: try await askHTTP(&input, for: host, port)
                case .socks: try await askSocks(&input, for: host, port)
                }
            } catch {
                stream.reset()
                switch error {
                case let error as ProxyRequest.Malformed: throw failure("answers with \(error.text)")
                case is SystemError: throw failure("has closed the connection without an answer")
                default: throw error
                }
            }
            return PrefixedStream(input.takeAll(), stream)
        }
    }

    private func failure(_ predicate: String, _ kind: DialFailure.Kind = .other) -> DialFailure {
        DialFailure(kind: kind, text: "\(self) \(predicate)")
    }

    private func askHTTP(_ input: inout ProxyInput, for host: String, _ port: UInt16) async throws {
        let place = "\(Endpoint.tcp(host: host, port: port))"
        let request = "CONNECT \(place) HTTP/1.1\r\nHost: \(place)\r\n\(authorization)\r\n"
        try await input.stream.write(Array(request.utf8))
        while let head = try await input.takeHead() {
            guard let status = RequestEnd.status(of: head) else { throw failure("does not speak HTTP") }
            switch status {
            case 100...199: continue
            case 200...299: return
            default:
                let line = head.prefix { (0x20..<0x7F).contains($0) }.drop { $0 != 0x20 }.dropFirst().prefix(100)
                throw failure(
                    "answers \(String(decoding: line, as: UTF8.self))", status == 504 ? .timedOut : .refused)
            }
        }
        throw SystemError(code: 0, attempt: "read")
    }

    private func askSocks(_ input: inout ProxyInput, for host: String, _ port: UInt16) async throws {
        try await input.stream.write(login == nil ? [5, 1, 0] : [5, 2, 0, 2])
        let choice = try await input.take(2)
        guard choice[0] == 5 else { throw failure("does not speak SOCKS5") }
        switch (choice[1], login) {
        case (0, _): break
        case (2, let (user, password)?):
            guard let user = OutsideProxy.counted(user), let password = OutsideProxy.counted(password) else {
                throw failure("takes no user or password of more than 255 bytes")
            }
            try await input.stream.write([1] + user + password)
            guard try await input.take(2)[1] == 0 else { throw failure(loginRefusal) }
        default: throw failure(login == nil ? loginRefusal : "wants another way to log in")
        }
        let place: [UInt8]
        if let address = IPAddress(host) {
            place = [address.bytes.count == 4 ? 1 : 4] + address.bytes
        } else {
            guard let name = OutsideProxy.counted(host) else { throw failure("takes no name of more than 255 bytes") }
            place = [3] + name
        }
        try await input.stream.write([5, 1, 0] + place + [UInt8(port >> 8), UInt8(port & 255)])
        let reply = try await input.take(4)
        guard reply[1] == 0 else {
            let reasons = [
                "general failure", "not allowed by its rules", "network unreachable", "host unreachable",
                "connection refused", "timed out", "command not supported", "address type not supported",
            ]
            let code = Int(reply[1])
            throw failure(
                "answers: \(code <= reasons.count ? reasons[code - 1] : "code \(code)")",
                code == 6 ? .timedOut : .refused)
        }
        // The proxy's own address, which nobody needs.
        let length =
            switch reply[3] {
            case 1: 4
            case 4: 16
            default: Int(try await input.take(1)[0])
            }
        _ = try await input.take(length + 2)
    }

    /// A text with its length before it, in a byte.
    private static func counted(_ text: String) -> [UInt8]? {
        UInt8(exactly: text.utf8.count).map { [$0] + Array(text.utf8) }
    }
}
