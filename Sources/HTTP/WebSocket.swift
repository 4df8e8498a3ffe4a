internal import Glibc
public import Reactor
internal import Synchronization

/// One end of a WebSocket connection (RFC 6455), client or server.
///
/// One task receives while any number of others send. A connection that fails while a message is half written is closed,
/// also when the reason is cancellation: the peer could not tell where the next message begins.
public final class WebSocket: Sendable {
    /// A whole message; fragments are put together.
    public enum Message: Sendable, Equatable {
        /// UTF-8, checked.
        case text([UInt8])
        /// Any bytes.
        case binary([UInt8])

        /// The bytes of either kind.
        public var bytes: [UInt8] {
            switch self {
            case .text(let bytes), .binary(let bytes): bytes
            }
        }
    }

    private struct Incoming {
        var input: InputBuffer
        /// What came of a message in pieces.
        var partial: Content?
        /// Some of a frame's payload is out of `input` already.
        var isInsidePayload = false
    }
    /// What a frame holds, or several that make a message.
    private struct Content {
        let opcode: WebSocketOpcode
        var bytes: [UInt8]
        /// The first byte of all, where it was asked for apart from the others.
        var channel: UInt8?

        var isEmpty: Bool { channel == nil && bytes.isEmpty }
    }
    private struct Outgoing {
        var hasSentClose = false
        var masks: MaskSequence
    }
    private struct Ending {
        var code: UInt16
        var reason: String
    }

    /// How much of a long message is masked and written at a time: small enough for the processor's cache, and more than
    /// what programs like to hand on, 64 KiB, so that a few bytes of it are not left for a write of their own.
    private static let pieceSize = 128 << 10

    /// The sub-protocol that both sides agreed on.
    public let negotiatedProtocol: String?
    /// The largest frame, and the largest message of several frames, that is accepted.
    public let limit: Int
    private let isServer: Bool
    private let stream: Stream
    private let incoming: AsyncMutex<Incoming>
    private let outgoing: AsyncMutex<Outgoing>
    private let ending = Mutex<Ending?>(nil)
    private let signs = Atomic(0)
    private let pongs = Atomic(0)

    /// How many frames have come and pieces of messages have gone: where it stands still, nobody may be there any more.
    public var signsOfLife: Int { signs.load(ordering: .relaxed) }
    /// How many pings were answered, while somebody received.
    public var answeredPings: Int { pongs.load(ordering: .relaxed) }

    /// The peer's close code once `receive` has returned `nil`; 1005 where it gave none, 1006 where the connection just
    /// ended.
    public var closeCode: UInt16? { ending.withLock { $0?.code } }
    /// The peer's reason once `receive` has returned `nil`.
    public var closeReason: String { ending.withLock { $0?.reason ?? "" } }

    init(_ input: InputBuffer, isServer: Bool, negotiatedProtocol: String?, limit: Int = 16 << 20) {
        self.negotiatedProtocol = negotiatedProtocol
        self.limit = limit
        self.isServer = isServer
        stream = input.stream
        incoming = AsyncMutex(Incoming(input: input))
        outgoing = AsyncMutex(Outgoing(masks: MaskSequence()))
    }

    /// One end over a stream whose handshake is done; `leftover` are bytes that arrived after it.
    public init(
        _ stream: Stream, leftover: [UInt8] = [], isServer: Bool, negotiatedProtocol: String? = nil,
        limit: Int = 16 << 20
    ) {
        self.negotiatedProtocol = negotiatedProtocol
        self.limit = limit
        self.isServer = isServer
        self.stream = stream
        incoming = AsyncMutex(Incoming(input: InputBuffer(stream, leftover: leftover)))
        outgoing = AsyncMutex(Outgoing(masks: MaskSequence()))
    }

    deinit {
        stream.close()
    }

    /// The next message; `nil` when the connection is closed, by a close frame or by its end between two frames.
    ///
    /// Pings are answered meanwhile. A peer that breaks the protocol is told so and the connection closed.
    public func receive() async throws -> Message? {
        guard let content = try await receive(withChannel: false) else { return nil }
        return content.opcode == .text ? .text(content.bytes) : .binary(content.bytes)
    }

