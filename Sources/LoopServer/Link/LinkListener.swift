internal import Reactor
internal import Synchronization
internal import Wire

/// A port in the cluster that the helper listens at: the connections that are made to it, one after the other.
///
/// One task takes them. The sequence ends when the listener is closed, and throws when the link ends.
final class LinkListener: LinkReceiver, AsyncSequence {
    struct Iterator: AsyncIteratorProtocol {
        let listener: LinkListener

        mutating func next() async throws -> LinkSocket? { try await listener.next() }
    }

    private enum Phase {
        case asked
        case listening(UInt16)
        case closed
        case ended(LinkError)
    }

    private struct State {
        var phase = Phase.asked
        /// What has come, newest last, and what of it is given out next, last one first.
        var accepted: [LinkSocket] = []
        var outgoing: [LinkSocket] = []
    }

    private let link: HelperLink
    private let stream: UInt32
    private let state = Mutex(State())
    private let arrivals = Gate()

    init(link: HelperLink, stream: UInt32) {
        self.link = link
        self.stream = stream
    }

    /// The port that the helper listens at.
    var port: UInt16 {
        state.withLock { state in
            if case .listening(let port) = state.phase { port } else { 0 }
        }
    }

    func makeAsyncIterator() -> Iterator { Iterator(listener: self) }

    /// Stops listening, before whatever is asked of the helper later.
    ///
    /// Connections that nobody took are reset, others stay.
    func close() {
        let waiting = state.withLock { state -> [LinkSocket] in
            switch state.phase {
            case .closed, .ended: return []
            case .asked, .listening: break
            }
            state.phase = .closed
            defer { (state.accepted, state.outgoing) = ([], []) }
            return state.accepted + state.outgoing
        }
        for socket in waiting { socket.reset() }
        // In this order, because the answer is nobody's.
        link.forget(stream)
        link.send(.finish, on: stream)
        arrivals.close()
    }

    /// Takes a connection from the connection's reader.
    func take(_ socket: LinkSocket) {
        let isTaken = state.withLock { state in
            guard case .listening = state.phase else { return false }
            state.accepted.append(socket)
            return true
        }
        if isTaken { arrivals.signal() } else { socket.reset() }
    }

    /// Waits until the helper listens.
    func listening() async throws {
        while true {
            let isThere = try state.withLock { state in
                switch state.phase {
                case .asked: return false
                case .listening, .closed: return true
                case .ended(let error): throw error
                }
            }
            if isThere { return }
            try await pass()
        }
    }

    func deliver(_ message: Message) throws {
        switch message {
        case .listening(let port):
            state.withLock { state in
                if case .asked = state.phase { state.phase = .listening(port) }
            }
            arrivals.signal()
        case .failure(let failure):
            link.forget(stream)
            end(.refused(failure))
        default: throw LinkError.protocolViolation("\(message.type) on a listener's stream")
        }
    }

    func end(_ error: LinkError) {
        state.withLock { state in
            if case .closed = state.phase { return }
            state.phase = .ended(error)
            (state.accepted, state.outgoing) = ([], [])
        }
        arrivals.close()
    }

    private func next() async throws -> LinkSocket? {
        while true {
            let (socket, isOver) = try state.withLock { state -> (LinkSocket?, Bool) in
                if state.outgoing.isEmpty {
                    state.outgoing = state.accepted.reversed()
                    state.accepted = []
                }
                if let socket = state.outgoing.popLast() { return (socket, false) }
                switch state.phase {
                case .asked, .listening: return (nil, false)
                case .closed: return (nil, true)
                case .ended(let error): throw error
                }
            }
            if socket != nil || isOver { return socket }
            try await pass()
        }
    }

    private func pass() async throws {
        try Task.checkCancellation()
        await arrivals.pass()
        try Task.checkCancellation()
    }
}
