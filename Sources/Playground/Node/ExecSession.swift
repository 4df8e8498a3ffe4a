internal import Glibc
internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// One exec over one WebSocket, from the upgrade to the status.
///
/// The process's pipes are read and written here without anything between: each message is written to its stdin at once,
/// and what it writes is one message. When the client goes away, the process gets the end of its input and lives on, as in
/// a real cluster; its output is read to nowhere, so that it neither blocks nor dies of a broken pipe.
struct ExecSession: Sendable {
    let request: ExecRequest
    let version: ChannelProtocol
    let socket: WebSocket
    let run: ContainerRun
    let context: NodeContext

    private static let setPipeSize: Int32 = 1031  // F_SETPIPE_SZ, which Glibc hides behind _GNU_SOURCE.
    private static let chunk = 1 << 18

    func serve() async {
        // The empty message on the lowest channel tells the client that the connection stands.
        let first =
            request.stdout ? ChannelProtocol.stdout : request.stderr ? ChannelProtocol.stderr : ChannelProtocol.status
        try? await socket.send(channel: first, [])
        let started: ExecProcess
        do {
            started = try await start()
        } catch {
            let status = ExecStatus.failed("\(error)", id: Identifier.random(bytes: 32), version)
            try? await socket.send(channel: ChannelProtocol.status, status.bytes)
            await socket.close()
            return
        }
        for stream in [started.standardInput, started.standardOutput].compactMap({ $0 }) where !request.tty {
            // Fewer turns for bulk; where the limit forbids it, 64 KiB do as well.
            try? stream.withDescriptor { _ = fcntl($0, ExecSession.setPipeSize, 1 << 20) }
        }
        let input = Task { await feed(started) }
        defer { input.cancel() }
        // The playground stops: the process lives on without it.
        guard let exit = await deliverOutput(of: started) else { return socket.abort() }
        let status = ExecStatus.ended(exit, request.command, version)
        try? await socket.send(channel: ChannelProtocol.status, status.bytes)
        await socket.close()
        started.standardInput?.close()
    }

    private func start() async throws -> ExecProcess {
        var process = run.template
        process["args"] = .array(request.command.map { .string($0) })
        process["terminal"] = .bool(request.tty)
        guard request.tty else {
            return try await context.runc.exec(run.id, process: process, input: request.stdin ? .pipe : .null)
        }
        let environment = process["env"]?.array ?? []
        if !environment.contains(where: { $0.string?.hasPrefix("TERM=") == true }) {
            process["env"] = .array(environment + ["TERM=xterm"])
        }
        return try await context.runc.execOnTerminal(run.id, process: process)
    }

    /// Carries the client's messages to the process until the client is gone or closes its input.
    private func feed(_ started: ExecProcess) async {
        var input = request.stdin ? started.standardInput : nil
        while let message = try? await socket.receive() {
            guard case .binary(let bytes) = message, let channel = bytes.first else { continue }
            switch channel {
            case ChannelProtocol.stdin where bytes.count > 1:
                // A process that does not read any more is its own business: the rest is dropped.
                guard let open = input else { continue }
                if (try? await open.write(bytes, from: 1)) == nil { input = nil }
            case ChannelProtocol.close where version == .v5 && bytes.count > 1 && bytes[1] == ChannelProtocol.stdin:
                if request.tty {
                    // A terminal's end of file is a character.
                    try? await input?.write([4])
                } else {
                    input?.close()
                }
                input = nil
            case ChannelProtocol.resize where request.tty: resize(started, bytes)
            default: break
            }
        }
        if !request.tty { input?.close() }
    }

    private func resize(_ started: ExecProcess, _ message: [UInt8]) {
        guard let size = try? JSON(parsing: Array(message.dropFirst())),
            let width = size["Width"]?.integer.flatMap(UInt16.init(exactly:)),
            let height = size["Height"]?.integer.flatMap(UInt16.init(exactly:))
        else { return }
        try? started.standardInput?.withDescriptor { Terminal.resize($0, columns: width, rows: height) }
    }

    /// Sends what the process writes; returns how it ended when all of that is sent, `nil` when the task is cancelled.
    private func deliverOutput(of started: ExecProcess) async -> ContainerExit? {
        let progress = OutputProgress()
        let carriers = Task {
            await withTaskGroup(of: Void.self) { group in
                for (channel, stream) in [
                    (ChannelProtocol.stdout, started.standardOutput), (ChannelProtocol.stderr, started.standardError),
                ] {
                    guard let stream else { continue }
                    group.addTask { await carry(stream, to: channel, progress) }
                }
            }
        }
        guard let exit = await started.process.exit() else {
            carriers.cancel()
            return nil
        }
        // What it wrote is in the pipes now. A child that it left behind may hold them open for ever: when nothing has come
        // for a while, that is the end.
        let watch = Task {
            var last = progress.value
            while true {
                try await Task.sleep(for: .milliseconds(250))
                let now = progress.value
                if now == last { break }
                last = now
            }
            carriers.cancel()
        }
        await carriers.value
        watch.cancel()
        return exit
    }

    private func carry(_ stream: Stream, to channel: UInt8, _ progress: OutputProgress) async {
        let isWanted = channel == ChannelProtocol.stdout ? request.stdout : request.stderr
        var isConnected = true
        while let bytes = try? await stream.read(upTo: ExecSession.chunk), !bytes.isEmpty {
            guard isWanted, isConnected else { continue }
            progress.begin()
            isConnected = (try? await socket.send(channel: channel, bytes)) != nil
            progress.end()
            // A command that never pauses must not keep a thread of the pool to itself.
            await Task.yield()
        }
        if !request.tty { stream.close() }
    }
}

/// Tells a stalled pipe from a slow client: changes while a message is on its way.
private final class OutputProgress: Sendable {
    private let state = Mutex((count: 0, sending: 0))

    func begin() { state.withLock { $0 = ($0.count + 1, $0.sending + 1) } }
    func end() { state.withLock { $0 = ($0.count + 1, $0.sending - 1) } }

    /// Never the same twice while something is being sent.
    var value: Int {
        state.withLock { state in
            if state.sending > 0 { state.count += 1 }
            return state.count
        }
    }
}