    /// The next message of a channel protocol, its first byte, which is the channel, apart from the others.
    ///
    /// `nil` comes as from `receive`. An empty message has no channel.
    public func receiveChannel() async throws -> (channel: UInt8?, bytes: [UInt8])? {
        try await receive(withChannel: true).map { ($0.channel, $0.bytes) }
    }

    private func receive(withChannel: Bool) async throws -> Content? {
        try await incoming.withLock { incoming in
            if ending.withLock({ $0 != nil }) { return nil }
            do {
                return try await next(&incoming, withChannel: withChannel)
            } catch let error as HTTPError {
                let code: UInt16 = if case .tooLarge = error { 1009 } else { 1002 }
                await farewell(code: code, reason: "\(error)")
                stream.close()
                throw error
            } catch {
                // Between two frames nothing is lost: the next call goes on. In the middle of one, its beginning is.
                if !(error is CancellationError) || incoming.isInsidePayload { stream.close() }
                throw error
            }
        }
    }

    /// Sends a binary message, written to the kernel when this returns.
    ///
    /// Any task may send at any time.
    public func send(binary payload: [UInt8]) async throws { try await send(.binary, nil, payload) }

    /// Sends a binary message of one byte and then the payload, as Kubernetes' channel protocols want it.
    public func send(channel: UInt8, _ payload: [UInt8]) async throws { try await send(.binary, channel, payload) }

    /// Sends a text message.
    public func send(text: String) async throws { try await send(.text, nil, Array(text.utf8)) }

    /// Sends a ping; the answer is swallowed by `receive`.
    public func ping() async throws { try await send(.ping, nil, []) }

    /// Ends the connection: says so to the peer, waits for its answer at most a second, and closes.
    ///
    /// A task in `receive` still gets what the peer sent before its answer; without one, those messages are dropped.
    public func close(code: UInt16 = 1000, reason: String = "") async {
        try? await stream.closing(after: .seconds(1), for: "a close") {
            await farewell(code: code, reason: reason)
            while try await receive() != nil {}
        }
        stream.close()
    }

    /// Drops the connection without a word.
    public func abort() { stream.close() }

    private func send(_ opcode: WebSocketOpcode, _ channel: UInt8?, _ payload: [UInt8]) async throws {
        try await outgoing.withLock { outgoing in
            guard !outgoing.hasSentClose else { throw HTTPError.misuse("a message after the close") }
            try await write(opcode, channel, payload, &outgoing)
        }
    }

    /// Sends a close frame, once.
    private func farewell(code: UInt16, reason: String) async {
        try? await outgoing.withLock { outgoing in
            guard !outgoing.hasSentClose else { return }
            outgoing.hasSentClose = true
            var payload = [UInt8(code >> 8), UInt8(truncatingIfNeeded: code)]
            // 1005 says that there was no code, and may not be sent.
            if code == 1005 { payload = [] } else { payload += reason.utf8.prefix(123) }
            if String(validating: payload.dropFirst(2), as: UTF8.self) == nil { payload = Array(payload.prefix(2)) }
            try await write(.close, nil, payload, &outgoing)
        }
    }

    private func write(
        _ opcode: WebSocketOpcode, _ channel: UInt8?, _ payload: [UInt8], _ outgoing: inout Outgoing
    ) async throws {
        let mask = isServer ? nil : outgoing.masks.next()
        let prefix = channel == nil ? 0 : 1
        var head = WebSocketFrameHead(opcode: opcode, mask: mask, count: payload.count + prefix).bytes
        if let channel { head.append(channel ^ UInt8(truncatingIfNeeded: mask ?? 0)) }
        do {
            guard let mask else {
                try await stream.write(head, then: payload)
                note(opcode)
                return
            }
            var start = 0
            repeat {
                let end = min(payload.count, start + WebSocket.pieceSize - head.count)
                let piece = WebSocketMask.piece(head, payload, start..<end, mask: mask, position: start + prefix)
                try await stream.write(piece)
                note(opcode)
                head = []
                start = end
            } while start < payload.count
        } catch {
            stream.close()
            throw error
        }
    }

    /// Counts what the peer's side has taken; a ping of one's own is no sign of the other.
    private func note(_ opcode: WebSocketOpcode) {
        if !opcode.isControl { signs.add(1, ordering: .relaxed) }
    }

