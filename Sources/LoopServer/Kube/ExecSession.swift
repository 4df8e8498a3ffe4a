internal import HTTP
internal import JSON
internal import Reactor
internal import Synchronization

/// A program that runs in a container, over one WebSocket: `v5.channel.k8s.io`, else `v4`.
///
/// The first byte of each message is its channel: 0 to 2 as the descriptors, 3 the `Status` at the end, 255 (v5) closes
/// one. Closing standard input may cut off what is still on its way to the program: bulk data needs an end of its own.
final class ExecSession: Sendable {
    /// What to run where.
    struct Request: Sendable {
        var namespace: String
        var pod: String
        /// `nil` leaves it to the server, which refuses where there are several.
        var container: String?
        /// The program and its arguments; no shell.
        var command: [String]
        /// Whether the program gets a standard input; without, it reads the end at once.
        var hasInput = true
    }

    /// What the program prints.
    enum Output: Equatable, Sendable {
        case standardOutput([UInt8])
        case standardError([UInt8])
    }

    private struct Ending {
        var result: ExecResult?
        var error: ExecError?
    }

    let request: Request
    private let socket: WebSocket
    private let ending = Mutex<Ending?>(nil)
    private let beating = Mutex<Task<Void, Never>?>(nil)

    private init(_ request: Request, _ socket: WebSocket) {
        self.request = request
        self.socket = socket
    }

    deinit {
        close()
    }

    /// The sub-protocol that was agreed on.
    var protocolName: String? { socket.negotiatedProtocol }

    /// How many pings were answered, for tests.
    var answeredPings: Int { socket.answeredPings }

    /// Starts the program.
    ///
    /// Throws `ExecError`.
    ///
    /// That the program itself does not exist shows in the first `next()`: the API server answers before it starts it.
    ///
    /// While it stands, a ping goes out each `heartbeat`; `patience` is how long the server may take to answer.
    static func open(
        _ client: KubeClient, _ request: Request, heartbeat: Duration = .seconds(20),
        patience: Duration = KubeClient.timeLimit
    ) async throws -> ExecSession {
        let session: ExecSession
        do {
            session = try await open(client, request, ["v5.channel.k8s.io", "v4.channel.k8s.io"], patience)
        } catch ExecError.protocolNotSupported {
            // Some servers look at the first offer only.
            session = try await open(client, request, ["v4.channel.k8s.io"], patience)
        }
        session.startBeating(every: heartbeat)
        return session
    }

    private static func open(
        _ client: KubeClient, _ request: Request, _ protocols: [String], _ patience: Duration
    ) async throws -> ExecSession {
        var query = [("stdin", "\(request.hasInput)"), ("stdout", "true"), ("stderr", "true")]
        query += request.command.map { ("command", $0) }
        if let container = request.container { query.append(("container", container)) }
        let path = KubeResource.pods.path(namespace: request.namespace, name: request.pod, part: "exec")
        do {
            let target = client.target(path, query)
            let socket = try await KubeClient.within(patience, "exec") {
                try await client.http.webSocket(target, protocols: protocols)
            }
            return ExecSession(request, socket)
        } catch let error as KubeError {
            throw ExecError.connectionLost(error.message)
        } catch let refusal as UpgradeRefused {
            throw ExecError(refusal, pod: request.pod)
        } catch let error as SystemError {
            throw ExecError.connectionLost("\(error)")
        } catch let error as HTTPError {
            throw ExecError.connectionLost("\(error)")
        }
    }

    /// Sends bytes to the program's standard input, in one message; any size, but large ones are cheaper.
    func write(_ bytes: [UInt8]) async throws {
        do {
            try await socket.send(channel: 0, bytes)
        } catch let error as CancellationError {
            throw error
        } catch {
            // What ended the program says more than the broken pipe does.
            throw ending.withLock { $0?.error } ?? ExecError.connectionLost("\(error)")
        }
    }

    /// Ends the program's standard input.
    ///
    /// With v4 that cannot be said: the connection stays as it is, and `false` comes back.
    func closeInput() async throws -> Bool {
        guard protocolName == "v5.channel.k8s.io" else { return false }
        try await socket.send(binary: [255, 0])
        return true
    }

