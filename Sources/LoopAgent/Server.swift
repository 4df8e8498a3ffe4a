import CAgent

/// One session with a host over standard input and output: a single thread that waits for descriptors with `poll`.
struct Server {
    /// How long a host may take to say hello.
    private static let patience: Int64 = 30_000

    let resolver: Resolver
    let token = cagent_random()
    var output = OutputQueue()
    var targets: [UInt32: Target] = [:]
    var incoming: [UInt32: Incoming] = [:]
    var commits: [UInt32: [FileOperation]] = [:]
    var listings: [Listing] = []
    var digestings: [Digesting] = []
    var blockings: [Blocking] = []
    var programs: [Program] = []
    var sockets = Sockets()
    var relay: ServiceRelay
    var hasGreeted = false
    var isEnding = false
    /// Whether the host waits for the word that all is in order: its container may go as soon as it has that.
    var saysGoodbye = false
    var exitCode: Int32 = 0
    var silence = Server.patience

    private var decoder = FrameDecoder()
    /// Not written to before it is needed: a page that nobody touched costs nothing.
    var buffer = Bytes(unsafeUninitializedCapacity: 64 << 10) { _, count in count = 64 << 10 }
    private var lastLife = cagent_now()

    init(walkOnly: Bool, state: Bytes) {
        resolver = Resolver(walkOnly: walkOnly)
        relay = ServiceRelay(state)
    }

    /// Serves one session; returns the exit code, or `nil` when the command line makes no sense.
    static func serve(_ arguments: inout Arguments) -> Int32? {
        let walkOnly = arguments.take("--walk")
        guard let state = arguments.takeState(), arguments.isEmpty else { return nil }
        var server = Server(walkOnly: walkOnly, state: state)
        return server.run()
    }

    /// How long a host may be silent: two heartbeats, and half a one for the way.
    static func silence(_ heartbeatSeconds: UInt16) -> Int64 { Int64(max(1, heartbeatSeconds)) * 2500 }

    private mutating func run() -> Int32 {
        let caught: [Int32] = [SIGCHLD, SIGTERM, SIGINT, SIGHUP]
        let signals = cagent_catch_signals(caught, Int32(caught.count))
        cagent_ignore_signal(SIGPIPE)
        guard signals >= 0, cagent_set_nonblocking(0) == 0, cagent_set_nonblocking(1) == 0 else { return 1 }
        while !isEnding {
            do {
                try turn(signals)
            } catch {
                // Nobody reads any more: the files are all that is left to put in order.
                isEnding = true
            }
        }
        finish()
        return exitCode
    }

    private mutating func turn(_ signals: Int32) throws(SystemFailure) {
        let isDeaf = output.isFull
        let isBusy = !isDeaf && (!listings.isEmpty || !digestings.isEmpty || !blockings.isEmpty)
        var watched = [
            pollfd(fd: isDeaf ? -1 : 0, events: Int16(POLLIN), revents: 0),
            pollfd(fd: output.pending > 0 ? 1 : -1, events: Int16(POLLOUT), revents: 0),
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            relay.watched(isFull: output.isFull),
        ]
        if !output.isFull {
            for program in programs {
                let pipes = program.readable
                watched.append(pollfd(fd: pipes.output, events: Int16(POLLIN), revents: 0))
                watched.append(pollfd(fd: pipes.error, events: Int16(POLLIN), revents: 0))
            }
        }
        let firstSocket = watched.count
        let untilDeadline = sockets.watch(&watched, hasRoom: output.hasRoomForBulk, isFull: output.isFull)
        let left = lastLife + min(silence, relay.silence) - cagent_now()
        _ = poll(
            &watched, nfds_t(watched.count),
            isBusy ? 0 : Int32(min(max(left, 0), untilRemoval, untilDeadline, 3_600_000)))
        if watched[2].revents != 0 { takeSignals(signals) }
        if watched[0].revents != 0 { try receive() }
        relay.advance(watched[3].revents, &output, &buffer)
        sockets.advance(watched[firstSocket...], &output, &buffer)
        advance()
        for target in targets.values where target.untilRemoval == 0 { target.removeReplaced() }
        // Whoever reads is a sign of the host only while the host cannot be heard: between it and this there are buffers,
        // which take what new connections cause long after it has gone.
        if try output.flush(), isDeaf {
            lastLife = cagent_now()
        } else if left <= 0, watched[0].revents == 0 {
            // Only silence counts that was listened to: a write that took long has left the host's words in the pipe.
            isEnding = true
        }
    }

    /// How long no replaced file has to go.
    private var untilRemoval: Int64 { targets.values.reduce(.max) { min($0, $1.untilRemoval ?? .max) } }

    private mutating func takeSignals(_ pipe: Int32) {
        var number: UInt8 = 0
        while read(pipe, &number, 1) == 1 {
            if Int32(number) != SIGCHLD { isEnding = true }
        }
        for program in programs {
            var code: Int32 = 0
            if cagent_reap(program.pid, &code) == program.pid { program.ended(code) }
        }
    }

    private mutating func receive() throws(SystemFailure) {
        let count = read(0, &buffer, buffer.count)
        if count < 0 {
            let code = cagent_errno()
            guard code == EAGAIN || code == EINTR else { throw SystemFailure(code: code) }
            return
        }
        guard count > 0 else {
            isEnding = true
            return
        }
        lastLife = cagent_now()
        buffer.withUnsafeBytes { decoder.feed(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        do {
            while !isEnding, let frame = try decoder.next() { try handle(frame) }
        } catch {
            refuse(EPROTO, "not a frame of this protocol")
        }
        sockets.flush(&output)
    }

    /// Ends a session that makes no sense, saying why.
    mutating func refuse(_ code: Int32, _ reason: StaticString) {
        output.send(.failure(Failure(.session, SystemFailure(code, reason), path: [])))
        isEnding = true
        exitCode = 3
    }

    private mutating func advance() {
        // One after the other: listings of a tree profit from each other's caches, not from each other's company.
        if let listing = listings.first, !output.isFull, !listing.advance(&output) { listings.removeFirst() }
        if let digesting = digestings.first, !output.isFull, !digesting.advance(&output, &buffer) {
            digestings.removeFirst()
        }
        if let blocking = blockings.first, !output.isFull, !blocking.advance(&output, &buffer) {
            blockings.removeFirst()
        }
        var running: [Program] = []
        for program in programs where program.advance(&output, &buffer) { running.append(program) }
        programs = running
    }

    /// Ends programs, removes what is staged, and sends what is still to be said to a host that still listens.
    private mutating func finish() {
        sockets.end()
        for content in incoming.values { content.abandon() }
        for target in targets.values { target.end(shared: false) }
        for program in programs { program.signal(SIGTERM) }
        var deadline = cagent_now() + 300
        while !programs.isEmpty, cagent_now() < deadline {
            programs = programs.filter { program in
                var code: Int32 = 0
                return cagent_reap(program.pid, &code) == 0
            }
            if !programs.isEmpty { _ = poll(nil, 0, 10) }
        }
        for program in programs { program.signal(SIGKILL) }
        if saysGoodbye { output.send(.bye) }
        deadline = cagent_now() + 1000
        while output.pending > 0, cagent_now() < deadline {
            var watched = pollfd(fd: 1, events: Int16(POLLOUT), revents: 0)
            _ = poll(&watched, 1, 100)
            guard (try? output.flush()) != nil else { return }
        }
    }
}
