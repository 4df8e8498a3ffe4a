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

    /// A connection; throws `DialFailure`, or `CancellationError` where the task is cancelled.
    func connect(to host: String, port: UInt16) async throws -> any RelayEnd {
        let place = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        do {
            switch try await resolve(host, place) {
            case .cluster(let target): return try await connect(to: target, place, port: port)
            case .outside(let name, let hint):
                return try await connectDirectly(to: name, place, port: port, hint: hint)
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

    private func connectDirectly(
        to name: String, _ place: String, port: UInt16, hint: String?
    ) async throws -> Reactor.Stream {
        let addresses = try await Dialer.addresses(of: name)
        guard !addresses.isEmpty else {
            guard let hint else {
                throw DialFailure(kind: .unknownName, text: "\(place): this machine does not know the name")
            }
            let near = await names.nearest(to: name).map { " (did you mean \"\($0)\"?)" } ?? ""
            throw DialFailure(
                kind: .unknownName, text: "\(place): \(hint)\(near), and this machine does not know the name either")
        }
        var failure = DialFailure(kind: .unreachable, text: "\(place): it has no address")
        for address in addresses {
            do {
                return try await atMost(
                    Dialer.patience, otherwise: SystemError(code: ETIMEDOUT, attempt: "connect \(address)")
                ) {
                    try await Reactor.Stream.connect(to: .tcp(host: address, port: port))
                }
            } catch let error as SystemError {
                failure = DialFailure(
                    kind: DialFailure.Kind(errno: error.code),
                    text: "\(place): \(String(cString: strerror(error.code)))")
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
