internal import Glibc
internal import Reactor
internal import Synchronization
internal import Wire

/// Why a connection could not be made.
struct DialFailure: Error {
    enum Kind {
        case refused, unreachable, timedOut, unknownName, other
    }

    let kind: Kind
    /// One line: what, and why.
    let text: String
}

/// Connects to names and addresses as the service's pod would: by a helper into the cluster, from this machine elsewhere.
struct Dialer: Sendable {
    /// How long one address may take to answer.
    private static let patience = Duration.seconds(10)

    let names: ClusterNames
    let route: any ClusterRoute
    /// How what is outside of the cluster is reached.
    var proxies = OutsideProxies()
    /// How long a way out of the cluster is alone before the next one is tried as well.
    var pace = Duration.seconds(3)

    /// A connection; throws `DialFailure`, or `CancellationError` where the task is cancelled.
    func connect(to host: String, port: UInt16) async throws -> any RelayEnd {
        try await connect(to: host, port: port, for: nil).remote
    }

    /// A connection for a client's request; where it leads only to an HTTP proxy, which is to get the request itself, `proxy`
    /// is that.
    ///
    /// Throws as the other one does.
    func connect(for request: ProxyRequest) async throws -> (remote: any RelayEnd, proxy: OutsideProxy?) {
        try await connect(to: request.host, port: request.port, for: request.purpose == .tunnel ? nil : request)
    }

    private func connect(
        to host: String, port: UInt16, for request: ProxyRequest?
    ) async throws -> (remote: any RelayEnd, proxy: OutsideProxy?) {
        let place = "\(Endpoint.tcp(host: host, port: port))"
        do {
            switch try await resolve(host, place) {
            case .cluster(let target): return (try await connect(to: target, place, port: port), nil)
            case .outside(let name, let hint):
                return try await leave(to: name, place, port: port, hint: hint, for: request)
            }
        } catch let failure as DialFailure {
            throw failure
        } catch {
            try Task.checkCancellation()
            throw DialFailure(kind: .other, text: "\(place): \(error)")
        }
    }

    private func resolve(_ host: String, _ place: String) async throws -> Resolved {
        do {
            return try await names.resolve(host)
        } catch let error as LoopFailure {
            let hint = error.failure.nextStep.map { " (\($0))" } ?? ""
            let reason = error.failure.summary
            let begin = "\(host.lowercased()): "
            throw DialFailure(
                kind: .unknownName,
                text: "\(place): \(reason.hasPrefix(begin) ? String(reason.dropFirst(begin.count)) : reason)\(hint)")
        }
    }

    private func connect(to target: ClusterTarget, _ place: String, port: UInt16) async throws -> LinkSocket {
        if let absence = target.absence(of: port) {
            throw DialFailure(kind: .refused, text: "\(place): \(absence)")
        }
        var failure = DialFailure(kind: .unreachable, text: "\(place): it has no address")
        for address in target.addresses {
            do {
                return try await connect(to: address, target, port: port)
            } catch let LinkError.refused(reason) {
                let text = String(decoding: reason.text, as: UTF8.self)
                // What rejects is the cluster's own network where a Service has no pod.
                let hint =
                    reason.code == ECONNREFUSED && target.ports != nil
                    ? " (no pod of it is ready, or none listens)" : ""
                failure = DialFailure(
                    kind: DialFailure.Kind(errno: reason.code),
                    text: text.hasPrefix(place) ? text + hint : "\(place): \(text)\(hint)")
            } catch let error as LinkError {
                failure = DialFailure(kind: .timedOut, text: "\(place): \(error)")
            } catch let error as LoopFailure {
                let hint = error.failure.nextStep.map { " (\($0))" } ?? ""
                throw DialFailure(kind: .timedOut, text: "\(place): \(error.failure.summary)\(hint)")
            }
        }
        throw failure
    }

    /// Once more by the next link, where the first one ends meanwhile: its pod may just have gone.
    private func connect(to address: String, _ target: ClusterTarget, port: UInt16) async throws -> LinkSocket {
        let link = try await route.link(to: target)
        do {
            return try await link.connect(to: address, port: port, timeout: Dialer.patience)
        } catch LinkError.disconnected {
            return try await route.link(to: target).connect(to: address, port: port, timeout: Dialer.patience)
        }
    }

