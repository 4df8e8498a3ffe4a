public import Reactor
internal import Synchronization

/// One request and its response, on the server's side.
///
/// One task reads the body while another one may write.
///
/// The handler's task is cancelled when the client goes away, or says that it will send no more, unless the connection was
/// handed over.
public final class HTTPExchange: Sendable {
    /// What is read from the client: the request's body, then perhaps the next request.
    struct Incoming: Sendable {
        var input: InputBuffer
        var framing: BodyReader
        var owesContinue: Bool
    }

    /// How far the response is.
    enum Phase: Equatable {
        case waiting
        case streaming(isChunked: Bool)
        case finished
        case handedOver
        /// A write failed, or a body was left unfinished: the connection is of no more use.
        case broken
    }

    /// What is written to the client.
    struct Outgoing: Sendable {
        var phase = Phase.waiting
        var keepsAlive: Bool
    }

    /// The head of the request.
    public let request: HTTPRequest
    let stream: Stream
    private let minor: Int
    private let incoming: AsyncMutex<Incoming>
    private let outgoing: AsyncMutex<Outgoing>
    private let handedOver = Flag()

    init(request: HTTPRequest, minor: Int, framing: BodyReader, input: InputBuffer) {
        self.request = request
        self.minor = minor
        stream = input.stream
        let owesContinue = !framing.isDone && minor == 1 && request.headers.lists("100-continue", in: "Expect")
        incoming = AsyncMutex(Incoming(input: input, framing: framing, owesContinue: owesContinue))
        outgoing = AsyncMutex(Outgoing(keepsAlive: minor == 1 && !request.headers.lists("close", in: "Connection")))
    }

    /// Whether the connection is another protocol's.
    var isHandedOver: Bool { handedOver.isSet }

    /// The whole request body; more than `limit` bytes throw `HTTPError.tooLarge`.
    public func body(limit: Int = 8 << 20) async throws -> [UInt8] {
        var all: [UInt8] = []
        while true {
            let bytes = try await readBody()
            if bytes.isEmpty { return all }
            if all.isEmpty { all = bytes } else { all += bytes }
            guard all.count <= limit else { throw HTTPError.tooLarge("a request body of more than \(limit) bytes") }
        }
    }

    /// The next bytes of the request body as they arrive; an empty array is its end.
    public func readBody() async throws -> [UInt8] {
        try await incoming.withLock { incoming in
            if incoming.framing.isDone { return [] }
            if incoming.owesContinue {
                incoming.owesContinue = false
                try await sendContinue()
            }
            do {
                return try await incoming.framing.next(&incoming.input)
            } catch {
                // Where the next request begins is lost.
                try? await outgoing.withLock { $0.keepsAlive = false }
                throw error
            }
        }
    }

    /// Sends the whole response.
    ///
    /// Its length is filled in; a HEAD request gets the head alone.
    public func respond(_ response: HTTPResponse, body: [UInt8] = []) async throws {
        let hasBody = response.status >= 200 && response.status != 204 && response.status != 304
        guard hasBody || body.isEmpty else { throw HTTPError.misuse("a body with status \(response.status)") }
        try await writing { outgoing in
            guard outgoing.phase == .waiting else { throw HTTPError.misuse("a second response") }
            var response = response
            if hasBody, request.method != "HEAD" || response.headers["Content-Length"] == nil {
                response.headers["Content-Length"] = String(body.count)
            }
            let head = try head(of: response, &outgoing)
            outgoing.phase = .broken
            try await stream.write(head, then: request.method == "HEAD" ? [] : body)
            outgoing.phase = .finished
        }
    }

    /// Sends the head of a response whose body follows by `write`, and flushes it.
    ///
    /// The body goes in chunks, or as it is where the head names its length, or up to the connection's end to a client of
    /// HTTP/1.0.
    public func startBody(_ response: HTTPResponse) async throws {
        try await writing { outgoing in
            guard outgoing.phase == .waiting else { throw HTTPError.misuse("a second response") }
            var response = response
            let isChunked = minor == 1 && response.headers["Content-Length"] == nil
            if isChunked { response.headers["Transfer-Encoding"] = "chunked" }
            if minor == 0 { outgoing.keepsAlive = false }
            let head = try head(of: response, &outgoing)
            outgoing.phase = .broken
            try await stream.write(head)
            outgoing.phase = .streaming(isChunked: isChunked)
        }
    }

    /// Sends bytes of the body at once; no bytes send nothing.
    public func write(_ chunk: [UInt8]) async throws {
        try await writing { outgoing in
            guard case .streaming(let isChunked) = outgoing.phase else {
                throw HTTPError.misuse("a body before its head")
            }
            if chunk.isEmpty || request.method == "HEAD" { return }
            outgoing.phase = .broken
            if isChunked {
                try await stream.write(
                    Array("\(String(chunk.count, radix: 16))\r\n".utf8), then: chunk, then: [0x0D, 0x0A])
            } else {
                try await stream.write(chunk)
            }
            outgoing.phase = .streaming(isChunked: isChunked)
        }
    }

