import CAgent

/// A connection in the pod's network that the host has the other end of.
///
/// Every call that throws has ended it: the connection is to be dropped.
final class Connection {
    /// How many bytes are read before others get their turn: with its frame's head it fits into an empty pipe.
    private static let turn = 60 << 10

    let stream: UInt32
    private var socket: Int32
    /// Where it goes to and until when it has to be there, while it is being made.
    private(set) var dialled: (target: SocketAddress, deadline: Int64)?
    /// What the window of what comes from the host has become wider by.
    var widened: Int { window.widened }
    private var window = FlowWindow.Receiver(WireProtocol.socketWindow)
    private var queue = ByteQueue(spare: 0)
    private var credit = FlowWindow.Sender(WireProtocol.socketWindow)
    /// The peer has said all.
    private var hasEnded = false
    /// The host has said all; `isShut` once the peer has been told.
    private var isFinished = false
    private var isShut = false

    /// Takes an accepted connection.
    init(accepted socket: Int32, on stream: UInt32) {
        self.socket = socket
        self.stream = stream
        cagent_prepare_connection(socket)
    }

    /// Begins to connect.
    init(_ request: Connect, on stream: UInt32) throws(SystemFailure) {
        let target = request.target
        socket = target.address.withCString { cagent_dial($0, target.port) }
        self.stream = stream
        guard socket >= 0 else { throw .last() }
        cagent_prepare_connection(socket)
        let limit = request.timeoutMilliseconds
        dialled = (target, limit == 0 ? .max : cagent_now() + Int64(limit))
    }

    deinit { close() }

    /// Resets the connection, unless it came to its end, and forgets what waits.
    func close() {
        if socket >= 0 { CAgent.close(socket) }
        socket = -1
        queue = ByteQueue(spare: 0)
    }

    /// Whether bytes wait for the peer to take them.
    var isWaiting: Bool { queue.pending > 0 }

    /// Whether both ends have said all.
    var isOver: Bool { hasEnded && isShut }

    /// What to wait for.
    func watched(hasRoom: Bool) -> pollfd {
        var events: Int16 = 0
        if dialled != nil || isWaiting { events |= Int16(POLLOUT) }
        if dialled == nil, hasRoom, !hasEnded, credit.credit > 0 { events |= Int16(POLLIN) }
        // A peer that was told the end and has told its own is hung up, while its last bytes wait for credit.
        return pollfd(fd: events == 0 && isShut ? -1 : socket, events: events, revents: 0)
    }

    /// Goes on with what `poll` says is possible.
    func advance(
        _ events: Int16, _ output: inout OutputQueue, _ buffer: inout Bytes, room: Int
    ) throws(SystemFailure) {
        if dialled != nil { return try dial(events, &output, room: room) }
        if events & Int16(POLLOUT) != 0 { try flush(&output, room: room) }
        if events & Int16(POLLIN) != 0 {
            try pump(&output, &buffer)
        } else if events & Int16(POLLERR | POLLHUP) != 0 {
            throw socketError
        }
    }

    /// Takes bytes for the peer, which `flush` then writes; returns whether somebody has to call that.
    func take(_ bytes: Bytes) throws(SystemFailure) -> Bool {
        do {
            try window.receive(bytes.count)
        } catch {
            throw SystemFailure(code: EPROTO)
        }
        guard !isFinished else { throw SystemFailure(code: EPROTO) }
        let isNext = dialled == nil && !isWaiting
        queue.append(bytes)
        return isNext
    }

    /// The host has said all.
    func finish() {
        isFinished = true
        shutIfFlushed()
    }

    func grant(_ bytes: UInt32) throws(WireError) { try credit.grant(bytes) }

    private var socketError: SystemFailure {
        cagent_dialled(socket) < 0 ? .last() : SystemFailure(code: ECONNRESET)
    }

    private func dial(_ events: Int16, _ output: inout OutputQueue, room: Int) throws(SystemFailure) {
        guard let dialled else { return }
        if events == 0 {
            if cagent_now() >= dialled.deadline { throw SystemFailure(code: ETIMEDOUT) }
            return
        }
        try checked(cagent_dialled(socket))
        self.dialled = nil
        output.send(.connected(SocketAddress(own: socket)), on: stream)
        try flush(&output, room: room)
    }

    /// Writes what the peer takes.
    func flush(_ output: inout OutputQueue, room: Int) throws(SystemFailure) {
        let count = try queue.flush(socket)
        var grant = window.consume(count) ?? 0
        // Only who takes what comes gets more at once.
        if !isWaiting, let more = window.widen(room: room) {
            grant += more
        }
        if grant > 0, !isFinished { output.send(.window(grant), on: stream) }
        shutIfFlushed()
    }

    private func shutIfFlushed() {
        guard isFinished, !isShut, dialled == nil, !isWaiting else { return }
        isShut = true
        // A connection that is broken shows it at the next read.
        _ = cagent_end_sending(socket)
        letEnd()
    }

    private func pump(_ output: inout OutputQueue, _ buffer: inout Bytes) throws(SystemFailure) {
        let allowed = credit.take(min(buffer.count, Connection.turn))
        guard allowed > 0, !hasEnded, output.hasRoomForBulk else { return credit.giveBack(allowed) }
        let count = read(socket, &buffer, allowed)
        let code = cagent_errno()
        credit.giveBack(allowed - max(0, count))
        if count > 0 {
            output.send(buffer, count: count, on: stream)
        } else if count == 0 {
            hasEnded = true
            output.send(.finish, on: stream)
            letEnd()
        } else if code != EAGAIN, code != EINTR {
            throw SystemFailure(code: code)
        }
    }

    /// What the kernel still has to send is sent once both ends have said all.
    private func letEnd() {
        if isOver { cagent_reset_on_close(socket, 0) }
    }
}
