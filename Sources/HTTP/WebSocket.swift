/// One end of a WebSocket connection (RFC 6455), client or server.
public final class WebSocket: Sendable {
    /// A whole message; fragments are put together.
    public enum Message: Sendable, Equatable {
        /// UTF-8, checked.
        case text([UInt8])
        /// Any bytes.
        case binary([UInt8])
    }

    /// The sub-protocol that both sides agreed on.
    public let negotiatedProtocol: String? = nil
    /// The peer's close code once `receive` has returned `nil`; 1005 where it gave none, 1006 where the connection just
    /// ended.
    public var closeCode: UInt16? { nil }
    /// The peer's reason once `receive` has returned `nil`.
    public var closeReason: String { "" }

    init() {}

    /// The next message; `nil` when the connection is closed. Pings are answered meanwhile. One task at a time.
    public func receive() async throws -> Message? { throw HTTPError.misuse("not built yet") }

    /// Sends a binary message, written to the kernel when this returns. Any task may send at any time.
    public func send(binary payload: [UInt8]) async throws { throw HTTPError.misuse("not built yet") }

    /// Sends a binary message of one byte and then the payload, as Kubernetes' channel protocols want it.
    public func send(channel: UInt8, _ payload: [UInt8]) async throws { throw HTTPError.misuse("not built yet") }

    /// Sends a text message.
    public func send(text: String) async throws { throw HTTPError.misuse("not built yet") }

    /// Sends a ping; the answer is swallowed by `receive`.
    public func ping() async throws { throw HTTPError.misuse("not built yet") }

    /// Ends the connection: says so to the peer, waits for its answer at most a second, and closes.
    public func close(code: UInt16 = 1000, reason: String = "") async {}

    /// Drops the connection without a word.
    public func abort() {}
}
