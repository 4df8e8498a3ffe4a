/// What went wrong in an exchange of HTTP or WebSocket messages.
///
/// Failed system calls stay `SystemError`s.
public enum HTTPError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The peer sent something that the protocol does not allow, or that is refused because it is ambiguous.
    case malformed(String)
    /// A bound was reached: a head, a chunk, a body or a frame is larger than it may be.
    case tooLarge(String)
    /// The connection ended in the middle of the named part.
    case unexpectedEnd(String)
    /// The peer took longer than it may for the named part.
    case tooSlow(String)
    /// The caller asked for something that cannot be sent or is out of order.
    case misuse(String)

    /// One line for people.
    public var description: String {
        switch self {
        case .malformed(let what): "malformed message: \(what)"
        case .tooLarge(let what): "message too large: \(what)"
        case .unexpectedEnd(let what): "connection ended in the middle of \(what)"
        case .tooSlow(let what): "peer too slow: \(what)"
        case .misuse(let what): "cannot send: \(what)"
        }
    }
}

/// The peer answered a WebSocket request with something other than 101.
public struct UpgradeRefused: Error, Sendable, CustomStringConvertible {
    /// The head of the answer.
    public let response: HTTPResponse
    /// The answer's body, at most 64 KiB of it.
    public let body: [UInt8]

    /// Names a refusal.
    public init(response: HTTPResponse, body: [UInt8]) {
        self.response = response
        self.body = body
    }

    /// One line for people.
    public var description: String {
        "upgrade refused: \(response.status) \(response.reason) \(String(decoding: body, as: UTF8.self))"
    }
}
