internal import Reactor
internal import Synchronization

/// One port of loopback that speaks SOCKS5 and is an HTTP proxy, told apart by the first byte.
struct Proxy: Sendable {
    /// How long a client may take to say what it wants.
    static let patience = Duration.seconds(10)

    let listener: LoopbackListener
    let dialer: Dialer
    let notices: Notices
    let slots: ConnectionSlots
    /// How long a client may take to say what it wants; for tests.
    var patience = Proxy.patience

    /// Listens at a port that the kernel chooses.
    init(_ dialer: Dialer, notices: Notices, slots: ConnectionSlots) throws {
        listener = try LoopbackListener(port: 0)
        self.dialer = dialer
        self.notices = notices
        self.slots = slots
    }

    /// The variables that lead programs here, in every spelling that one reads.
    var variables: [String: String] {
        let address = "127.0.0.1:\(listener.port)"
        var variables: [String: String] = [:]
        for (name, value) in [
            ("HTTP_PROXY", "http://\(address)"), ("HTTPS_PROXY", "http://\(address)"),
            ("ALL_PROXY", "socks5h://\(address)"), ("NO_PROXY", "localhost,127.0.0.1,::1"),
        ] {
            variables[name] = value
            variables[name.lowercased()] = value
        }
        return variables
    }

    /// Serves until the task is cancelled.
    func run() async {
        await listener.run(notices: notices, slots: slots) { await serve($0) }
    }

    private func serve(_ stream: Stream) async {
        do {
            let timer = Task {
                // A client that says nothing is told by the time alone.
                try await Task.sleep(for: patience)
                stream.close()
            }
            defer { timer.cancel() }
            var input = ProxyInput(stream)
            guard try await input.fill() else { return stream.close() }
            switch input.first {
            case 4, 5: try await SocksExchange(dialer: dialer, notices: notices).serve(&input, timer)
            default: try await HTTPProxyExchange(dialer: dialer, notices: notices).serve(&input, timer)
            }
        } catch {
            stream.reset()
        }
    }
}

/// What a peer has sent and nobody has looked at yet.
struct ProxyInput {
    let stream: Stream
    private(set) var bytes: [UInt8] = []

    init(_ stream: Stream) { self.stream = stream }

    var first: UInt8 { bytes.first ?? 0 }

    /// Waits for more; false at the end.
    mutating func fill() async throws -> Bool {
        let more = try await stream.read(upTo: 16 << 10)
        bytes += more
        return !more.isEmpty
    }

    /// The next bytes; throws where the peer ends before.
    mutating func take(_ count: Int) async throws -> [UInt8] {
        while bytes.count < count {
            guard try await fill() else { throw SystemError(code: 0, attempt: "read") }
        }
        defer { bytes.removeFirst(count) }
        return Array(bytes[..<count])
    }

    /// A head of HTTP with its empty line; `nil` where the peer ends before.
    ///
    /// Throws `ProxyRequest.Malformed` for one without end.
    mutating func takeHead() async throws -> [UInt8]? {
        while true {
            if let end = bytes.headEnd { return try await take(end) }
            guard bytes.count <= ProxyRequest.limit else {
                throw ProxyRequest.Malformed(text: "a head of more than \(ProxyRequest.limit) bytes")
            }
            guard try await fill() else { return nil }
        }
    }

    /// All that is there.
    mutating func takeAll() -> [UInt8] {
        defer { bytes = [] }
        return bytes
    }
}

/// A stream of which the first bytes were read already.
final class PrefixedStream: RelayEnd {
    private let stream: Stream
    private let prefix: Mutex<[UInt8]>

    init(_ prefix: [UInt8], _ stream: Stream) {
        self.stream = stream
        self.prefix = Mutex(prefix)
    }

    func receive() async throws -> [UInt8] {
        let first = prefix.withLock { prefix in
            defer { prefix = [] }
            return prefix
        }
        return first.isEmpty ? try await stream.read() : first
    }

    /// Gives bytes back that the next call is to return.
    func putBack(_ bytes: ArraySlice<UInt8>) { prefix.withLock { $0 = Array(bytes) } }

    func send(_ bytes: [UInt8]) async throws { try await stream.write(bytes) }
    func finish() { stream.shutdownWrite() }
    func reset() { stream.reset() }
    func untilBroken() async throws { try await stream.untilBroken() }
    func close() { stream.close() }
}