    private func leave(
        to name: String, _ place: String, port: UInt16, hint: String?, for request: ProxyRequest?
    ) async throws -> (remote: any RelayEnd, proxy: OutsideProxy?) {
        // Many proxies let no tunnel lead to port 80. An upgrade needs one, and so does an alias in the cluster: a proxy
        // that gets the request tells the server the name that it connects to.
        let isPassed = request.map { !$0.isUpgrade && $0.host.lowercased() == name } ?? false
        let ways = proxies.ways(to: name, port: port, isRequest: request != nil)
        let found = try await FirstWay.find(among: ways.count, pace: pace) { number -> FirstWay.Found in
            guard let proxy = ways[number] else { return (try await Dialer.reach(name, port: port), nil) }
            if isPassed, proxy.kind == .http { return (try await proxy.connect(), proxy) }
            return (try await proxy.tunnel(to: name, port: port), nil)
        }
        let failures: [DialFailure]
        switch found {
        case .success(let found): return found
        case .failure(let none): failures = none.failures
        }
        let isDirect = ways[0] == nil
        let texts = zip(ways, failures).map { way, failure in
            way == nil && !isDirect ? "directly: \(failure.text)" : failure.text
        }
        let failure = DialFailure(kind: failures[failures.count - 1].kind, text: texts.joined(separator: "; "))
        guard let hint, !isDirect || failure.kind == .unknownName else {
            throw DialFailure(kind: failure.kind, text: "\(place): \(failure.text)")
        }
        let near = await names.nearest(to: name).map { " (did you mean \"\($0)\"?)" } ?? ""
        let end = isDirect ? "\(failure.text) either" : failure.text
        throw DialFailure(kind: failure.kind, text: "\(place): \(hint)\(near), and \(end)")
    }

    /// A connection from this machine to a name or an address.
    ///
    /// Throws `DialFailure` with the reason alone, or `CancellationError`.
    static func reach(_ name: String, port: UInt16) async throws -> Reactor.Stream {
        var failure = DialFailure(kind: .unknownName, text: "this machine does not know the name")
        for address in try await addresses(of: name) {
            do {
                return try await atMost(
                    patience, otherwise: SystemError(code: ETIMEDOUT, attempt: "connect \(address)")
                ) {
                    try await Reactor.Stream.connect(to: .tcp(host: address, port: port))
                }
            } catch let error as SystemError {
                failure = DialFailure(
                    kind: DialFailure.Kind(errno: error.code), text: String(cString: strerror(error.code)))
            }
        }
        throw failure
    }

    /// What this machine knows a name as; none where it does not know it.
    ///
    /// Throws `CancellationError`.
    static func addresses(of name: String) async throws -> [String] {
        if let address = IPAddress(name) { return ["\(address)"] }
        let found = Mutex<[String]>([])
        let answered = Gate()
        // Nothing ends the system's resolver, which may take half a minute: who is cancelled does not wait for it.
        Task {
            let addresses = (try? await offPool { Dialer.systemAddresses(of: name) }) ?? []
            found.withLock { $0 = addresses }
            answered.close()
        }
        await answered.pass()
        try Task.checkCancellation()
        return found.withLock { $0 }
    }

    private static func systemAddresses(of name: String) -> [String] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(name, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var addresses: [String] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ai_next
            guard let address = entry.ai_addr else { continue }
            let raw = UnsafeRawPointer(address)
            let bytes =
                entry.ai_family == AF_INET
                ? UnsafeRawBufferPointer(start: raw + 4, count: 4)
                : UnsafeRawBufferPointer(start: raw + 8, count: 16)
            addresses.append("\(IPAddress(bytes: Array(bytes)))")
        }
        return addresses
    }
}

extension DialFailure.Kind {
    fileprivate init(errno code: Int32) {
        switch code {
        case ECONNREFUSED: self = .refused
        case EHOSTUNREACH, ENETUNREACH: self = .unreachable
        case ETIMEDOUT: self = .timedOut
        default: self = .other
        }
    }
}
