internal import CLinux
internal import Glibc
internal import Reactor
internal import Synchronization

/// How a container's first process ended.
enum ContainerExit: Equatable, Sendable {
    case exited(Int32)
    case signalled(Int32)
    /// It ended while it was nobody's child of ours (the playground was restarted meanwhile): its code is unknown.
    case lost

    /// The exit code as the kubelet reports it.
    var code: Int32 {
        switch self {
        case .exited(let code): code
        case .signalled(let signal): 128 + signal
        case .lost: 137
        }
    }
}

/// A process in a container, known by its id and start time, so that a reused id is never taken for it.
///
/// `runc --detach` leaves it an orphan; the node is a subreaper, so it becomes the node's child and its exit code can be
/// read. A process that was adopted after a restart is watched by the same pidfd, but its code is lost.
final class ContainerProcess: Sendable {
    let pid: Int32
    /// Field 22 of `/proc/<pid>/stat`: clock ticks after boot.
    let startTime: UInt64
    private enum State {
        case running([UInt64: CheckedContinuation<ContainerExit?, Never>], next: UInt64)
        case ended(ContainerExit)
    }
    private let state = Mutex(State.running([:], next: 0))

    /// A process that was just started, or an adopted one whose `startTime` must match; `nil` when it is not there.
    init?(pid: Int32, startTime: UInt64? = nil) {
        let raw = clinux_pidfd_open(pid)
        guard raw >= 0 else { return nil }
        let owned = OwnedDescriptor(raw)
        // Read after the pidfd was opened: from here on the pidfd names the process that has this start time.
        guard let started = ContainerProcess.startTime(of: pid), startTime == nil || startTime == started,
            let stream = try? Stream(owned)
        else { return nil }
        self.pid = pid
        self.startTime = started
        Task.detached {
            try? await stream.untilReadable()
            self.finish(stream)
        }
    }

    /// How it ended; `nil` when the task is cancelled first.
    func exit() async -> ContainerExit? {
        let id = state.withLock { state -> UInt64 in
            guard case .running(let waiters, let next) = state else { return 0 }
            state = .running(waiters, next: next + 1)
            return next
        }
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let answer: ContainerExit?? = state.withLock { state in
                    switch state {
                    case .ended(let exit): return .some(exit)
                    case .running(var waiters, let next):
                        if Task.isCancelled { return .some(nil) }
                        waiters[id] = continuation
                        state = .running(waiters, next: next)
                        return .none
                    }
                }
                if let answer { continuation.resume(returning: answer) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<ContainerExit?, Never>? in
                guard case .running(var waiters, let next) = state else { return nil }
                let waiter = waiters.removeValue(forKey: id)
                state = .running(waiters, next: next)
                return waiter
            }
            waiter?.resume(returning: nil)
        }
    }

    var hasEnded: Bool {
        state.withLock { if case .ended = $0 { true } else { false } }
    }

    func signal(_ signal: Int32) {
        state.withLock { state in
            // An adopted process may have been reaped by another parent: the start time guards against a reused id.
            guard case .running = state, ContainerProcess.startTime(of: pid) == startTime else { return }
            _ = kill(pid, signal)
        }
    }

    /// Ends it: `signal`, then SIGKILL after `grace`; returns before its end when the task is cancelled.
    func terminate(signal first: Int32 = SIGTERM, grace: Duration) async {
        signal(first)
        let deadline = Task {
            // The pod's own grace period.
            try await Task.sleep(for: grace)
            signal(SIGKILL)
        }
        _ = await exit()
        deadline.cancel()
    }

    private func finish(_ stream: Stream) {
        var code: Int32 = 0
        let reaped = try? stream.withDescriptor { clinux_pidfd_wait($0, &code) }
        let exit: ContainerExit = reaped == 0 ? (code < 0 ? .signalled(-code) : .exited(code)) : .lost
        let waiters = state.withLock { state -> [CheckedContinuation<ContainerExit?, Never>] in
            guard case .running(let waiters, _) = state else { return [] }
            state = .ended(exit)
            return Array(waiters.values)
        }
        for waiter in waiters { waiter.resume(returning: exit) }
        stream.close()
    }

    static func startTime(of pid: Int32) -> UInt64? {
        // The command name in parentheses may itself hold spaces and parentheses: count from the last one.
        guard let line = Disk.text("/proc/\(pid)/stat"), let end = line.lastIndex(of: ")") else { return nil }
        let fields = line[line.index(after: end)...].split(separator: " ")
        return fields.count > 19 ? UInt64(fields[19]) : nil
    }
}
