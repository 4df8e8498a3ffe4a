import CAgent

/// Process 1 of a container in dev mode: runs the service, and restarts or holds it for those who ask at its socket.
///
/// A single thread that waits for descriptors with `poll`.
struct Supervisor {
    /// What the service is to be.
    enum Aim {
        case run
        /// Down until nobody holds it any more.
        case hold
        /// Down for good: somebody outside stops the container.
        case leave
    }

    /// Who waits for what becomes of the service.
    struct Waiter {
        let peer: FrameSocket
        let stream: UInt32
        /// The start that answers it; `nil` for one who waits until the service is held.
        let start: UInt32?
    }

    /// A connection, and its streams that follow.
    struct Peer {
        let socket: FrameSocket
        var followers: [UInt32] = []
        /// Whether it wants the service down, for as long as it follows.
        var isHolding = false
    }

    private static let mostPeers = 64

    var service: ServiceProcess
    var peers: [Peer] = []
    var waiters: [Waiter] = []
    var aim = Aim.run
    /// The number of the start that is wanted: more than there were means another one.
    var wanted: UInt32 = 1
    /// What the next stop grants.
    var grace: Int64 = 0
    private(set) var state = ServiceState.starting
    private var lastExit = ProgramExit.code(0)
    /// What the container ends with; `nil` while it does not.
    private var exitCode: Int32?
    /// Until when one may begin to follow who has the service's program to bring, or a better one; `nil` once one has.
    ///
    /// A service that ends before is not the container's end yet: else the kubelet would hold up every next start.
    var firstFollowing: Int64?
    /// Whether no child has ended since the last look.
    private var isReaped = true
    private let listener: Int32
    private var buffer = Bytes(repeating: 0, count: 4 << 10)

    /// Runs the command to the container's end; returns the exit code, or `nil` when the command line makes no sense.
    static func supervise(_ arguments: inout Arguments) -> Int32? {
        guard let state = arguments.takeState() else { return nil }
        var patience: UInt64 = 0
        if arguments.take("--patience") {
            guard let seconds = arguments.number() else { return nil }
            patience = seconds
        }
        guard arguments.take("--"), !arguments.isEmpty else { return nil }
        let signals = catchSignals()
        guard signals >= 0 else { return 1 }
        _ = cagent_become_subreaper()
        let path = FrameSocket.path(in: state)
        let listener = listen(at: path, state)
        var supervisor = Supervisor(ServiceProcess(arguments.pointers), listener)
        if patience > 0 { supervisor.firstFollowing = cagent_now() + Int64(patience) * 1000 }
        let code = supervisor.run(signals)
        if listener >= 0 { _ = path.withCString { unlink($0) } }
        return code
    }

    private init(_ service: ServiceProcess, _ listener: Int32) {
        self.service = service
        self.listener = listener
    }

    /// Everything that could be meant for the service, and the end of a child.
    private static func catchSignals() -> Int32 {
        var caught = [SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGCONT, SIGWINCH, SIGPWR]
        // Real-time signals, which some services take as commands; libc keeps the first two for itself.
        for number in 34...64 { caught.append(Int32(number)) }
        cagent_ignore_signal(SIGPIPE)
        return cagent_catch_signals(caught, Int32(caught.count))
    }

    /// The socket, or -1 with a word on standard error: the service runs all the same.
    private static func listen(at path: Bytes, _ state: Bytes) -> Int32 {
        // A socket that nobody listens at is what an earlier container left.
        let isTaken = (try? FrameSocket(to: state)) != nil
        let listener = isTaken ? -1 : path.withCString { cagent_listen($0) }
        if listener < 0 {
            let reason = isTaken ? Bytes("another supervisor listens there") : SystemFailure.last().text
            complain(
                Bytes("loopd: no socket at ") + path + Bytes(", so that nobody can restart this service: ") + reason)
        }
        return listener
    }

    private mutating func run(_ signals: Int32) -> Int32 {
        settle()
        while true {
            if let exitCode { return exitCode }
            turn(signals)
        }
    }

    private mutating func turn(_ signals: Int32) {
        var watched = [
            pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
            pollfd(fd: service.report, events: Int16(POLLIN), revents: 0),
            pollfd(fd: listener, events: Int16(POLLIN), revents: 0),
        ]
        let known = watched.count
        for peer in peers { watched.append(peer.socket.watched) }
        let timeout = min(service.timeout, firstFollowing.map { max(0, $0 - cagent_now()) } ?? .max)
        _ = poll(&watched, nfds_t(watched.count), timeout == .max ? -1 : Int32(min(timeout, 3_600_000)))
        if watched[0].revents != 0 { takeSignals(signals) }
        takeOutcome()
        reap()
        service.keepTime()
        if let firstFollowing, firstFollowing <= cagent_now() { self.firstFollowing = nil }
        // From the last one to the first, so that those who are gone can be removed.
        for index in peers.indices.reversed() where watched[known + index].revents & ~Int16(POLLOUT) != 0 {
            hear(index)
        }
        if watched[2].revents != 0 { accept() }
        settle()
        for index in peers.indices.reversed() where (try? peers[index].socket.flush()) == nil { lose(index) }
        // Who was lost may have been the last one to follow.
        settle()
    }

