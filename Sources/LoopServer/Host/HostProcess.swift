internal import Glibc
internal import Reactor
internal import Synchronization

/// Keeps the program of a service running on this machine: starts it, starts it anew when its files have changed, and
/// tells what becomes of it.
///
/// A program that ends by itself stays down until the next start is asked for. It runs on a leash: whatever loopd dies
/// of, the program and all that it has started end with it, and its ports are free.
final class HostProcess: LocalProgram {
    /// What there is of the program.
    enum State: Equatable, Sendable {
        /// Nothing runs, and nothing is about to.
        case down
        /// It is asked for, and does not listen yet; one before it may still be ending.
        case starting
        /// It listens at these ports; a program without ports is up when it runs.
        case up([UInt16])
        /// It has ended by itself.
        case ended(ExitStatus)
        /// It could not be started.
        case failed
    }

    private enum Order {
        /// The change that it is about began at `firstEvent`, in nanoseconds of `CLOCK_MONOTONIC`.
        case start(firstEvent: UInt64?)
        case stop
    }

    private struct Room {
        var state = State.down
        var next: Order?
        /// What runs or is being started, until all of it is gone.
        var life: Task<Void, Never>?
        /// When the change began that nobody has seen the effect of yet.
        var unseen: UInt64?
        var hasStarted = false
        /// Where the next program is to listen.
        var ports: [UInt16]
        /// Whether nobody knows where that would be.
        var areUndeclared = false
        var hasToldUndeclared = false
        var followers: [Int: AsyncStream<State>.Continuation] = [:]
        var followerCount = 0

        mutating func change(to new: State) {
            guard new != state else { return }
            state = new
            for follower in followers.values { follower.yield(new) }
        }
    }

    private let host: Host
    private let leash: String
    private let isDebugged: Bool
    private let isStartedByChanges: Bool
    private let patience: HostReadiness.Patience
    private let terminal: TerminalInput?
    private let environment: @Sendable () async throws -> [String: String]
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let room: Mutex<Room>
    private let gate = Gate()

    /// A program that waits for its first `start`.
    ///
    /// - Parameters:
    ///   - ports: where it is to listen on this machine, as far as that is known by now.
    ///   - input: whether it gets what is typed on loopd's terminal, which nobody else reads.
    ///   - isStartedByChanges: whether a change on disk may start it again.
    ///   - environment: its whole environment, asked for before each start.
    init(
        _ host: Host, leash: String, ports: [UInt16], input: Bool, debug: Bool, isStartedByChanges: Bool = true,
        patience: HostReadiness.Patience = HostReadiness.Patience(), terminal: Int32 = STDIN_FILENO,
        environment: @escaping @Sendable () async throws -> [String: String],
        emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.host = host
        self.leash = leash
        room = Mutex(Room(ports: ports))
        isDebugged = debug
        self.isStartedByChanges = isStartedByChanges
        self.patience = patience
        self.terminal = input ? TerminalInput(terminal) : nil
        self.environment = environment
        self.emit = emit
    }

    // MARK: What is asked of it

    /// Says where the program is to listen; the next start looks for it there.
    ///
    /// With `areUndeclared`, its pods have ports that nobody has named: where it listens is told then.
    func setPorts(_ ports: [UInt16], areUndeclared: Bool = false) {
        room.withLock { ($0.ports, $0.areUndeclared) = (ports, areUndeclared) }
    }

    /// Does what is asked for until the task is cancelled; returns once nothing of the program is left.
    @concurrent
    func run() async {
        while !Task.isCancelled {
            await gate.pass()
            while !Task.isCancelled, let life = begin() {
                await withTaskCancellationHandler {
                    await life.value
                } onCancel: {
                    life.cancel()
                }
            }
        }
        room.withLock { $0.change(to: .down) }
    }

    /// Starts the program unless it runs or is about to.
    func start(firstEvent: UInt64? = nil) {
        let isDue = room.withLock { room in
            switch room.state {
            case .starting, .up: false
            case .down, .ended, .failed: true
            }
        }
        if isDue { restart(firstEvent: firstEvent) }
    }

