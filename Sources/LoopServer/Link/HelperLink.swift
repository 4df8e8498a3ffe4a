internal import Synchronization
internal import Wire

/// A live connection to a helper: many requests at once over one channel.
///
/// Nothing counts as done before its answer: when the connection ends, every pending request fails with
/// `LinkError.disconnected`, and the next connection compares trees again.
final class HelperLink: Sendable {
    private struct State {
        var streams: [UInt32: any LinkReceiver] = [:]
        var nextStream: UInt32 = 1
        var ending: LinkError?
        var heartbeat: Heartbeat
        /// How often something was heard.
        var signs: UInt64 = 0
        var tasks: [Task<Void, Never>] = []
        var onEnd: [@Sendable () -> Void] = []
    }

    /// What the helper said of itself.
    let welcome: Welcome
    /// Who writes: see `Hello.generation`.
    let generation: UInt64
    /// By how much the windows of all its connections together may still become wider.
    ///
    /// As much as a window may wait here for a program that does not take it, and as much again may be on its way to it.
    let windowRoom = Mutex(32 << 20)
    private let channel: any HelperChannel
    private let outbox = Outbox()
    private let state: Mutex<State>

    private init(_ channel: any HelperChannel, welcome: Welcome, generation: UInt64, heartbeat: Duration) {
        self.channel = channel
        self.welcome = welcome
        self.generation = generation
        state = Mutex(State(heartbeat: Heartbeat(every: heartbeat)))
    }

    /// Greets the helper at the other end and starts to read, write and ping.
    ///
    /// `leading` are bytes that were already read from the channel. The heartbeat is one ping each `heartbeat` seconds;
    /// two without an answer end the connection. `pulse` is for tests that cannot wait for seconds. A helper that does not
    /// answer the greeting within `patience` is given up.
    static func open(
        _ channel: any HelperChannel, generation: UInt64, heartbeat: UInt16 = 20, pulse: Duration? = nil,
        leading: [UInt8] = [], patience: Duration = .seconds(30)
    ) async throws -> HelperLink {
        // A link without an end of file: closing it is what ends the wait.
        let isLate = Mutex(false)
        let watchdog = Task {
            try await Task.sleep(for: patience)
            isLate.withLock { $0 = true }
            channel.close()
        }
        defer { watchdog.cancel() }
        do {
            return try await greet(
                channel, generation: generation, heartbeat: heartbeat, pulse: pulse, leading: leading)
        } catch {
            guard isLate.withLock({ $0 }) else { throw error }
            throw LinkError.disconnected("the helper did not answer within \(patience)")
        }
    }

    private static func greet(
        _ channel: any HelperChannel, generation: UInt64, heartbeat: UInt16, pulse: Duration?, leading: [UInt8]
    ) async throws -> HelperLink {
        var decoder = FrameDecoder()
        decoder.feed(leading)
        try await channel.send(Frame(.hello(Hello(generation: generation, heartbeatSeconds: heartbeat))).encoded)
        let first = try await firstFrame(&decoder, channel)
        switch first.message {
        case .welcome(let welcome):
            guard welcome.version == WireProtocol.version else {
                throw LinkError.versionMismatch(theirs: welcome.version)
            }
            let link = HelperLink(
                channel, welcome: welcome, generation: generation, heartbeat: pulse ?? .seconds(Int(heartbeat)))
            link.start(decoder)
            return link
        case .failure(let failure): throw LinkError.refused(failure)
        default: throw LinkError.protocolViolation("\(first.message.type) instead of a welcome")
        }
    }

    private static func firstFrame(
        _ decoder: inout FrameDecoder, _ channel: any HelperChannel
    ) async throws -> Frame {
        while true {
            do throws(WireError) {
                if let frame = try decoder.next() { return frame }
            } catch {
                throw LinkError.protocolViolation("\(error)")
            }
            let bytes = try await channel.receive()
            guard !bytes.isEmpty else { throw LinkError.disconnected("the helper ended at once") }
            decoder.feed(bytes)
        }
    }

    /// Whether the connection still stands.
    var isOpen: Bool { state.withLock { $0.ending == nil } }

    /// Calls `body` once when the connection has ended, at once if it has already.
    func whenEnded(_ body: @escaping @Sendable () -> Void) {
        let now = state.withLock { state in
            if state.ending != nil { return true }
            state.onEnd.append(body)
            return false
        }
        if now { body() }
    }

    /// Starts a request on a stream of its own.
    func begin(_ message: Message) throws -> LinkStream {
        try begin(message) { LinkStream(id: $0) }
    }

    /// Starts a request on a stream whose messages go to what `receiver` makes.
    func begin<Receiver: LinkReceiver>(_ message: Message, _ receiver: (UInt32) -> Receiver) throws -> Receiver {
        let (id, receiver) = try state.withLock { state in
            if let ending = state.ending { throw ending }
            var id: UInt32
            repeat {
                id = state.nextStream
                // Stream 0 is the connection's own; numbers come round after two thousand million requests.
                state.nextStream = id == WireProtocol.firstHelperStream - 1 ? 1 : id + 1
            } while state.streams[id] != nil
            let receiver = receiver(id)
            state.streams[id] = receiver
            return (id, receiver)
        }
        send(message, on: id)
        return receiver
    }

    /// Sends a further message of a request.
    func send(_ message: Message, on stream: LinkStream) { send(message, on: stream.id) }