    /// The next output; `nil` when the program has ended, `result` then says how.
    ///
    /// Throws `ExecError`: the program could not be started, or the connection ended before it did.
    func next() async throws -> Output? {
        while true {
            if let ending = ending.withLock({ $0 }) {
                if let error = ending.error { throw error }
                return nil
            }
            let message: (channel: UInt8?, bytes: [UInt8])?
            do {
                message = try await socket.receiveChannel()
            } catch let error as CancellationError {
                throw error
            } catch {
                end(Ending(error: .connectionLost("\(error)")))
                continue
            }
            guard let (channel, bytes) = message else {
                let reason = socket.closeReason.isEmpty ? "without a status" : socket.closeReason
                end(Ending(error: .connectionLost(reason)))
                continue
            }
            // The server opens every session with an empty message.
            guard !bytes.isEmpty else { continue }
            switch channel {
            case 1: return .standardOutput(bytes)
            case 2: return .standardError(bytes)
            case 3: await finish(bytes)
            default: break
            }
        }
    }

    /// How the program ended, once `next()` has returned `nil`.
    var result: ExecResult? { ending.withLock { $0?.result } }

    /// Drops the connection.
    ///
    /// The program in the container may live on: only its own reading of the end can stop it.
    func close() {
        beating.withLock { $0.take() }?.cancel()
        socket.abort()
    }

    /// Pings, so that nothing on the way takes a silent program's connection for an idle one, and so that a connection
    /// that is dead without an end is noticed.
    private func startBeating(every interval: Duration) {
        let task = Task { [weak self, socket] in
            var heartbeat = Heartbeat(every: interval)
            var signs = socket.signsOfLife
            var last = ContinuousClock.now
            while true {
                // Not waited for: it may stand behind a write that never ends.
                Task { try? await socket.ping() }
                guard (try? await Task.sleep(for: heartbeat.pause)) != nil else { return }
                if socket.signsOfLife != signs { heartbeat.hear() }
                signs = socket.signsOfLife
                let now = ContinuousClock.now
                // A server that never answered a ping is not expected to.
                guard heartbeat.beat(after: now - last) || socket.answeredPings == 0 else { break }
                last = now
            }
            self?.end(Ending(error: .connectionLost("no answer to two pings")))
            socket.abort()
        }
        beating.withLock { $0 = task }
    }

    private func finish(_ bytes: [UInt8]) async {
        let status = (try? JSON(parsing: bytes)) ?? .null
        let error = ExecError(status: status, command: request.command.first ?? "", pod: request.pod)
        let result = ExecResult(status: status)
        let unread = error == nil && result == nil ? ExecError.failed(String(decoding: bytes, as: UTF8.self)) : nil
        end(Ending(result: result, error: error ?? unread))
        await socket.close()
    }

    private func end(_ new: Ending) {
        ending.withLock { ending in
            if ending == nil { ending = new }
        }
    }
}

extension ExecSession {
    /// What a short program printed and how it ended.
    struct Finished: Sendable {
        var exitCode: Int32
        var standardOutput: [UInt8]
        var standardError: [UInt8]
    }

    /// Runs a program to its end without input; more than `limit` bytes of either output are dropped.
    static func run(
        _ client: KubeClient, namespace: String, pod: String, container: String?, _ command: [String],
        limit: Int = 1 << 20
    ) async throws -> Finished {
        let request = Request(namespace: namespace, pod: pod, container: container, command: command, hasInput: false)
        let session = try await open(client, request)
        defer { session.close() }
        var finished = Finished(exitCode: 0, standardOutput: [], standardError: [])
        while let output = try await session.next() {
            switch output {
            case .standardOutput(let bytes):
                finished.standardOutput += bytes.prefix(limit - finished.standardOutput.count)
            case .standardError(let bytes):
                finished.standardError += bytes.prefix(limit - finished.standardError.count)
            }
        }
        finished.exitCode = session.result?.exitCode ?? 0
        return finished
    }
}
