internal import Glibc
internal import Reactor
internal import Synchronization

/// A port on this machine's loopback that only this user's programs, and root's, may use.
final class LoopbackListener: Sendable {
    /// How many connections of one port are served at once.
    ///
    /// Further ones wait in the kernel's queue. The helper has room for 512 in all.
    static let most = 400

    let host: String
    let port: UInt16
    private let listener: Listener
    private let slots: Slots
    private let most: Int

    /// Listens at an address of loopback; port 0 lets the kernel choose.
    ///
    /// Throws `SystemError`.
    init(host: String = "127.0.0.1", port: UInt16, most: Int = LoopbackListener.most) throws {
        listener = try Listener(.tcp(host: host, port: port))
        self.host = host
        guard case .tcp(_, let bound) = listener.endpoint else { throw SystemError(code: EINVAL, attempt: "listen") }
        self.port = bound
        slots = Slots(most)
        self.most = most
    }

    /// The address with the port, as people write it.
    var address: String { "\(listener.endpoint)" }

    /// Serves each connection in a task of its own until the task is cancelled; then all have ended.
    func run(
        notices: Notices, _ serve: @escaping @Sendable (Stream) async -> Void
    ) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                if slots.isFull {
                    notices.tell("\(address): \(most) connections are open: the next ones wait")
                }
                await slots.take()
                guard !Task.isCancelled else { break }
                do {
                    let stream = try await listener.accept()
                    group.addTask {
                        await self.admit(stream, notices, serve)
                        self.slots.give()
                    }
                } catch let error as SystemError where error.code == EMFILE || error.code == ENFILE {
                    slots.give()
                    notices.tell("\(address): this process has too many files open: connections wait (\(error))")
                    // The kernel tells of the waiting connection only once, and nothing tells of a free descriptor.
                    try? await Task.sleep(for: .milliseconds(200))
                } catch {
                    break
                }
            }
            listener.close()
            group.cancelAll()
        }
    }

    func close() { listener.close() }

    private func admit(
        _ stream: Stream, _ notices: Notices, _ serve: @escaping @Sendable (Stream) async -> Void
    ) async {
        // It has gone already, or nobody can say whose it is.
        guard let uid = stream.localPeerOwner else { return stream.reset() }
        if uid == getuid() || uid == 0 { return await serve(stream) }
        notices.tell("\(address): a connection of another user (uid \(uid)) was refused")
        stream.reset()
    }
}

/// So many may go on at once.
private final class Slots: Sendable {
    private let free: Mutex<Int>
    private let gate = Gate()

    init(_ count: Int) { free = Mutex(count) }

    var isFull: Bool { free.withLock { $0 == 0 } }

    /// Waits for a slot, one task at a time; returns without one when the task is cancelled.
    func take() async {
        while !Task.isCancelled {
            let isTaken = free.withLock { free in
                guard free > 0 else { return false }
                free -= 1
                return true
            }
            if isTaken { return }
            await gate.pass()
        }
    }

    func give() {
        free.withLock { $0 += 1 }
        gate.signal()
    }
}

/// Says each line once, and again only after a minute: a program that tries again and again would fill the terminal.
final class Notices: Sendable {
    private static let pause = Duration.seconds(60)
    private let told = Mutex<[String: ContinuousClock.Instant]>([:])
    private let emit: @Sendable (LoopEvent.Kind) -> Void

    init(_ emit: @escaping @Sendable (LoopEvent.Kind) -> Void) { self.emit = emit }

    func tell(_ line: String) {
        let now = ContinuousClock.now
        let isNew = told.withLock { told in
            if let last = told[line], now - last < Notices.pause { return false }
            if told.count >= 256 { told = told.filter { now - $0.value < Notices.pause } }
            // Whoever makes up names could fill the memory.
            guard told.count < 256 else { return false }
            told[line] = now
            return true
        }
        if isNew { emit(.notice(line)) }
    }
}