    /// Starts the program anew: what runs, or is being started, is ended before.
    func restart(firstEvent: UInt64? = nil) {
        room.withLock { room in
            var first = [firstEvent, room.unseen].compactMap { $0 }
            if case .start(let earlier?) = room.next { first.append(earlier) }
            room.next = .start(firstEvent: first.min())
            room.change(to: .starting)
            room.life?.cancel()
        }
        gate.signal()
    }

    /// Ends the program; returns once nothing of it is left.
    func stop() async {
        let life = room.withLock { room -> Task<Void, Never>? in
            room.next = .stop
            room.change(to: .down)
            room.life?.cancel()
            return room.life
        }
        gate.signal()
        await life?.value
    }

    // MARK: What can be asked about it

    /// What there is of the program now.
    var state: State { room.withLock { $0.state } }

    /// Whether connections find the program.
    var isUp: Bool { if case .up = state { true } else { false } }

    /// The present state, and each later one; to who is slower only the newest.
    var states: AsyncStream<State> {
        AsyncStream(bufferingPolicy: .bufferingNewest(1)) { follower in
            let number = room.withLock { room in
                room.followerCount += 1
                room.followers[room.followerCount] = follower
                follower.yield(room.state)
                return room.followerCount
            }
            follower.onTermination = { _ in self.room.withLock { _ = $0.followers.removeValue(forKey: number) } }
        }
    }

    /// Waits for the program to be up; false when it is not after `limit`, or the task is cancelled.
    func untilUp(limit: Duration) async -> Bool {
        if isUp { return true }
        return await atMost(limit) {
            for await state in self.states {
                if case .up = state { return true }
            }
            return false
        } ?? false
    }

    // MARK: One life

    private func begin() -> Task<Void, Never>? {
        room.withLock { room in
            defer { room.next = nil }
            (room.life, room.unseen) = (nil, nil)
            guard case .start(let firstEvent) = room.next else { return nil }
            room.unseen = firstEvent
            let task = Task { await self.live(firstEvent: firstEvent) }
            room.life = task
            return task
        }
    }

    /// Changes the state for what runs, unless that is obsolete.
    private func change(to new: State) -> Bool {
        room.withLock { room in
            guard room.next == nil, !Task.isCancelled else { return false }
            room.unseen = nil
            room.change(to: new)
            return true
        }
    }

    @concurrent
    private func live(firstEvent: UInt64?) async {
        let asked = monotonicNow()
        do {
            let debug = try await prepare()
            // Which they are may be known only with the environment.
            let ports = room.withLock { $0.ports }
            let before = try free(ports + (debug.port.map { [$0] } ?? []))
            try Task.checkCancellation()
            let started = monotonicNow()
            let program = try await HostProgram.start(
                debug.command, in: host.directory, environment: debug.environment, leash: leash, grace: host.grace)
            tellStart(program, debug)
            let status = await follow(program, debug, ports, before: before, since: firstEvent ?? asked)
            guard change(to: .ended(status)) else { return }
            let ran = Double(monotonicNow() - started) / 1e6
            emit(.hostEnded(status: status.description, isSuccess: status.isSuccess, milliseconds: ran))
            if isStartedByChanges { emit(.notice("the next change starts the program again")) }
        } catch {
            guard change(to: .failed) else { return }
            var failure =
                (error as? LoopFailure)?.failure ?? LoopEvent.Failure("the program cannot be started: \(error)")
            if isStartedByChanges {
                failure.nextStep = [failure.nextStep, "the next change tries again"].compactMap(\.self).joined(
                    separator: "; ")
            }
            emit(.failed(failure))
        }
    }

    private func prepare() async throws -> HostDebug {
        let variables = try await environment()
        guard isDebugged else { return HostDebug(command: host.command, environment: variables) }
        let debug = await HostDebug.apply(host.command, variables, override: host.debugCommand) { python in
            let test = [python, "-c", "import debugpy"]
            let output = try? await Leashed.run(test, in: host.directory, environment: variables, leash: leash)
            return output?.status.isSuccess ?? false
        }
        for line in debug.lines { emit(.notice(line)) }
        return debug
    }

