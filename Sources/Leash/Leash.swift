import CAgent

/// One program on a leash: its group, and every descendant that left the group.
///
/// It ends when the program does, or when the hold descriptor reads end of file; either way nothing of the program
/// stays behind: SIGTERM, once to each process, then SIGKILL after the grace.
struct Leash {
    private let options: Options
    private var program: pid_t = 0
    private var exitCode: Int32?
    /// When SIGKILL is due; `nil` while the program runs undisturbed.
    private var deadline: Int64?
    private var holdIsOpen = true
    /// Whether the program and its group have had SIGTERM.
    private var groupIsAsked = false
    /// What else has had it: to many programs a second one means "at once".
    private var asked: [pid_t] = []

    private init(_ options: Options) {
        self.options = options
    }

    /// Runs the program to its end, then ends as it did.
    static func run(_ options: Options) -> Never {
        var leash = Leash(options)
        leash.run()
    }

    private mutating func run() -> Never {
        // Orphaned descendants become ours, so that they can be found and reaped.
        if !options.isGroupOnly { _ = cagent_become_subreaper() }
        let caught: [Int32] = [SIGCHLD, SIGTERM, SIGINT, SIGHUP]
        let signals = cagent_catch_signals(caught, Int32(caught.count))
        guard signals >= 0 else {
            complain("leash: no pipe for signals")
            exit(126)
        }
        start()
        var descendantsLeft = true
        while descendantsLeft || exitCode == nil {
            var watched = [
                pollfd(fd: signals, events: Int16(POLLIN), revents: 0),
                pollfd(fd: holdIsOpen ? options.hold : -1, events: Int16(POLLIN), revents: 0),
            ]
            _ = poll(&watched, 2, timeout)
            if watched[0].revents != 0 { takeSignals(signals) }
            if watched[1].revents != 0 { readHold() }
            descendantsLeft = reap()
            if exitCode != nil, deadline == nil, !options.isGroupOnly { end() }
            guard let deadline else { continue }
            // Every turn again: what was a grandchild a moment ago is a child now.
            if cagent_now() >= deadline { killAll() } else if descendantsLeft { askChildren() }
        }
        finish()
    }

    private var timeout: Int32 {
        guard let deadline else { return -1 }
        let left = deadline - cagent_now()
        return left > 0 ? Int32(left) : 10
    }

    private mutating func start() {
        let null = cagent_open(-1, "/dev/null", CAGENT_READWRITE, 0)
        if options.hold > 2 { _ = cagent_close_on_exec(options.hold) }
        program = cagent_spawn(
            options.program, cagent_environment(), nil, [options.hold == 0 ? null : 0, 1, 2])
        guard program > 0 else {
            let failure = cagent_errno()
            if options.reports { report(-failure) } else { perror("leash: start") }
            exit(failure == ENOENT ? 127 : 126)
        }
        if options.reports { report(program) }
        close(null)
    }

    /// Tells the holder the program's pid, or the negated errno of why there is none.
    private func report(_ number: Int32) {
        // The holder may be gone already: that is seen by the next read, and must not end the leash before the program.
        cagent_ignore_signal(SIGPIPE)
        var number = number
        _ = write(options.hold, &number, 4)
    }

    private func takeSignals(_ pipe: Int32) {
        var number: UInt8 = 0
        while read(pipe, &number, 1) == 1 {
            if Int32(number) != SIGCHLD, exitCode == nil { cagent_ask(-program, Int32(number)) }
        }
    }

    /// Whatever is written by the holder has no meaning; only the end has.
    private mutating func readHold() {
        var buffer = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        let got = read(options.hold, &buffer, 32)
        if got > 0 || (got < 0 && (cagent_errno() == EINTR || cagent_errno() == EAGAIN)) { return }
        holdIsOpen = false
        end()
    }

    private mutating func end() {
        guard deadline == nil else { return }
        deadline = cagent_now() + options.grace
        // The group's number is the program's pid: once that is reaped and the group empty, it may be anyone's.
        guard exitCode == nil else { return }
        cagent_ask(-program, SIGTERM)
        groupIsAsked = true
    }

    /// Reaps what has ended; returns whether any child is left.
    private mutating func reap() -> Bool {
        if options.isGroupOnly { return reapProgram() }
        while true {
            var code: Int32 = 0
            let ended = cagent_reap(-1, &code)
            if ended == program { exitCode = code }
            if ended == 0 { return true }
            if ended < 0 { return false }
            asked.removeAll { $0 == ended }
        }
    }

    /// Reaps the program, after its group where that is to end with it; returns whether it still runs.
    private mutating func reapProgram() -> Bool {
        guard exitCode == nil, cagent_has_ended(program) != 0 else { return exitCode == nil }
        // The dead leader still holds the group's number.
        if deadline != nil { kill(-program, SIGKILL) }
        var code: Int32 = 0
        _ = cagent_reap(program, &code)
        exitCode = code
        return false
    }

    /// Sends SIGTERM to each child that has not had it: to those outside the group, or to all when the program has
    /// ended by itself.
    private mutating func askChildren() {
        if options.isGroupOnly { return }
        forEachChild { child in
            if asked.contains(child) || (groupIsAsked && getpgid(child) == program) { return }
            asked.append(child)
            cagent_ask(child, SIGTERM)
        }
    }

    private func killAll() {
        if exitCode == nil { kill(-program, SIGKILL) }
        if options.isGroupOnly { return }
        forEachChild { child in
            kill(child, SIGKILL)
        }
    }

    private func finish() -> Never {
        let code = exitCode ?? 0
        if code < 0 { cagent_die_by(-code) }
        exit(code)
    }
}
