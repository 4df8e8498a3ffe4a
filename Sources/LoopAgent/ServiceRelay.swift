import CAgent

/// Passes requests about the service on to the supervisor, and its answers back, on streams of the same numbers.
struct ServiceRelay {
    private let state: Bytes
    private var supervisor: FrameSocket?
    /// The streams that wait for an answer; for those that follow, how long the host may be silent meanwhile.
    private var streams: [UInt32: Int64?] = [:]

    /// A relay to the supervisor whose state lies in a folder.
    init(_ state: Bytes) {
        self.state = state
    }

    /// Whether a supervisor listens.
    var reachesSupervisor: Bool {
        mutating get { (try? connect()) != nil }
    }

    /// How long the host may be silent, so that the service is not kept from the container for longer.
    var silence: Int64 { streams.values.reduce(.max) { min($0, $1 ?? .max) } }

    func watched(isFull: Bool) -> pollfd {
        guard let supervisor, !isFull else { return pollfd(fd: -1, events: 0, revents: 0) }
        return supervisor.watched
    }

    mutating func pass(_ request: ServiceRequest, _ stream: UInt32, _ output: inout OutputQueue) {
        if request == .unfollow {
            if streams.removeValue(forKey: stream) != nil { supervisor?.send(.service(request), on: stream) }
            return
        }
        do throws(SystemFailure) {
            try connect().send(.service(request), on: stream)
            var silence: Int64?
            if case .follow(let seconds) = request { silence = Server.silence(seconds) }
            streams[stream] = .some(silence)
        } catch {
            let reason: StaticString = "no supervisor listens here: the container is not in dev mode"
            let missing = error.code == ENOENT || error.code == ECONNREFUSED
            let failure = missing ? SystemFailure(ENOENT, reason) : error
            output.send(.failure(Failure(.service, failure, path: FrameSocket.path(in: state))), on: stream)
        }
    }

    /// Passes on what has come, and what is to go.
    mutating func advance(_ events: Int16, _ output: inout OutputQueue, _ buffer: inout Bytes) {
        guard let supervisor else { return }
        do throws(SystemFailure) {
            if events & Int16(POLLIN | POLLHUP | POLLERR) != 0 {
                for frame in try supervisor.receive(&buffer) { answer(frame, &output) }
            }
            try supervisor.flush()
        } catch {
            self.supervisor = nil
            for stream in streams.keys {
                let failure = SystemFailure(ECONNRESET, "the supervisor has ended")
                output.send(.failure(Failure(.service, failure, path: [])), on: stream)
            }
            streams = [:]
        }
    }

    private mutating func answer(_ frame: Frame, _ output: inout OutputQueue) {
        guard let silence = streams[frame.stream] else { return }
        if case .serviceState = frame.message, silence != nil {} else { streams.removeValue(forKey: frame.stream) }
        output.send(frame.message, on: frame.stream)
    }

    private mutating func connect() throws(SystemFailure) -> FrameSocket {
        if let supervisor { return supervisor }
        let socket = try FrameSocket(to: state)
        supervisor = socket
        return socket
    }
}
