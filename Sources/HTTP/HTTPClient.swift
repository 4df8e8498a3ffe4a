public import Reactor

/// Speaks HTTP/1.1 to one endpoint and keeps idle connections for re-use.
public final class HTTPClient: Sendable {
    let endpoint: Endpoint
    let basePath: String
    let headers: HTTPHeaders

    /// A client of `endpoint`. `basePath` is put before every target; `headers` go with every request that does not set
    /// them itself, `Host: localhost` among them unless another is given.
    public init(endpoint: Endpoint, basePath: String = "", headers: HTTPHeaders = [:]) {
        self.endpoint = endpoint
        self.basePath = basePath
        self.headers = headers
    }

    /// Sends a request and returns once the head of the response is there; the body is read from the result.
    public func send(_ request: HTTPRequest, body: [UInt8] = []) async throws -> HTTPResponseBody {
        throw HTTPError.misuse("not built yet")
    }

    /// Sends a request and reads the whole response body, at most `limit` bytes.
    public func fetch(
        _ request: HTTPRequest, body: [UInt8] = [], limit: Int = 64 << 20
    ) async throws -> (response: HTTPResponse, body: [UInt8]) {
        throw HTTPError.misuse("not built yet")
    }

    /// Opens a WebSocket; an answer other than 101 is thrown as `UpgradeRefused`.
    public func webSocket(
        _ target: String, protocols: [String] = [], headers: HTTPHeaders = [:]
    ) async throws -> WebSocket {
        throw HTTPError.misuse("not built yet")
    }
}

/// A response whose body is still arriving.
public final class HTTPResponseBody: Sendable {
    /// The head.
    public let response: HTTPResponse

    init(response: HTTPResponse) { self.response = response }

    /// The next bytes of the body as they arrive; an empty array is its end.
    public func read() async throws -> [UInt8] { throw HTTPError.misuse("not built yet") }

    /// Gives up the rest of the body and its connection.
    public func close() {}
}
