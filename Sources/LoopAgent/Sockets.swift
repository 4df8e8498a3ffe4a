import CAgent

/// The session's connections and the ports that it listens at.
///
/// Memory is bounded: what a connection's peer does not take waits here, within the window that the host was granted. All
/// together that is at most 40 MiB, and half as much again in unused room: 64 KiB for each of 512 connections, and 8 MiB by
/// which the windows of those that carry much become wider.
struct Sockets {
    /// Beyond this many nobody is accepted until somebody leaves; a `connect` is refused.
    static let most = 512
    private static let mostWidened = 8 << 20
    /// How many connections one port may give before others get their turn.
    private static let acceptedAtOnce = 16

    private var connections: [UInt32: Connection] = [:]
    private var listeners: [UInt32: PortListener] = [:]
    /// What is waited for, in the order of the descriptors given to `poll`.
    private var watchedConnections: [Connection] = []
    private var watchedPorts: [(socket: Int32, stream: UInt32)] = []
    /// Those that have taken bytes since the last `flush`.
    private var unflushed: [Connection] = []
    /// Whose turn is first when there is not room for all.
    private var firstTurn = 0
    private var widened = 0
    /// Whether memory was needed for bytes that had to wait.
    private var hasGrown = false
    private var nextStream = WireProtocol.firstHelperStream
    /// When a port is looked at again after the system had no room for a connection.
    private var nextAccept: Int64 = 0

    func has(_ stream: UInt32) -> Bool { connections[stream] != nil || listeners[stream] != nil }

    // Messages.

    mutating func connect(_ request: Connect, _ stream: UInt32, _ output: inout OutputQueue) {
        let target = request.target.text
        do throws(SystemFailure) {
            guard connections.count < Sockets.most else {
                throw SystemFailure(EMFILE, "the helper has 512 connections open already")
            }
            connections[stream] = try Connection(request, on: stream)
        } catch {
            let reason = error.code == EINVAL ? Bytes("not a numeric address") : error.reason
            let text = target + Bytes(": ") + (reason.isEmpty ? error.clause : reason)
            output.send(Sockets.failure(error.code, text), on: stream)
        }
    }

    mutating func listen(_ request: Listen, _ stream: UInt32, _ output: inout OutputQueue) {
        do throws(SystemFailure) {
            let listener = try PortListener(request)
            listeners[stream] = listener
            output.send(.listening(listener.port), on: stream)
        } catch {
            output.send(Sockets.failure(error.code, error.reason), on: stream)
        }
    }

    /// Takes bytes for a connection, which `flush` then writes; false when the stream is none.
    mutating func take(_ bytes: Bytes, _ stream: UInt32, _ output: inout OutputQueue) -> Bool {
        guard let connection = connections[stream] else { return false }
        var isNext = false
        attempt(connection, &output) { (connection, _, _) throws(SystemFailure) in
            isNext = try connection.take(bytes)
        }
        if isNext { unflushed.append(connection) } else if connection.dialled != nil { hasGrown = true }
        return true
    }

    /// Writes what was taken: once for all frames that came together, because their ends are few bytes, and a segment of
    /// its own costs as much for these as for many.
    mutating func flush(_ output: inout OutputQueue) {
        for connection in unflushed where connections[connection.stream] === connection {
            attempt(connection, &output) { (connection, output, room) throws(SystemFailure) in
                try connection.flush(&output, room: room)
            }
            if connection.isWaiting { hasGrown = true }
        }
        unflushed.removeAll(keepingCapacity: true)
    }

    /// Grants a connection credit; false when the stream is none.
    func grant(_ bytes: UInt32, _ stream: UInt32) throws(WireError) -> Bool {
        guard let connection = connections[stream] else { return false }
        try connection.grant(bytes)
        return true
    }

    mutating func finish(_ stream: UInt32, _ output: inout OutputQueue) {
        if let connection = connections[stream] {
            connection.finish()
            if connection.isOver { drop(connection) }
        } else {
            unlisten(stream, &output)
        }
    }

    mutating func reset(_ stream: UInt32, _ output: inout OutputQueue) {
        guard let connection = connections[stream] else { return unlisten(stream, &output) }
        // What came before it is the peer's, as far as that takes it now.
        if unflushed.contains(where: { $0 === connection }) { flush(&output) }
        if connections[stream] === connection { drop(connection) }
    }

    private mutating func unlisten(_ stream: UInt32, _ output: inout OutputQueue) {
        if listeners.removeValue(forKey: stream) != nil {
            watchedPorts = []
            output.send(.finish, on: stream)
        }
    }

