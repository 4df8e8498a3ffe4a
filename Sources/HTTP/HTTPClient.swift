public import Reactor
internal import Glibc
internal import Synchronization

/// Speaks HTTP/1.1 to one endpoint and keeps idle connections for re-use.
///
/// A cancelled call closes its connection. There are no time limits unless the caller sets them: what may take long (a
/// watch) and what may not is its to know.
public final class HTTPClient: Sendable {
    /// How many idle connections are kept.
    private static let keptConnections = 8

    /// Where it connects to.
    public let endpoint: Endpoint
    private let basePath: String
    private let headers: HTTPHeaders
    private let patience: HTTPPatience
    private let idle = Mutex<[InputBuffer]>([])

    /// A client of `endpoint`.
    ///
    /// `basePath` is put before every target; `headers` go with every request that does not set them itself, `Host:
    /// localhost` among them unless another is given. What takes longer than `patience` allows throws `HTTPError.tooSlow`.
    public init(
        endpoint: Endpoint, basePath: String = "", headers: HTTPHeaders = [:], patience: HTTPPatience = HTTPPatience()
    ) {
        self.endpoint = endpoint
        self.patience = patience
        self.basePath = basePath.hasSuffix("/") ? String(basePath.dropLast()) : basePath
        var headers = headers
        if headers["Host"] == nil { headers["Host"] = "localhost" }
        self.headers = headers
    }

    /// Sends a request and returns once the head of the response is there; the body is read from the result.
    ///
    /// A kept connection that turns out to be dead before the first byte of a response is replaced once, where the method
    /// may be repeated (GET, HEAD, OPTIONS, PUT, DELETE).
    public func send(_ request: HTTPRequest, body: [UInt8] = []) async throws -> HTTPResponseBody {
        try await send(request, carrying: .bytes(body))
    }

    /// Sends a request whose body may be made as it is sent.
    ///
    /// - Parameter progress: is told how many bytes of the body the connection has taken by now; from 0 on again where a
    ///   dead connection was replaced.
    public func send(
        _ request: HTTPRequest, carrying body: HTTPRequestBody, progress: @escaping @Sendable (Int) -> Void = { _ in }
    ) async throws -> HTTPResponseBody {
        let head = try self.head(of: request, bodyCount: body.count)
        let mayRepeat = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"].contains(request.method)
        if let kept = takeIdle() {
            do {
                return try await exchange(request, head: head, body: body, on: kept, progress)
            } catch is DeadConnection where mayRepeat {
                // The server closed it while it was idle: it never saw this request.
            } catch let dead as DeadConnection {
                throw dead.cause
            }
        }
        let stream = try await connect()
        do {
            return try await exchange(request, head: head, body: body, on: InputBuffer(stream), progress)
        } catch let dead as DeadConnection {
            throw dead.cause
        }
    }

    /// Sends a request and reads the whole response body; more than `limit` bytes throw `HTTPError.tooLarge`.
    public func fetch(
        _ request: HTTPRequest, body: [UInt8] = [], limit: Int = 64 << 20
    ) async throws -> (response: HTTPResponse, body: [UInt8]) {
        let answer = try await send(request, body: body)
        return (answer.response, try await answer.readAll(limit: limit))
    }

    /// Opens a WebSocket; an answer other than 101 is thrown as `UpgradeRefused`.
    public func webSocket(
        _ target: String, protocols: [String] = [], headers: HTTPHeaders = [:]
    ) async throws -> WebSocket {
        var random = SystemRandomNumberGenerator()
        let key = Base64.encode((0..<16).map { _ in UInt8.random(in: 0...255, using: &random) })
        var request = HTTPRequest("GET", target, headers: headers)
        request.headers["Upgrade"] = "websocket"
        request.headers["Connection"] = "Upgrade"
        request.headers["Sec-WebSocket-Version"] = "13"
        request.headers["Sec-WebSocket-Key"] = key
        if !protocols.isEmpty { request.headers["Sec-WebSocket-Protocol"] = protocols.joined(separator: ", ") }
        let stream = try await connect()
        let answer: HTTPResponseBody
        do {
            answer = try await exchange(
                request, head: try head(of: request, bodyCount: 0), body: .bytes([]), on: InputBuffer(stream)
            ) { _ in }
        } catch let dead as DeadConnection {
            throw dead.cause
        }
        let response = answer.response
        guard response.status == 101 else {
            let body = try? await answer.readAll(limit: 64 << 10)
            throw UpgradeRefused(response: response, body: body ?? [])
        }
        let chosen = response.headers["Sec-WebSocket-Protocol"]
        guard response.headers.lists("websocket", in: "Upgrade"),
            response.headers["Sec-WebSocket-Accept"] == WebSocketHandshake.accept(key),
            chosen.map(protocols.contains) ?? true
        else {
            stream.close()
            throw HTTPError.malformed("the answer to a WebSocket request does not fit it")
        }
        let input = try await answer.giveInput()
        return WebSocket(input, isServer: false, negotiatedProtocol: chosen)
    }

