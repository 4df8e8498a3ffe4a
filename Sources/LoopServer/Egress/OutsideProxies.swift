/// The proxies by which this machine reaches what is outside of it: a pure function of the variables that curl, Go and
/// others read.
struct OutsideProxies: Sendable {
    /// Which variables could not be read, in one line.
    let problem: String?
    private let http: OutsideProxy?
    private let https: OutsideProxy?
    private let all: OutsideProxy?
    private let exceptions: [Exception]

    /// From `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY`, each in small letters first; an empty one says nothing.
    init(_ variables: [String: String] = [:]) {
        func value(_ name: String) -> (name: String, text: String)? {
            [name.lowercased(), name].lazy.compactMap { name in variables[name].map { (name, $0) } }
                .first { !$0.1.isEmpty }
        }
        let found = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(value)
        let proxies = found.map { $0.flatMap { OutsideProxy($0.text, variable: $0.name) } }
        (http, https, all) = (proxies[0], proxies[1], proxies[2])
        let unread = zip(found, proxies).compactMap { $1 == nil ? $0?.name : nil }
        // Not the value: it may have a password.
        problem =
            unread.isEmpty
            ? nil
            : "\(unread.joined(separator: ", ")): only http://HOST:PORT and socks5://HOST:PORT can be used: "
                + "names outside the cluster are reached without that proxy"
        exceptions = (value("NO_PROXY")?.text ?? "").split { $0 == "," || $0.isWhitespace }.map(Exception.init)
    }

    /// The ways to a name or an address of the outside, in the order in which they are tried; `nil` is the direct one.
    ///
    /// - Parameter isRequest: That it is an HTTP request, whatever its port is; otherwise only the port tells.
    func ways(to host: String, port: UInt16, isRequest: Bool = false) -> [OutsideProxy?] {
        var name = host.lowercased()
        if name.hasSuffix(".") { name.removeLast() }
        let address = IPAddress(name)
        let isLoopback = address?.isLoopback ?? (name == "localhost" || name.hasSuffix(".localhost"))
        guard !isLoopback, !exceptions.contains(where: { $0.covers(name, address, port) }) else { return [nil] }
        if isRequest || port == 80 { return [http ?? all] }
        if port == 443 { return [https ?? all] }
        // It may be HTTPS, or a database of the company that its proxy does not lead to.
        return https.map { $0.isSame(as: all) ? [$0] : [$0, all] } ?? [all]
    }

    /// An entry of `NO_PROXY`.
    private struct Exception {
        private enum Place {
            case all
            case range(IPRange)
            case address(IPAddress)
            /// And what is below it.
            case name(String)
        }
        private let place: Place
        /// `nil` where it is about each.
        private let port: UInt16?

        init(_ entry: Substring) {
            var text = entry.lowercased()[...]
            var port: UInt16?
            if IPAddress(text) == nil, let colon = text.lastIndex(of: ":"),
                let number = UInt16(text[text.index(after: colon)...])
            {
                port = number
                text = text[..<colon]
            }
            self.port = port
            if text == "*" {
                place = .all
            } else if let range = IPRange(String(text)) {
                place = .range(range)
            } else if let address = IPAddress(text) {
                place = .address(address)
            } else {
                // Before a name's dot Go wants something, curl does not.
                for beginning in ["*.", "."] where text.hasPrefix(beginning) { text.removeFirst(beginning.count) }
                if text.hasSuffix(".") { text.removeLast() }
                place = .name(String(text))
            }
        }

        func covers(_ name: String, _ address: IPAddress?, _ port: UInt16) -> Bool {
            guard self.port == nil || self.port == port else { return false }
            return switch place {
            case .all: true
            case .range(let range): address.map(range.contains) ?? false
            case .address(let own): address == own
            case .name(let own): !own.isEmpty && (name == own || name.hasSuffix(".\(own)"))
            }
        }
    }
}