    private mutating func takeSignals(_ pipe: Int32) {
        var number: UInt8 = 0
        while read(pipe, &number, 1) == 1 {
            switch Int32(number) {
            case SIGCHLD:
                isReaped = false
                continue
            case SIGTERM, SIGINT, SIGQUIT:
                aim = .leave
                service.letEnd()
            default: break
            }
            _ = service.signal(Int32(number))
        }
    }

    private mutating func reap() {
        guard !isReaped else { return }
        let (exit, isComplete) = service.reap()
        isReaped = isComplete
        if let exit { lastExit = exit }
    }

    private mutating func accept() {
        while true {
            let accepted = cagent_accept(listener)
            guard accepted >= 0 else { return }
            let socket = FrameSocket(Descriptor(opened: accepted))
            if peers.count < Supervisor.mostPeers { peers.append(Peer(socket: socket)) }
        }
    }

    private mutating func hear(_ index: Int) {
        let socket = peers[index].socket
        do throws(SystemFailure) {
            for frame in try socket.receive(&buffer) {
                guard case .service(let request) = frame.message else { throw SystemFailure(code: EPROTO) }
                handle(request, frame.stream, from: index)
            }
        } catch {
            lose(index)
        }
    }

    private mutating func lose(_ index: Int) {
        let socket = peers.remove(at: index).socket
        waiters.removeAll { $0.peer === socket }
    }

    // What becomes of the service.

    var isFollowed: Bool { peers.contains { !$0.followers.isEmpty } }

    /// Whether anybody is left who wants the service down: others may follow it, too, and would keep it down for ever.
    var isHeld: Bool { peers.contains { $0.isHolding } }

    mutating func runAgain() {
        aim = .run
        wanted = service.starts + 1
    }

    /// Brings the service nearer to what it is to be.
    private mutating func settle() {
        guard exitCode == nil else { return }
        if aim == .hold, !isHeld { runAgain() }
        if service.isThere { return stopIfUnwanted() }
        switch aim {
        case .run where wanted > service.starts:
            become(.starting)
            if service.isClear { start() }
        case .run:
            become(.ended(lastExit, starts: service.starts))
            if !isFollowed, firstFollowing == nil { end() }
        case .hold where service.isClear:
            become(.held)
            answer(.serviceState(state), all: true)
        case .hold: break
        case .leave:
            become(.ended(lastExit, starts: service.starts))
            for peer in peers { try? peer.socket.flush() }
            end()
        }
    }

    private mutating func stopIfUnwanted() {
        // Who leaves has been told so from outside, and may take its time.
        guard aim != .leave, !service.isStarting, aim == .hold || wanted > service.starts else { return }
        service.stop(grace: grace)
        become(.stopping)
    }

    private mutating func start() {
        do throws(SystemFailure) {
            try service.start()
        } catch {
            fail(error)
            settle()
        }
    }

    private mutating func takeOutcome() {
        switch service.outcome() {
        case nil: break
        case .success(let pid): succeed(pid)
        case .failure(let failure): fail(failure)
        }
    }

    private mutating func succeed(_ pid: pid_t) {
        become(.running(pid: UInt32(pid), starts: service.starts))
        answer(.serviceState(state))
    }

    private mutating func fail(_ failure: SystemFailure) {
        complain(Bytes("loopd: ") + failure.text)
        lastExit = StartFailure.exit(failure)
        answer(.failure(Failure(.service, failure, path: service.name)))
    }

    /// Answers who waits for this start, good or bad, or for a hold that nobody wants any more; or all who wait.
    private mutating func answer(_ message: Message, all: Bool = false) {
        var left: [Waiter] = []
        for waiter in waiters {
            if all || waiter.start.map({ $0 <= service.starts }) ?? (aim == .run) {
                waiter.peer.send(message, on: waiter.stream)
            } else {
                left.append(waiter)
            }
        }
        waiters = left
    }

    private mutating func become(_ next: ServiceState) {
        guard next != state else { return }
        state = next
        for peer in peers {
            for stream in peer.followers { peer.socket.send(.serviceState(next), on: stream) }
        }
    }

    /// Ends the container as the service has ended, or as a shell says it of a signal.
    private mutating func end() {
        switch lastExit {
        case .code(let code): exitCode = code
        case .signal(let number): exitCode = 128 + number
        }
    }
}
