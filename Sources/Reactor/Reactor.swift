internal import CLinux
internal import Glibc
internal import Synchronization

/// The one thread that waits for descriptors: an edge-triggered epoll that sleeps until the kernel has news.
///
/// It never runs callers' code: it only marks a descriptor ready and resumes who waits for it. The thread starts with the
/// first registration and lives as long as the process.
final class Reactor: Sendable {
    static let shared = Reactor()

    private let epoll: Int32
    private let sources = Mutex<(next: UInt64, live: [UInt64: Readiness])>((1, [:]))

    private init() {
        epoll = clinux_epoll_create()
        precondition(epoll >= 0, "epoll_create1: \(String(cString: strerror(errno)))")
        // A peer that closes its end must show as EPIPE at the write, not end the process.
        _ = clinux_ignore_signal(SIGPIPE)
        var thread = pthread_t()
        let error = pthread_create(&thread, nil, { _ in Reactor.shared.run() }, nil)
        precondition(error == 0, "pthread_create: \(String(cString: strerror(error)))")
        pthread_detach(thread)
    }

    /// Starts to watch `descriptor`; the registration ends when the descriptor is closed and `forget` was called.
    func register(_ descriptor: Int32, _ readiness: Readiness) throws(SystemError) -> UInt64 {
        let token = sources.withLock { sources in
            let token = sources.next
            sources.next += 1
            sources.live[token] = readiness
            return token
        }
        guard clinux_epoll_add(epoll, descriptor, token) == 0 else {
            let error = SystemError.last("epoll_ctl descriptor \(descriptor)")
            forget(token)
            throw error
        }
        return token
    }

    func forget(_ token: UInt64) {
        sources.withLock { _ = $0.live.removeValue(forKey: token) }
    }

    /// Takes the descriptor out of the epoll set; needed where a duplicate of it stays open in another process.
    func remove(_ descriptor: Int32, _ token: UInt64) {
        _ = clinux_epoll_remove(epoll, descriptor)
        forget(token)
    }

    private func run() -> Never {
        var events = [clinux_event](repeating: clinux_event(), count: 64)
        while true {
            let count = clinux_epoll_wait(epoll, &events, Int32(events.count))
            precondition(count >= 0, "epoll_wait: \(String(cString: strerror(errno)))")
            for event in events.prefix(Int(count)) {
                let readiness = sources.withLock { $0.live[event.token] }
                // Before the gate, so that whoever passes it sees the mark.
                if event.events & CLINUX_HANGUP != 0 { readiness?.markHungUp() }
                if event.events & CLINUX_READABLE != 0 { readiness?.readable.signal() }
                if event.events & CLINUX_WRITABLE != 0 { readiness?.writable.signal() }
            }
        }
    }
}

/// What the epoll thread knows about one descriptor.
final class Readiness: Sendable {
    let readable = Gate()
    let writable = Gate()
    let hangup = Gate()
    private let hungUp = Atomic(false)

    /// Whether the peer has ended its sending direction, or the whole connection: this never turns back.
    var isHungUp: Bool { hungUp.load(ordering: .acquiring) }

    func markHungUp() {
        hungUp.store(true, ordering: .releasing)
        hangup.close()
    }

    /// Lets every waiter pass, now and later.
    func close() {
        readable.close()
        writable.close()
        hangup.close()
    }
}