    /// Closes the idle connections.
    public func closeIdle() {
        let closed = idle.withLock { idle in
            defer { idle = [] }
            return idle
        }
        for input in closed { input.stream.close() }
    }

    /// A connection that ended before the first byte of a response.
    private struct DeadConnection: Error {
        let cause: any Error
    }

    private func head(of request: HTTPRequest, bodyCount: Int) throws -> [UInt8] {
        var request = request
        for (name, value) in headers where request.headers[name] == nil { request.headers.add(name, value) }
        if bodyCount > 0 || ["POST", "PUT", "PATCH"].contains(request.method) {
            request.headers["Content-Length"] = String(bodyCount)
        }
        return try HeadWriter.request(request, target: basePath + request.target)
    }

    private func connect() async throws -> Stream {
        guard let limit = patience.connect else { return try await Stream.connect(to: endpoint) }
        let endpoint = endpoint
        return try await atMost(limit, otherwise: HTTPError.tooSlow("connect \(endpoint): nothing for \(limit)")) {
            try await Stream.connect(to: endpoint)
        }
    }

    private func exchange(
        _ request: HTTPRequest, head: [UInt8], body: HTTPRequestBody, on kept: InputBuffer,
        _ progress: @Sendable (Int) -> Void
    ) async throws -> HTTPResponseBody {
        let stream = kept.stream
        do {
            return try await stream.closing(whenIdleFor: patience.idle, for: "\(request.method) at \(endpoint)") {
                pulse in
                try await exchange(request, head: head, body: body, on: kept, pulse, progress)
            }
        } catch {
            stream.close()
            throw error
        }
    }

    private func exchange(
        _ request: HTTPRequest, head: [UInt8], body: HTTPRequestBody, on kept: InputBuffer, _ pulse: Pulse,
        _ progress: @Sendable (Int) -> Void
    ) async throws -> HTTPResponseBody {
        var input = kept
        try await write(head, body, to: input.stream, pulse, progress)
        try await awaitAnswer(&input)
        while true {
            guard let bytes = try await input.takeHead(limit: 64 << 10) else {
                throw HTTPError.unexpectedEnd("a response")
            }
            pulse.beat()
            let (response, minor) = try HeadParser.response(bytes)
            // 100 and 103 announce the response; 101 is one.
            if response.status < 200, response.status != 101 { continue }
            let framing = try BodyReader.response(response, minor: minor, toMethod: request.method)
            let isKept =
                response.status != 101 && !framing.endsWithConnection
                && (minor == 1 && !response.headers.lists("close", in: "Connection"))
                && !request.headers.lists("close", in: "Connection")
            return HTTPResponseBody(response, framing, input, keeper: isKept ? self : nil, idle: patience.idle)
        }
    }