    /// Ends the body that `startBody` began.
    public func finish() async throws {
        try await writing { outgoing in
            guard case .streaming(let isChunked) = outgoing.phase else { throw HTTPError.misuse("an end of no body") }
            outgoing.phase = .broken
            if isChunked, request.method != "HEAD" { try await stream.write(Array("0\r\n\r\n".utf8)) }
            outgoing.phase = .finished
        }
    }

    /// The sub-protocols that a WebSocket client offers, in its order; empty for other requests.
    public var offeredProtocols: [String] {
        asksForWebSocket ? request.headers.tokens(in: "Sec-WebSocket-Protocol") : []
    }

    /// Whether the client asks for a WebSocket.
    public var asksForWebSocket: Bool {
        request.headers.lists("websocket", in: "Upgrade") && request.headers.lists("upgrade", in: "Connection")
    }

    /// Answers 101 and makes the connection a WebSocket, which is the caller's from then on, beyond the handler's end.
    ///
    /// Throws `HTTPError.malformed` where the request is no correct WebSocket handshake; the caller still has to respond.
    public func upgrade(protocol name: String? = nil, limit: Int = 16 << 20) async throws -> WebSocket {
        guard request.method == "GET", minor == 1, asksForWebSocket,
            request.headers["Sec-WebSocket-Version"] == "13",
            let key = request.headers["Sec-WebSocket-Key"], Base64.decode(key)?.count == 16
        else { throw HTTPError.malformed("not a WebSocket handshake of version 13") }
        var headers: HTTPHeaders = [
            "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": WebSocketHandshake.accept(key),
        ]
        if let name { headers["Sec-WebSocket-Protocol"] = name }
        let input = try await handOver(HTTPResponse(101, headers: headers))
        return WebSocket(input, isServer: true, negotiatedProtocol: name, limit: limit)
    }

    /// Sends a head (101, usually) and hands the connection over: its stream, and bytes that arrived already.
    ///
    /// The stream is the caller's from then on, beyond the handler's end.
    public func takeOver(_ response: HTTPResponse) async throws -> (stream: Stream, leftover: [UInt8]) {
        var input = try await handOver(response)
        return (input.stream, input.take(upTo: .max))
    }

    private func handOver(_ response: HTTPResponse) async throws -> InputBuffer {
        try await incoming.withLock { incoming in
            guard incoming.framing.isDone else { throw HTTPError.misuse("an upgrade before the request body was read") }
            try await writing { outgoing in
                guard outgoing.phase == .waiting else { throw HTTPError.misuse("an upgrade after a response") }
                let head = try HeadWriter.response(response)
                // From the head on, the client may end the other protocol: that is not this exchange's end.
                handedOver.set()
                outgoing.phase = .handedOver
                try await stream.write(head)
            }
            return incoming.input
        }
    }

    private func writing(_ body: (inout Outgoing) async throws -> Void) async throws {
        try await outgoing.withLock { outgoing in
            if outgoing.phase == .broken { throw HTTPError.unexpectedEnd("a response") }
            try await body(&outgoing)
        }
    }

    private func sendContinue() async throws {
        try await writing { outgoing in
            // A client that got its response already does not wait for this any more.
            guard outgoing.phase == .waiting else { return }
            try await stream.write(Array("HTTP/1.1 100 Continue\r\n\r\n".utf8))
        }
    }

    private func head(of response: HTTPResponse, _ outgoing: inout Outgoing) throws -> [UInt8] {
        var response = response
        if response.headers.lists("close", in: "Connection") { outgoing.keepsAlive = false }
        if !outgoing.keepsAlive { response.headers["Connection"] = "close" }
        return try HeadWriter.response(response)
    }

    /// Ends the exchange after its handler: a 500 where there is no response, the rest of the request's body skipped
    /// where it is short.
    ///
    /// Returns what the next request is read from; `nil` where the connection has to end.
    func conclude() async throws -> InputBuffer? {
        if try await outgoing.withLock({ $0.phase }) == .waiting {
            try await respond(HTTPResponse(500), body: Array("the handler gave no response\n".utf8))
        }
        let outcome = try await outgoing.withLock { $0 }
        guard outcome.phase == .finished, outcome.keepsAlive else { return nil }
        return try await incoming.withLock { incoming in
            // Who waits for 100 may or may not send its body now: the next request's place is unknown.
            if incoming.owesContinue { return nil }
            var skipped = 0
            while !incoming.framing.isDone {
                skipped += try await incoming.framing.next(&incoming.input).count
                if skipped > 256 << 10 { return nil }
            }
            return incoming.input
        }
    }
}
