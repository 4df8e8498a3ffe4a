internal import Glibc
internal import Reactor
internal import Synchronization

/// A port on this machine's loopback that only this user's programs, and root's, may use.
final class LoopbackListener: Sendable {
    let host: String
    let port: UInt16
    private let listener: Listener

    /// Listens at an address of loopback; port 0 lets the kernel choose.
    ///
    /// Throws `SystemError`.
    init(host: String = "127.0.0.1", port: UInt16) throws {
        listener = try Listener(.tcp(host: host, port: port))
        self.host = host
        guard case .tcp(_, let bound) = listener.endpoint else { throw SystemError(code: EINVAL, attempt: "listen") }
        self.port = bound
    }

    /// The address with the port, as people write it.
    var address: String { "\(listener.endpoint)" }

    /// Serves each connection in a task of its own until the task is cancelled; then all have ended.
    ///
    /// Without a free slot the next one waits, and those after it in the kernel's queue.
    func run(
        notices: Notices, slots: ConnectionSlots, _ serve: @escaping @Sendable (Stream) async -> Void
    ) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                do {
                    let stream = try await listener.accept()
                    if slots.isFull {
                        notices.tell("\(address): \(slots.most) connections are open: the next ones wait")
                    }
                    guard await slots.take() else {
                        stream.reset()
                        break
                    }
                    group.addTask {
                        await self.admit(stream, notices, serve)
                        slots.give()
                    }
                } catch is CancellationError {
                    break
                } catch let error as SystemError where error.code == EBADF {
                    break
                } catch {
                    let code = (error as? SystemError)?.code
                    notices.tell(
                        code == EMFILE || code == ENFILE
                            ? "\(address): this process has too many files open: connections wait (\(error))"
                            : "\(address): connections wait: \(error)")
                    // The kernel tells of the waiting connection only once, and nothing tells that it can be taken.
                    try? await Task.sleep(for: .milliseconds(200))
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
        guard let uid = stream.localPeerOwner else {
            notices.tell("\(address): a connection was refused: its program has closed it, or nobody knows whose it is")
            return stream.reset()
        }
        if uid == getuid() || uid == 0 { return await serve(stream) }
        notices.tell("\(address): a connection of another user (uid \(uid)) was refused")
        stream.reset()
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