    private func write(
        _ head: [UInt8], _ body: HTTPRequestBody, to stream: Stream, _ pulse: Pulse, _ progress: (Int) -> Void
    ) async throws {
        func send(_ head: [UInt8], _ bytes: [UInt8], at offset: Int) async throws -> Bool {
            do {
                try await stream.write(head, then: bytes) { taken in
                    pulse.beat()
                    if taken > head.count { progress(offset + taken - head.count) }
                }
                return true
            } catch let error as SystemError where error.code == EPIPE || error.code == ECONNRESET {
                // The server may have answered and closed without reading all of the body: the answer says why.
                return false
            }
        }
        switch body {
        case .bytes(let bytes): _ = try await send(head, bytes, at: 0)
        case .pieces(let count, let next):
            guard try await send(head, [], at: 0) else { return }
            var offset = 0
            while offset < count {
                let piece = try await next(offset)
                guard !piece.isEmpty, piece.count <= count - offset else {
                    throw HTTPError.misuse("a piece of \(piece.count) bytes at \(offset) of \(count)")
                }
                guard try await send([], piece, at: offset) else { return }
                offset += piece.count
            }
        }
    }

    private func awaitAnswer(_ input: inout InputBuffer) async throws {
        do {
            guard try await input.fill() else { throw DeadConnection(cause: HTTPError.unexpectedEnd("a response")) }
        } catch let error as SystemError {
            throw DeadConnection(cause: error)
        }
    }

    private func takeIdle() -> InputBuffer? {
        while true {
            guard let kept = idle.withLock({ $0.popLast() }) else { return nil }
            if !kept.stream.isHungUp { return kept }
            kept.stream.close()
        }
    }

    fileprivate func keep(_ input: InputBuffer) {
        // Bytes that nobody asked for would be taken for the next response.
        let isKept =
            input.count == 0 && !input.stream.isHungUp
            && idle.withLock { idle in
                guard idle.count < HTTPClient.keptConnections else { return false }
                idle.append(input)
                return true
            }
        if !isKept { input.stream.close() }
    }
}

/// A response whose body is still arriving.
///
/// One task at a time reads.
public final class HTTPResponseBody: Sendable {
    private struct Incoming {
        var input: InputBuffer
        var framing: BodyReader
        var keeper: HTTPClient?
    }

    /// The head.
    public let response: HTTPResponse
    private let incoming: AsyncMutex<Incoming>
    private let stream: Stream
    private let idle: Duration?
    /// The connection is the client's again, or another protocol's: closing it is no longer this object's.
    private let isGivenAway = Flag()

    fileprivate init(
        _ response: HTTPResponse, _ framing: BodyReader, _ input: InputBuffer, keeper: HTTPClient?, idle: Duration?
    ) {
        self.response = response
        self.idle = idle
        stream = input.stream
        if framing.isDone, let keeper {
            isGivenAway.set()
            keeper.keep(input)
        }
        incoming = AsyncMutex(Incoming(input: input, framing: framing, keeper: keeper))
    }

    deinit {
        close()
    }

    /// The next bytes of the body as they arrive; an empty array is its end.
    ///
    /// A body that is cut off throws.
    public func read() async throws -> [UInt8] {
        try await incoming.withLock { incoming in
            if incoming.framing.isDone { return [] }
            do {
                let bytes = try await next(&incoming)
                if incoming.framing.isDone { self.release(&incoming) }
                return bytes
            } catch {
                stream.close()
                throw error
            }
        }
    }

    private func next(_ incoming: inout Incoming) async throws -> [UInt8] {
        guard let idle, incoming.input.count == 0 else { return try await incoming.framing.next(&incoming.input) }
        return try await stream.closing(after: idle, for: "a response's body") {
            try await incoming.framing.next(&incoming.input)
        }
    }

    /// Reads the rest of the body; more than `limit` bytes throw `HTTPError.tooLarge`.
    public func readAll(limit: Int) async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = try await read()
            if bytes.isEmpty { return all }
            if all.isEmpty { all = bytes } else { all += bytes }
            guard all.count <= limit else {
                close()
                throw HTTPError.tooLarge("a response body of more than \(limit) bytes")
            }
        }
    }

    /// Gives up the rest of the body and its connection; a pending `read` fails.
    public func close() {
        if !isGivenAway.isSet { stream.close() }
    }

    /// Hands the connection over to another protocol.
    func giveInput() async throws -> InputBuffer {
        isGivenAway.set()
        return try await incoming.withLock { $0.input }
    }

    private func release(_ incoming: inout Incoming) {
        if let keeper = incoming.keeper {
            isGivenAway.set()
            keeper.keep(incoming.input)
            incoming.keeper = nil
        } else {
            stream.close()
        }
    }
}
