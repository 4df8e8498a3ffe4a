internal import Glibc
internal import Reactor
internal import Synchronization
internal import Wire

/// A TCP connection in the cluster, made or accepted by the helper, as if it were one of this machine.
///
/// One task may receive while another one sends. Who is done with it finishes and receives to the end, or resets it: until
/// then, or until the link ends, it stays open. Every call fails once it was reset, by either end or by the link's end.
final class LinkSocket: LinkReceiver {
    /// How much of one connection is put on the link before others get their turn: with its frame's head as much as the
    /// helper reads at once, which mostly ends where a frame does then.
    static let turn = (64 << 10) - WireProtocol.headerLength
    /// How much may wait for the link: little, so that a ping, or another connection's few bytes, are not long under way.
    private static let backlog = 512 << 10

    private struct State {
        var address: SocketAddress?
        var inbound: [UInt8] = []
        var window = FlowWindow.Receiver(WireProtocol.socketWindow)
        var credit = FlowWindow.Sender(WireProtocol.socketWindow)
        var isPeerFinished = false
        var isFinished = false
        var ending: LinkError?
    }

    private let link: HelperLink
    private let stream: UInt32
    private let state: Mutex<State>
    /// For who receives, or waits for the connection; and for who sends.
    private let arrivals = Gate()
    private let credits = Gate()

    /// An accepted connection, or with `peer` nil one that is being made.
    init(link: HelperLink, stream: UInt32, peer: SocketAddress?) {
        self.link = link
        self.stream = stream
        state = Mutex(State(address: peer))
    }

    deinit {
        let widened = state.withLock { $0.window.widened }
        link.windowRoom.withLock { $0 += widened }
    }

    /// Who connected; of a connection that was made for this machine, the helper's own end.
    var address: SocketAddress { state.withLock { $0.address } ?? SocketAddress(address: [], port: 0) }

    /// The next bytes; none when the peer has finished.
    ///
    /// The first of them may have come before `finish` or `reset` of the other end: they are given out first.
    func receive() async throws -> [UInt8] {
        while true {
            let (bytes, grant) = try state.withLock { state -> ([UInt8]?, UInt32) in
                guard !state.inbound.isEmpty else {
                    if let ending = state.ending { throw ending }
                    return (state.isPeerFinished ? [] : nil, 0)
                }
                let bytes = state.inbound
                state.inbound = []
                if state.ending != nil || state.isPeerFinished { return (bytes, 0) }
                let grant = state.window.consume(bytes.count) ?? 0
                let more = link.windowRoom.withLock { room in
                    let more = state.window.widen(room: room) ?? 0
                    room -= Int(more)
                    return more
                }
                return (bytes, grant + more)
            }
            if grant > 0 { link.send(.window(grant), on: stream) }
            if let bytes { return bytes }
            try await pass(arrivals)
        }
    }

    /// Sends all of `bytes`, as fast as the peer takes them; nothing may be sent after `finish`.
    ///
    /// When it throws, some of them may have been sent.
    func send(_ bytes: [UInt8]) async throws {
        var sent = 0
        while sent < bytes.count {
            await link.waitForRoom(below: LinkSocket.backlog)
            let allowed = try state.withLock { state in
                if let ending = state.ending { throw ending }
                precondition(!state.isFinished, "sending on a finished connection")
                let allowed = state.credit.take(min(bytes.count - sent, LinkSocket.turn))
                let isAll = allowed == bytes.count
                // Under the lock, so that nothing can come after a reset.
                if allowed > 0 {
                    link.send(.data(isAll ? bytes : Array(bytes[sent..<sent + allowed])), on: stream)
                }
                return allowed
            }
            sent += allowed
            if allowed == 0 { try await pass(credits) } else { try Task.checkCancellation() }
        }
    }

    /// Says that nothing more is sent; the peer reads the end of the stream once it has read everything.
    func finish() {
        let isOver = state.withLock { state in
            guard state.ending == nil, !state.isFinished else { return false }
            state.isFinished = true
            link.send(.finish, on: stream)
            return state.isPeerFinished
        }
        if isOver { link.forget(stream) }
    }

    /// Breaks the connection: the peer sees a reset, as from a program that crashed.
    ///
    /// Does nothing when it is over.
    func reset(code: Int32 = 0) {
        let isOpen = state.withLock { state in
            guard state.ending == nil, !(state.isFinished && state.isPeerFinished) else { return false }
            state.ending = .reset(code: code)
            state.inbound = []
            link.send(.reset(code), on: stream)
            return true
        }
        guard isOpen else { return }
        link.forget(stream)
        closeGates()
    }

    /// Returns when the connection has broken, for who has received its end and would not learn of it; throws when the task
    /// is cancelled.
    func untilBroken() async throws {
        while state.withLock({ $0.ending == nil }) { try await pass(arrivals) }
    }

    /// Waits until the connection stands.
    func connected() async throws {
        while true {
            let isThere = try state.withLock { state in
                if let ending = state.ending { throw ending }
                return state.address != nil
            }
            if isThere { return }
            try await pass(arrivals)
        }
    }

    func deliver(_ message: Message) throws {
        switch message {
        case .window(let bytes):
            try state.withLock { try $0.credit.grant(bytes) }
            credits.signal()
        case .data(let bytes):
            try state.withLock { state in
                try state.window.receive(bytes.count)
                guard !state.isPeerFinished else { throw LinkError.protocolViolation("bytes after the last one") }
                if state.inbound.isEmpty { state.inbound = bytes } else { state.inbound += bytes }
            }
            arrivals.signal()
        case .finish:
            let isOver = state.withLock { state in
                state.isPeerFinished = true
                return state.isFinished
            }
            if isOver { link.forget(stream) }
            arrivals.signal()
        case .reset(let code): endStream(.reset(code: code == 0 ? ECONNRESET : code))
        case .failure(let failure): endStream(.refused(failure))
        case .connected(let own):
            state.withLock { $0.address = own }
            arrivals.signal()
        default: throw LinkError.protocolViolation("\(message.type) on a connection's stream")
        }
    }

    func end(_ error: LinkError) {
        state.withLock { $0.ending = $0.ending ?? error }
        closeGates()
    }

    private func endStream(_ error: LinkError) {
        link.forget(stream)
        end(error)
    }

    private func closeGates() {
        arrivals.close()
        credits.close()
    }

    private func pass(_ gate: Gate) async throws {
        try Task.checkCancellation()
        await gate.pass()
        try Task.checkCancellation()
    }
}