    /// Resets every connection and leaves every port.
    mutating func end() {
        connections = [:]
        listeners = [:]
        watchedConnections = []
    }

    // Turns.

    /// Appends what to wait for; returns for how many milliseconds at most.
    mutating func watch(_ watched: inout [pollfd], hasRoom: Bool, isFull: Bool) -> Int64 {
        watchedConnections.removeAll(keepingCapacity: true)
        watchedPorts.removeAll(keepingCapacity: true)
        guard !connections.isEmpty || !listeners.isEmpty else { return .max }
        var deadline = Int64.max
        for connection in connections.values {
            watched.append(connection.watched(hasRoom: hasRoom))
            watchedConnections.append(connection)
            if let dialled = connection.dialled { deadline = min(deadline, dialled.deadline) }
        }
        let now = cagent_now()
        if connections.count < Sockets.most, !isFull {
            if nextAccept > now { deadline = min(deadline, nextAccept) }
            for (stream, listener) in listeners where nextAccept <= now {
                for socket in listener.sockets {
                    watched.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0))
                    watchedPorts.append((socket, stream))
                }
            }
        }
        return deadline == .max ? .max : max(0, deadline - now)
    }

    /// Goes on with what `poll` says is possible.
    mutating func advance(_ events: ArraySlice<pollfd>, _ output: inout OutputQueue, _ buffer: inout Bytes) {
        let count = watchedConnections.count
        if count > 0 { firstTurn %= count }
        var hadRoom = true
        for turn in 0..<count {
            let index = (firstTurn + turn) % count
            if hadRoom, !output.hasRoomForBulk {
                // Here the next round begins.
                hadRoom = false
                firstTurn = index
            }
            let connection = watchedConnections[index]
            let event = events[events.startIndex + index].revents
            guard event != 0 || connection.dialled != nil, connections[connection.stream] === connection else {
                continue
            }
            attempt(connection, &output) { (connection, output, room) throws(SystemFailure) in
                try connection.advance(event, &output, &buffer, room: room)
            }
        }
        for index in watchedPorts.indices where events[events.startIndex + count + index].revents != 0 {
            accept(watchedPorts[index].socket, watchedPorts[index].stream, &output)
        }
    }

    private mutating func accept(_ socket: Int32, _ listener: UInt32, _ output: inout OutputQueue) {
        for _ in 0..<Sockets.acceptedAtOnce where connections.count < Sockets.most {
            guard let (accepted, peer) = SocketAddress.accept(socket) else {
                // Without descriptors or memory it would be ready again at once.
                let code = cagent_errno()
                if code != EAGAIN, code != EINTR, code != ECONNABORTED { nextAccept = cagent_now() + 100 }
                return
            }
            let stream = newStream()
            connections[stream] = Connection(accepted: accepted, on: stream)
            output.send(.accepted(Accepted(listener: listener, peer: peer)), on: stream)
        }
    }

    private mutating func newStream() -> UInt32 {
        repeat {
            nextStream = nextStream == .max ? WireProtocol.firstHelperStream : nextStream + 1
        } while connections[nextStream] != nil
        return nextStream
    }

    /// Lets a connection go on; who cannot, or has no more to say, is dropped.
    private mutating func attempt(
        _ connection: Connection, _ output: inout OutputQueue,
        _ body: (Connection, inout OutputQueue, Int) throws(SystemFailure) -> Void
    ) {
        let before = connection.widened
        do throws(SystemFailure) {
            try body(connection, &output, Sockets.mostWidened - widened)
            widened += connection.widened - before
            if connection.isOver { drop(connection) }
        } catch {
            widened += connection.widened - before
            if let (target, deadline) = connection.dialled {
                let isLate = error.code == ETIMEDOUT && cagent_now() >= deadline
                let reason = isLate ? Bytes("no answer in time") : error.clause
                output.send(Sockets.failure(error.code, target.text + Bytes(": ") + reason), on: connection.stream)
            } else {
                // What the kernel calls a reset where the peer had finished before.
                let code = error.code == EPIPE ? ECONNRESET : error.code
                output.send(.reset(code), on: connection.stream)
            }
            drop(connection)
        }
    }

    private mutating func drop(_ connection: Connection) {
        widened -= connection.widened
        connections[connection.stream] = nil
        connection.close()
        if connections.isEmpty, hasGrown {
            cagent_give_back_memory()
            hasGrown = false
        }
    }

    private static func failure(_ code: Int32, _ text: Bytes) -> Message {
        .failure(Failure(.network, code: code, path: [], uid: geteuid(), text: text))
    }
}
