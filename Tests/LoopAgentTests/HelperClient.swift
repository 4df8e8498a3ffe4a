import Glibc
import Reactor
import Wire

/// What a helper answered where something else was expected.
struct Unexpected: Error, CustomStringConvertible {
    let message: Message?

    var description: String {
        if case .failure(let failure)? = message {
            return "\(failure.operation) failed with \(failure.code) at \(failure.path.text): \(failure.text.text)"
        }
        return message.map { "unexpected \($0)" } ?? "the helper ended"
    }
}

extension [UInt8] {
    var text: String { String(decoding: self, as: UTF8.self) }

    init(_ text: String) {
        self = Array(text.utf8)
    }
}

/// A host's end of a session with a real helper process. One task drives it: requests are written one after the other.
actor HelperClient {
    nonisolated let child: Child
    private var inbox: [UInt32: [Message]] = [:]
    private var waiters: [UInt32: CheckedContinuation<Void, Never>] = [:]
    private var isOver = false
    private var nextStream: UInt32 = 1
    private var windows: [UInt32: FlowWindow.Sender] = [:]
    /// The streams of the connections that listeners accepted.
    private var accepted: [UInt32: [UInt32]] = [:]

    private init(_ child: Child) {
        self.child = child
    }

    /// Starts a helper without greeting it; `wrapper` is a command that ends in running it.
    static func start(
        _ arguments: [String] = ["serve"], wrapper: [String] = [], helper: String = Built.helper
    ) async throws -> HelperClient {
        var launch = Launch(wrapper + [helper] + arguments)
        launch.standardInput = .pipe
        launch.standardError = .inherit
        let client = HelperClient(try await Child.spawn(launch))
        Task { await client.receiveAll() }
        return client
    }

    /// Starts a helper and greets it; it takes long silence, because a busy machine may hold this process up.
    static func connect(
        generation: UInt64 = 1, heartbeat: UInt16 = 600, arguments: [String] = ["serve"], wrapper: [String] = [],
        helper: String = Built.helper
    ) async throws -> HelperClient {
        let client = try await start(arguments, wrapper: wrapper, helper: helper)
        _ = try await client.greet(generation: generation, heartbeat: heartbeat)
        return client
    }

    func greet(generation: UInt64 = 1, heartbeat: UInt16 = 600) async throws -> Welcome {
        try await send(.hello(Hello(generation: generation, heartbeatSeconds: heartbeat)))
        let answer = await receive(on: 0)
        guard case .welcome(let welcome)? = answer else { throw Unexpected(message: answer) }
        return welcome
    }

    // Frames.

    func newStream() -> UInt32 {
        defer { nextStream += 1 }
        return nextStream
    }

    func send(_ message: Message, on stream: UInt32 = 0) async throws {
        try await sendRaw(Frame(message, on: stream).encoded)
    }

    func sendRaw(_ bytes: [UInt8]) async throws { try await child.standardInput?.write(bytes) }

    /// The next message on a stream; `nil` when the helper has ended.
    func receive(on stream: UInt32) async -> Message? {
        while true {
            if var waiting = inbox[stream], !waiting.isEmpty {
                let first = waiting.removeFirst()
                inbox[stream] = waiting
                return first
            }
            if isOver { return nil }
            await withCheckedContinuation { waiters[stream] = $0 }
        }
    }

    private func receiveAll() async {
        var decoder = FrameDecoder()
        while let bytes = try? await child.standardOutput?.read(), !bytes.isEmpty {
            decoder.feed(bytes)
            while let frame = try? decoder.next() { deliver(frame) }
        }
        isOver = true
        for waiter in waiters.values { waiter.resume() }
        waiters = [:]
    }

    /// The next connection that a listener accepted.
    func accept(on listener: UInt32) async throws -> (stream: UInt32, peer: SocketAddress) {
        while true {
            if var waiting = accepted[listener], !waiting.isEmpty {
                let stream = waiting.removeFirst()
                accepted[listener] = waiting
                let first = await receive(on: stream)
                guard case .accepted(let accepted)? = first else { throw Unexpected(message: first) }
                return (stream, accepted.peer)
            }
            if isOver { throw Unexpected(message: nil) }
            await withCheckedContinuation { waiters[listener] = $0 }
        }
    }

    /// Sends on a connection for as long as the helper grants more.
    func fill(_ stream: UInt32) async throws {
        windows[stream] = FlowWindow.Sender(WireProtocol.socketWindow)
        defer { windows[stream] = nil }
        while true {
            var count = windows[stream]?.take(1 << 16) ?? 0
            if count == 0 {
                try await send(.ping(9))
                guard case .pong(9)? = await receive(on: 0) else { throw Unexpected(message: nil) }
                count = windows[stream]?.take(1 << 16) ?? 0
            }
            if count == 0 { return }
            try await send(.data([UInt8](repeating: 5, count: count)), on: stream)
        }
    }

    private func deliver(_ frame: Frame) {
        if case .accepted(let connection) = frame.message {
            accepted[connection.listener, default: []].append(frame.stream)
            waiters.removeValue(forKey: connection.listener)?.resume()
        }
        if case .window(let bytes) = frame.message {
            try? windows[frame.stream, default: FlowWindow.Sender()].grant(bytes)
        } else {
            inbox[frame.stream, default: []].append(frame.message)
        }
        waiters.removeValue(forKey: frame.stream)?.resume()
    }

    // Requests.

    func open(
        _ path: String, root: String = "", generation: UInt64 = 1, create: Bool = true
    ) async throws -> Opened {
        let request = Open(
            path: [UInt8](path), root: [UInt8](root), generation: generation, createIfMissing: create)
        let answer = try await ask(.open(request))
        guard case .opened(let opened)? = answer else { throw Unexpected(message: answer) }
        return opened
    }

    func close(_ destination: UInt32) async throws {
        let answer = try await ask(.close(destination))
        guard answer == .closed else { throw Unexpected(message: answer) }
    }

    func ask(_ message: Message) async throws -> Message? {
        let stream = newStream()
        try await send(message, on: stream)
        return await receive(on: stream)
    }

    /// Stages bytes; the answer is `staged` or a failure.
    func tryStage(_ stage: UInt32, _ path: [UInt8], _ content: [UInt8], in destination: UInt32) async throws -> Message?
    {
        try await tryStage(stage, path, in: destination, size: content.count) { content[$0] }
    }

    /// Stages `size` bytes that are made piece by piece.
    func tryStage(
        _ stage: UInt32, _ path: [UInt8], in destination: UInt32, size: Int,
        _ piece: (Range<Int>) -> ArraySlice<UInt8>
    ) async throws -> Message? {
        let stream = newStream()
        windows[stream] = FlowWindow.Sender()
        defer { windows[stream] = nil }
        try await send(
            .stage(Stage(destination: destination, stage: stage, sizeHint: UInt64(size), path: path)), on: stream)
        var offset = 0
        while offset < size, inbox[stream, default: []].isEmpty {
            let count = windows[stream, default: FlowWindow.Sender()].take(min(size - offset, 256 << 10))
            guard count > 0 else {
                if isOver { return nil }
                await withCheckedContinuation { waiters[stream] = $0 }
                continue
            }
            try await send(.data(Array(piece(offset..<offset + count))), on: stream)
            offset += count
        }
        try await send(.stageEnd(UInt64(size)), on: stream)
        return await receive(on: stream)
    }

    func stage(_ stage: UInt32, _ path: String, _ content: [UInt8], in destination: UInt32) async throws -> Staged {
        let answer = try await tryStage(stage, [UInt8](path), content, in: destination)
        guard case .staged(let staged)? = answer else { throw Unexpected(message: answer) }
        return staged
    }

    func commit(
        _ operations: [FileOperation], in destination: UInt32, generation: UInt64 = 1
    ) async throws -> [OperationResult] {
        let stream = newStream()
        try await send(
            .commit(Commit(destination: destination, generation: generation, operations: operations)), on: stream)
        var results: [OperationResult] = []
        while true {
            let answer = await receive(on: stream)
            guard case .committed(let part)? = answer else { throw Unexpected(message: answer) }
            results += part.results
            if part.isLast { return results }
        }
    }

    /// Stages and commits one file.
    func put(
        _ path: String, _ content: String, mode: UInt32 = 0o644, in destination: UInt32, generation: UInt64 = 1
    ) async throws -> OperationResult {
        _ = try await stage(1, path, [UInt8](content), in: destination)
        let operation = FileOperation.place(stage: 1, path: [UInt8](path), mode: mode, modified: 1_000_000_007)
        return try await commit([operation], in: destination, generation: generation)[0]
    }

    func list(_ request: List) async throws -> (entries: [Entry], failures: [Failure]) {
        let stream = newStream()
        try await send(.list(request), on: stream)
        var entries: [Entry] = []
        var failures: [Failure] = []
        while true {
            switch await receive(on: stream) {
            case .entries(let more): entries += more
            case .failure(let failure) where !failure.isFinal: failures.append(failure)
            case .listed(let count):
                guard count == entries.count else { throw Unexpected(message: .listed(count)) }
                return (entries.sorted { $0.path.lexicographicallyPrecedes($1.path) }, failures)
            case let other: throw Unexpected(message: other)
            }
        }
    }

    func digest(_ paths: [[UInt8]], in destination: UInt32) async throws -> (digests: [Digest], failures: [Failure]) {
        let stream = newStream()
        try await send(.digestRequest(DigestRequest(destination: destination, paths: paths)), on: stream)
        var digests: [Digest] = []
        var failures: [Failure] = []
        while true {
            switch await receive(on: stream) {
            case .digest(let digest): digests.append(digest)
            case .failure(let failure) where !failure.isFinal: failures.append(failure)
            case .digested: return (digests, failures)
            case let other: throw Unexpected(message: other)
            }
        }
    }

    /// Runs a program to its end, granting as much output as it has.
    func exec(_ request: Exec) async throws -> (output: [UInt8], error: [UInt8], exit: ProgramExit) {
        let stream = newStream()
        try await send(.exec(request), on: stream)
        var output: [UInt8] = []
        var error: [UInt8] = []
        var window = FlowWindow.Receiver()
        while true {
            switch await receive(on: stream) {
            case .output(let part):
                try window.receive(part.bytes.count)
                if part.channel == .standardOutput { output += part.bytes } else { error += part.bytes }
                if let grant = window.consume(part.bytes.count) { try await send(.window(grant), on: stream) }
            case .exited(let exit): return (output, error, exit)
            case let other: throw Unexpected(message: other)
            }
        }
    }

    /// Ends the session as a host does, and waits for the helper's end.
    @discardableResult
    func end() async throws -> Reactor.ExitStatus {
        try await send(.bye)
        while let message = await receive(on: 0), message != .bye {}
        return await child.wait()
    }

    /// Closes the helper's input, as a host that dies does.
    func hangUp() { child.standardInput?.close() }
}