    private func next(_ incoming: inout Incoming, withChannel: Bool) async throws -> Content? {
        while true {
            guard let (isFinal, content) = try await frame(&incoming, withChannel: withChannel) else {
                end(1006, "")
                return nil
            }
            switch content.opcode {
            case .ping: try? await send(.pong, nil, content.bytes)
            case .pong: pongs.add(1, ordering: .relaxed)
            case .close:
                let (code, reason) = try WebSocket.closing(content.bytes)
                end(code, reason)
                await farewell(code: code, reason: "")
                stream.close()
                return nil
            case .text, .binary:
                guard incoming.partial == nil else { throw HTTPError.malformed("a message inside another one") }
                if isFinal { return try WebSocket.checked(content) }
                incoming.partial = content
            case .continuation:
                guard var partial = incoming.partial.take() else {
                    throw HTTPError.malformed("a continuation of no message")
                }
                guard partial.bytes.count + content.bytes.count <= limit else {
                    throw HTTPError.tooLarge("a message of more than \(limit) bytes")
                }
                partial.bytes += content.bytes
                partial.channel = partial.channel ?? content.channel
                if isFinal { return try WebSocket.checked(partial) }
                incoming.partial = partial
            }
        }
    }

    /// The next frame with its payload in clear; `nil` when the connection ends before it.
    ///
    /// With a channel, the first byte of a message is taken apart here: to move all others afterwards would cost more.
    private func frame(
        _ incoming: inout Incoming, withChannel: Bool
    ) async throws -> (isFinal: Bool, content: Content)? {
        if incoming.input.count == 0, try await !incoming.input.fill() { return nil }
        try await incoming.input.fill(to: 2, of: "a frame")
        let size = WebSocketFrameHead.size(incoming.input[0], incoming.input[1])
        try await incoming.input.fill(to: size, of: "a frame")
        let input = incoming.input
        let head = try WebSocketFrameHead(size: size) { input[$0] }
        guard (head.mask != nil) == isServer else {
            throw HTTPError.malformed(isServer ? "a client's frame without mask" : "a server's frame with mask")
        }
        guard head.count <= limit else { throw HTTPError.tooLarge("a frame of more than \(limit) bytes") }
        incoming.input.skip(size)
        incoming.isInsidePayload = true
        var channel: UInt8?
        if withChannel, !head.opcode.isControl, incoming.partial?.isEmpty ?? true, head.count > 0 {
            try await incoming.input.fill(to: 1, of: "a frame")
            channel = incoming.input[0] ^ UInt8(truncatingIfNeeded: head.mask ?? 0)
            incoming.input.skip(1)
        }
        let apart = channel == nil ? 0 : 1
        var payload = try await incoming.input.take(exactly: head.count - apart, of: "a frame")
        incoming.isInsidePayload = false
        signs.add(1, ordering: .relaxed)
        if let mask = head.mask { WebSocketMask.apply(mask, phase: apart, to: &payload) }
        return (head.isFinal, Content(opcode: head.opcode, bytes: payload, channel: channel))
    }

    private func end(_ code: UInt16, _ reason: String) {
        ending.withLock { ending in
            if ending == nil { ending = Ending(code: code, reason: reason) }
        }
    }

    private static func checked(_ content: Content) throws(HTTPError) -> Content {
        guard content.opcode != .text || String(validating: content.bytes, as: UTF8.self) != nil else {
            throw .malformed("a text that is not UTF-8")
        }
        return content
    }

    /// The code and reason of a close frame.
    private static func closing(_ payload: [UInt8]) throws(HTTPError) -> (UInt16, String) {
        if payload.isEmpty { return (1005, "") }
        guard payload.count >= 2, let reason = String(validating: payload.dropFirst(2), as: UTF8.self) else {
            throw .malformed("a close frame")
        }
        let code = UInt16(payload[0]) << 8 | UInt16(payload[1])
        switch code {
        case 1000...1003, 1007...1014, 3000...4999: return (code, reason)
        default: throw .malformed("close code \(code)")
        }
    }
}

/// Masks for a client's frames, seeded by the system once.
///
/// Masking keeps scripts in browsers from forging other protocols for careless proxies; here nobody else chooses
/// payloads, so a fresh system call for each frame would buy nothing.
private struct MaskSequence: Sendable {
    private var state = UInt64.random(in: .min ... .max)

    mutating func next() -> UInt32 {
        // SplitMix64.
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ mixed >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt32(truncatingIfNeeded: mixed >> 32)
    }
}
