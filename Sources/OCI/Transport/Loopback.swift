internal import Glibc
internal import Reactor
internal import Synchronization

/// What is on this machine.
enum Loopback {
    /// The addresses to try for a host on this machine; `nil` for a host elsewhere.
    ///
    /// `localhost` and every name below it are this machine whatever a resolver says; other names are asked for, and
    /// are this machine where every one of their addresses is. A resolver that takes longer than `limit` does not know.
    ///
    /// - Parameter lookUp: what a name leads to, by `/etc/hosts` and whatever else the machine asks.
    static func addresses(
        of host: String, limit: Duration = .seconds(3),
        lookUp: @escaping @Sendable (String) -> [String] = Loopback.lookUp
    ) async -> [String]? {
        let host = host.lowercased()
        if host == "localhost" || host.hasSuffix(".localhost") { return ["127.0.0.1", "::1"] }
        if isAddress(host) { return isLoopback(host) ? [host] : nil }
        guard let found = await resolved(host, limit: limit, lookUp), !found.isEmpty, found.allSatisfy(isLoopback)
        else {
            return nil
        }
        return found
    }

    static func isAddress(_ host: String) -> Bool {
        var four = in_addr()
        var six = in6_addr()
        return inet_pton(AF_INET, host, &four) == 1 || inet_pton(AF_INET6, host, &six) == 1
    }

    static func isLoopback(_ address: String) -> Bool {
        var six = in6_addr()
        if inet_pton(AF_INET6, address, &six) == 1 {
            return withUnsafeBytes(of: &six) { $0.dropLast().allSatisfy { $0 == 0 } && $0[15] == 1 }
        }
        var four = in_addr()
        return inet_pton(AF_INET, address, &four) == 1 && address.hasPrefix("127.")
    }

    /// The call blocks, and cannot be ended: after the limit its answer is of no interest any more.
    private static func resolved(_ host: String, limit: Duration, _ lookUp: @escaping @Sendable (String) -> [String])
        async -> [String]?
    {
        let first = First()
        return await withCheckedContinuation { continuation in
            first.wait(continuation)
            let timer = Task {
                try? await Task.sleep(for: limit)
                first.give(nil)
            }
            Task.detached {
                let found = try? await offPool { lookUp(host) }
                first.give(found)
                timer.cancel()
            }
        }
    }

    /// Resumes once, with what comes first.
    private final class First: Sendable {
        private let waiting = Mutex<CheckedContinuation<[String]?, Never>?>(nil)

        func wait(_ continuation: CheckedContinuation<[String]?, Never>) {
            waiting.withLock { $0 = continuation }
        }

        func give(_ found: [String]?) {
            waiting.withLock { $0.take() }?.resume(returning: found)
        }
    }

    @Sendable static func lookUp(_ host: String) -> [String] {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [String] = []
        var next = list
        while let entry = next?.pointee {
            var text = [CChar](repeating: 0, count: 64)
            if getnameinfo(entry.ai_addr, entry.ai_addrlen, &text, 64, nil, 0, NI_NUMERICHOST) == 0 {
                found.append(String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self))
            }
            next = entry.ai_next
        }
        return found
    }
}
