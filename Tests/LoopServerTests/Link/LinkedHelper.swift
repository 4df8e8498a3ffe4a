import Glibc
import Reactor

@testable import LoopServer

/// A link to the real helper, a child of the test's: its network is this machine's.
struct LinkedHelper {
    let child: Child
    let link: HelperLink

    static func run(_ body: (LinkedHelper) async throws -> Void) async throws {
        let helper = try await start(attempts: 5)
        do {
            try await body(helper)
            await helper.link.end()
        } catch {
            helper.child.signal(SIGKILL)
            throw error
        }
    }

    /// Again, where a busy machine kept this process from greeting for longer than a helper waits.
    private static func start(attempts: Int) async throws -> LinkedHelper {
        var launch = Launch([try LocalContainer.helper, "serve"])
        launch.standardInput = .pipe
        launch.standardError = .inherit
        let child = try await Child.spawn(launch)
        do {
            let link = try await HelperLink.open(PipeChannel(child), generation: 1, heartbeat: 600)
            return LinkedHelper(child: child, link: link)
        } catch {
            child.signal(SIGKILL)
            guard attempts > 1, !Task.isCancelled else { throw error }
            return try await start(attempts: attempts - 1)
        }
    }

    /// A connection that the helper made to a server of the test's, and the server's end of it.
    func connection() async throws -> (LinkSocket, Reactor.Stream) {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        let socket = try await link.connect(to: "127.0.0.1", port: listener.port)
        return (socket, try await listener.accept())
    }

    /// A connection of a client of the test's that the helper accepted, and the client's end of it.
    func acceptedConnection() async throws -> (LinkSocket, Reactor.Stream) {
        let listener = try await link.listen(port: 0)
        defer { listener.close() }
        let client = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: listener.port))
        for try await socket in listener { return (socket, client) }
        throw LinkError.disconnected("nothing was accepted")
    }
}

extension Reactor.Listener {
    var port: UInt16 {
        if case .tcp(_, let port) = endpoint { port } else { 0 }
    }
}

extension Reactor.Stream {
    /// What comes until the end.
    func all() async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let more = try await read()
            if more.isEmpty { return all }
            all += more
        }
    }
}

extension LinkSocket {
    /// What comes until the end.
    func all() async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let more = try await receive()
            if more.isEmpty { return all }
            all += more
        }
    }
}

/// Bytes that look like nothing else: pieces of these are told apart by where they begin.
struct Noise {
    private let block: [UInt8]

    init(_ generator: inout some RandomNumberGenerator) {
        var block: [UInt8] = []
        block.reserveCapacity(1 << 20)
        while block.count < 1 << 20 {
            withUnsafeBytes(of: generator.next() as UInt64) { block.append(contentsOf: $0) }
        }
        self.block = block
    }

    /// As many bytes, others for each `start`.
    func bytes(_ count: Int, from start: Int) -> [UInt8] {
        var all: [UInt8] = []
        all.reserveCapacity(count)
        var position = start % block.count
        while all.count < count {
            let end = min(block.count, position + count - all.count)
            all += block[position..<end]
            position = 0
        }
        return all
    }
}
