public import Reactor

/// One request and its response, on the server's side. One task reads the body while another one may write.
///
/// The handler's task is cancelled when the client goes away, unless the connection was upgraded.
public final class HTTPExchange: Sendable {
    /// The head of the request.
    public let request: HTTPRequest

    init(request: HTTPRequest) { self.request = request }

    /// The whole request body; more than `limit` bytes throw `HTTPError.tooLarge`.
    public func body(limit: Int = 8 << 20) async throws -> [UInt8] { throw HTTPError.misuse("not built yet") }

    /// The next bytes of the request body; an empty array is its end.
    public func readBody() async throws -> [UInt8] { throw HTTPError.misuse("not built yet") }

    /// Sends the whole response.
    public func respond(_ response: HTTPResponse, body: [UInt8] = []) async throws {
        throw HTTPError.misuse("not built yet")
    }

    /// Sends the head of a response whose body follows by `write`, and flushes it.
    public func startBody(_ response: HTTPResponse) async throws { throw HTTPError.misuse("not built yet") }

    /// Sends bytes of the body at once.
    public func write(_ chunk: [UInt8]) async throws { throw HTTPError.misuse("not built yet") }

    /// Ends the body that `startBody` began.
    public func finish() async throws { throw HTTPError.misuse("not built yet") }

    /// The sub-protocols that a WebSocket client offers, in its order; empty for other requests.
    public var offeredProtocols: [String] { [] }

    /// Whether the client asks for a WebSocket.
    public var asksForWebSocket: Bool { false }

    /// Answers 101 and makes the connection a WebSocket, which is the caller's from then on.
    public func upgrade(protocol name: String? = nil) async throws -> WebSocket {
        throw HTTPError.misuse("not built yet")
    }

    /// Sends a head (101, usually) and hands the connection over: its stream, and bytes that arrived already.
    public func takeOver(_ response: HTTPResponse) async throws -> (stream: Stream, leftover: [UInt8]) {
        throw HTTPError.misuse("not built yet")
    }
}
