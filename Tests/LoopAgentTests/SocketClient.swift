import Glibc
import Reactor
import Wire

extension HelperClient {
    /// Opens a connection from where the helper is; throws what it answers instead.
    func connect(to port: UInt16, address: String = "127.0.0.1", timeout: UInt32 = 0) async throws -> UInt32 {
        let stream = newStream()
        let target = SocketAddress(address: [UInt8](address), port: port)
        try await send(.connect(Connect(target: target, timeoutMilliseconds: timeout)), on: stream)
        let answer = await receive(on: stream)
        guard case .connected? = answer else { throw Unexpected(message: answer) }
        return stream
    }

    /// Asks for a connection that is refused.
    func refusedConnect(to port: UInt16, address: String = "127.0.0.1", timeout: UInt32 = 0) async throws -> Failure {
        let target = SocketAddress(address: [UInt8](address), port: port)
        let answer = try await ask(.connect(Connect(target: target, timeoutMilliseconds: timeout)))
        guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
        return failure
    }

    /// Listens where the helper is.
    func listen(_ request: Listen = Listen(port: 0)) async throws -> (stream: UInt32, port: UInt16) {
        let stream = newStream()
        try await send(.listen(request), on: stream)
        let answer = await receive(on: stream)
        guard case .listening(let port)? = answer else { throw Unexpected(message: answer) }
        return (stream, port)
    }

    /// Receives exactly this many bytes of a connection, granting as much again where asked to.
    func bytes(_ count: Int, on stream: UInt32, granting: Bool = false) async throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            let message = await receive(on: stream)
            guard case .data(let bytes)? = message else { throw Unexpected(message: message) }
            all += bytes
            if granting { try await send(.window(UInt32(bytes.count)), on: stream) }
        }
        guard all.count == count else { throw Unexpected(message: .data(all)) }
        return all
    }

    /// Receives what has to come next on a stream.
    func expect(_ message: Message, on stream: UInt32) async throws {
        let answer = await receive(on: stream)
        guard answer == message else { throw Unexpected(message: answer) }
    }
}

extension Reactor.Listener {
    /// Listens at a free port of this machine.
    static func local() throws -> Reactor.Listener { try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0)) }

    var port: UInt16 {
        if case .tcp(_, let port) = endpoint { port } else { 0 }
    }
}

extension Reactor.Stream {
    /// Connects to a port of this machine.
    static func local(_ port: UInt16, host: String = "127.0.0.1") async throws -> Reactor.Stream {
        try await connect(to: .tcp(host: host, port: port))
    }

    /// Reads exactly this many bytes, or what comes until the end.
    func bytes(_ count: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        while all.count < count {
            let more = try await read(upTo: count - all.count)
            if more.isEmpty { break }
            all += more
        }
        return all
    }
}