    /// Sends a message on a stream.
    func send(_ message: Message, on stream: UInt32) {
        outbox.append(Frame(message, on: stream))
    }

    /// Sends a message that is not answered.
    func send(_ message: Message) {
        outbox.append(Frame(message))
    }

    /// Waits until the link has taken most of what was sent.
    func waitForRoom(below limit: Int = Outbox.capacity) async { await outbox.waitForRoom(below: limit) }

    /// Forgets a request whose last answer has come.
    func finish(_ stream: LinkStream) { forget(stream.id) }

    /// Forgets a stream that is over: what still comes for it is dropped.
    func forget(_ stream: UInt32) {
        state.withLock { _ = $0.streams.removeValue(forKey: stream) }
    }

    /// Says goodbye, so that the helper cleans up, and waits at most `limit` for it to have done so; returns why it may not
    /// have.
    @discardableResult
    func end(removingHelper: Bool = false, limit: Duration = .milliseconds(500)) async -> String? {
        guard isOpen else { return nil }
        send(removingHelper ? .removeSelf : .bye)
        let isLate = Mutex(false)
        let deadline = Task {
            // The helper's last word may never come: leaving takes no longer than this.
            try await Task.sleep(for: limit)
            isLate.withLock { $0 = true }
            drop("closed")
        }
        await untilEnded()
        deadline.cancel()
        if isLate.withLock({ $0 }) { return "no answer within \(limit)" }
        if case .refused(let failure)? = state.withLock({ $0.ending }) { return "\(LinkError.refused(failure))" }
        return nil
    }

    /// Drops the connection now.
    func drop(_ reason: String) {
        fail(.disconnected(reason))
    }

    /// A number that changes whenever something is heard.
    var signs: UInt64 { state.withLock { $0.signs } }

    private func untilEnded() async {
        await withCheckedContinuation { continuation in whenEnded { continuation.resume() } }
    }

    private func start(_ decoder: consuming FrameDecoder) {
        let decoder = decoder
        let tasks = [
            Task { await self.read(decoder) },
            Task { await self.write() },
            Task { await self.beat() },
        ]
        let ended = state.withLock { state in
            state.tasks = tasks
            return state.ending != nil
        }
        if ended { for task in tasks { task.cancel() } }
    }

    private func read(_ initial: FrameDecoder) async {
        var decoder = initial
        do {
            while true {
                while let frame = try decoder.next() { try handle(frame) }
                let bytes = try await channel.receive()
                guard !bytes.isEmpty else { throw LinkError.disconnected("the helper has ended") }
                // Any sign of life counts: on a slow link a ping waits behind megabytes of content.
                state.withLock { state in
                    state.heartbeat.hear()
                    state.signs &+= 1
                }
                decoder.feed(bytes)
            }
        } catch let error as LinkError {
            fail(error)
        } catch let error as WireError {
            fail(.protocolViolation("\(error)"))
        } catch {
            fail(.disconnected("\(error)"))
        }
    }

    private func handle(_ frame: Frame) throws {
        guard frame.stream == WireProtocol.connectionStream else {
            if case .accepted(let accepted) = frame.message { return try accept(accepted, frame.stream) }
            // Answers to a request that was given up are dropped.
            try state.withLock { $0.streams[frame.stream] }?.deliver(frame.message)
            return
        }
        switch frame.message {
        case .ping(let number): send(.pong(number))
        case .pong: break
        case .failure(let failure): throw LinkError.refused(failure)
        case .bye: throw LinkError.disconnected("closed")
        default: throw LinkError.protocolViolation("\(frame.message.type) on the connection's stream")
        }
    }

    private func accept(_ accepted: Accepted, _ stream: UInt32) throws {
        let socket = LinkSocket(link: self, stream: stream, peer: accepted.peer)
        let listener = try state.withLock { state -> LinkListener? in
            guard stream >= WireProtocol.firstHelperStream, state.streams[stream] == nil else {
                throw LinkError.protocolViolation("a connection on a stream that is in use")
            }
            guard let listener = state.streams[accepted.listener] as? LinkListener else { return nil }
            state.streams[stream] = socket
            return listener
        }
        // It was closed while this was under way.
        guard let listener else { return send(.reset(0), on: stream) }
        listener.take(socket)
    }

    private func write() async {
        while let bytes = await outbox.take() {
            do { try await channel.send(bytes) } catch { return fail(.disconnected("\(error)")) }
        }
    }

    private func beat() async {
        var number: UInt64 = 0
        var last = ContinuousClock.now
        // A silent link gives no end of file: only a missing answer tells (`Task.sleep` throws when the link ends).
        while (try? await Task.sleep(for: state.withLock { $0.heartbeat.pause })) != nil {
            let now = ContinuousClock.now
            guard state.withLock({ $0.heartbeat.beat(after: now - last) }) else {
                return fail(.disconnected("no answer to two pings"))
            }
            last = now
            number += 1
            send(.ping(number))
        }
    }

    private func fail(_ error: LinkError) {
        let ended = state.withLock { state -> State? in
            guard state.ending == nil else { return nil }
            state.ending = error
            let ended = state
            state.streams = [:]
            state.tasks = []
            state.onEnd = []
            return ended
        }
        guard let ended else { return }
        channel.close()
        outbox.close()
        for stream in ended.streams.values { stream.end(error) }
        for task in ended.tasks { task.cancel() }
        for body in ended.onEnd { body() }
    }
}