    /// The sockets that listen now; throws when one of them has a port that the program needs.
    private func free(_ wanted: [UInt16]) throws -> Set<ListeningSocket> {
        // Where the kernel does not tell, the program says it itself.
        guard !wanted.isEmpty, let listening = try? ListeningPorts.now() else { return [] }
        for port in wanted {
            guard let holder = listening.holder(of: port) else { continue }
            let end = holder.pid.map { "end it (kill \($0))" } ?? "end it"
            throw LoopFailure(
                failure: LoopEvent.Failure(
                    "port \(port) is taken by \(holder)",
                    nextStep:
                        "\(end), or let the program listen elsewhere and say so in \"ports\" in the \"host\" section "
                        + "of loop.json"))
        }
        return Set(listening.sockets)
    }

    private func tellStart(_ program: HostProgram, _ debug: HostDebug) {
        let again = room.withLock { room in
            defer { room.hasStarted = true }
            return room.hasStarted
        }
        emit(.hostStarted(pid: program.pid, command: debug.command, again: again))
        if debug.isAttached {
            emit(.notice(HostDebug.attachment(to: program.pid, path: debug.environment["PATH"] ?? "/usr/bin:/bin")))
        }
    }

    /// Follows a program to its end, and ends it when the task is cancelled.
    private func follow(
        _ program: HostProgram, _ debug: HostDebug, _ ports: [UInt16], before: Set<ListeningSocket>, since: UInt64
    ) async -> ExitStatus {
        let emit = self.emit
        // A task of its own: what is said after the program is asked to end counts, too.
        let output = Task { await HostOutput.follow(program.leash) { emit(.hostOutput(line: $0)) } }
        let readiness = Task { await self.watch(program, debug, ports, before: before, since: since) }
        let input = Task {
            if let terminal = self.terminal, let stream = program.leash.standardInput { await terminal.feed(stream) }
        }
        let status = await withTaskCancellationHandler {
            await program.leash.wait()
        } onCancel: {
            program.end()
        }
        readiness.cancel()
        input.cancel()
        // All that has the outputs from the program is gone. Who has them from elsewhere may keep them open for ever.
        let limit = Task {
            try await Task.sleep(for: .milliseconds(200))
            output.cancel()
        }
        await output.value
        limit.cancel()
        await readiness.value
        await input.value
        program.close()
        return status
    }

    private func watch(
        _ program: HostProgram, _ debug: HostDebug, _ ports: [UInt16], before: Set<ListeningSocket>, since: UInt64
    ) async {
        guard !ports.isEmpty else {
            if change(to: .up([])), room.withLock({ $0.areUndeclared }) { await tellUndeclared(program) }
            return
        }
        let readiness = HostReadiness(
            ports: ports, named: host.ports ?? [], debugPort: debug.port, root: program.leash.pid, patience: patience)
        do {
            guard let found = try await readiness.untilListening(before: before, emit), change(to: .up(found)) else {
                return
            }
            emit(.hostReady(ports: found, milliseconds: Double(monotonicNow() - since) / 1e6))
        } catch {
            // Whether it listens cannot be known: who connects will see.
            if change(to: .up(ports)) { emit(.detail("the program counts as up: \(error)")) }
        }
    }

    /// Says where a program listens of whose ports nobody knows which ones they are.
    private func tellUndeclared(_ program: HostProgram) async {
        // Once, and late enough for most programs: the kernel tells nobody when one begins to listen.
        guard !room.withLock({ $0.hasToldUndeclared }), (try? await Task.sleep(for: patience.elsewhere)) != nil,
            let found = try? ListeningPorts.now().ports(ofTree: program.leash.pid).sorted(), !found.isEmpty
        else { return }
        room.withLock { $0.hasToldUndeclared = true }
        let list = found.map { "\($0)" }.joined(separator: ", ")
        emit(
            .notice(
                "the program listens at \(list): \"ports\": [\(list)] in the \"host\" section of loop.json brings the pods'"
                    + " connections here"))
    }
}
