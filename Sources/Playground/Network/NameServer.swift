internal import Glibc
internal import Reactor
internal import Synchronization

/// Serves the cluster's names to pods, over UDP, and over TCP for answers that are too long for it.
///
/// Names of the rest of the world are asked of the machine's own name servers, in the machine's own network.
struct NameServer: Sendable {
    let names: ClusterNames
    let network: ClusterNetwork
    /// The file that names the servers of the rest of the world.
    var resolver = "/etc/resolv.conf"

    private static let port: UInt16 = 53
    /// So many questions are worked on at a time; more are not answered, and will be asked again.
    private static let limit = 256
    /// How long another server may take.
    var patience = Duration.seconds(3)

    /// Serves until the task is cancelled.
    func run() async throws {
        let address = ServiceAddresses.nameServer
        let socket = try DatagramSocket(binding: address, port: Self.port, in: network.node)
        let listener = try Listener(.tcp(host: "\(address)", port: Self.port), in: network.node)
        defer {
            socket.close()
            listener.close()
        }
        let busy = Busy(limit: Self.limit)
        await withDiscardingTaskGroup { group in
            group.addTask { await serve(listener, busy) }
            while !Task.isCancelled {
                guard let (bytes, peer) = try? await socket.receive() else {
                    // Out of memory, if anything: the next may fare better, but not at once.
                    try? await Task.sleep(for: .milliseconds(100))
                    continue
                }
                guard busy.begin() else { continue }
                group.addTask {
                    defer { busy.end() }
                    if let answer = await answer(to: bytes, overTCP: false) { socket.send(answer, to: peer) }
                }
            }
        }
    }

    private func serve(_ listener: Listener, _ busy: Busy) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                do {
                    let client = try await listener.accept()
                    guard busy.begin() else {
                        client.close()
                        continue
                    }
                    group.addTask {
                        defer {
                            busy.end()
                            client.close()
                        }
                        // Who asks nothing for a while is let go.
                        _ = await atMost(.seconds(10)) { try? await serve(client) }
                    }
                } catch is CancellationError {
                    return
                } catch {
                    // Out of descriptors: some will be free again.
                    try? await Task.sleep(for: .milliseconds(100))
                }
            }
        }
    }

    /// Over TCP, each message comes after its length.
    private func serve(_ client: Stream) async throws {
        while let question = try await Self.message(from: client) {
            guard let answer = await answer(to: question, overTCP: true) else { return }
            try await Self.send(answer, to: client)
        }
    }

    /// The answer to a message; `nil` where it is no question.
    func answer(to message: [UInt8], overTCP: Bool) async -> [UInt8]? {
        guard let question = DNSQuestion(message) else { return nil }
        let limit = overTCP ? 65535 : question.limit
        if let own = names.answer(question) { return own.message(for: question, limit: limit) }
        for server in servers() {
            let answer = await atMost(patience) { await Self.ask(server, message, overTCP: overTCP) } ?? nil
            if let answer { return answer }
        }
        return DNSAnswer(code: .failure, isAuthoritative: false).message(for: question, limit: limit)
    }

    private func servers() -> [IPv4] {
        (Disk.text(resolver) ?? "").split(separator: "\n").compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            return words.count > 1 && words[0] == "nameserver" ? IPv4(String(words[1])) : nil
        }
    }

    private static func ask(_ server: IPv4, _ message: [UInt8], overTCP: Bool) async -> [UInt8]? {
        if overTCP {
            guard let stream = try? await Stream.connect(to: .tcp(host: "\(server)", port: port)) else { return nil }
            defer { stream.close() }
            try? await send(message, to: stream)
            return try? await Self.message(from: stream)
        }
        guard let socket = try? DatagramSocket(connecting: server, port: port) else { return nil }
        defer { socket.close() }
        socket.send(message)
        while let (answer, _) = try? await socket.receive() {
            if answer.count >= 12, answer.prefix(2) == message.prefix(2) { return answer }
        }
        return nil
    }

    private static func message(from stream: Stream) async throws -> [UInt8]? {
        guard let head = try await read(2, from: stream) else { return nil }
        return try await read(Int(head[0]) << 8 | Int(head[1]), from: stream)
    }

    private static func read(_ count: Int, from stream: Stream) async throws -> [UInt8]? {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let part = try await stream.read(upTo: count - bytes.count)
            if part.isEmpty { return nil }
            bytes += part
        }
        return bytes
    }

    private static func send(_ message: [UInt8], to stream: Stream) async throws {
        try await stream.write([UInt8(message.count >> 8), UInt8(message.count & 255)] + message)
    }
}

/// How many there are at work, up to a limit.
private final class Busy: Sendable {
    private let limit: Int
    private let count = Mutex(0)

    init(limit: Int) { self.limit = limit }

    /// Whether there is room for one more, which is taken then.
    func begin() -> Bool {
        count.withLock { count in
            guard count < limit else { return false }
            count += 1
            return true
        }
    }

    func end() { count.withLock { $0 -= 1 } }
}
