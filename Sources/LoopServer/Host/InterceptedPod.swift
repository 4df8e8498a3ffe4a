internal import Reactor
internal import Synchronization
internal import Wire

/// One pod in dev mode whose connections come to this machine, by one link.
struct InterceptedPod: Sendable {
    let link: HelperLink
    /// How many seconds are between two beats: after two that were missed the pod's own service is started.
    let heartbeat: UInt16
    let instance: ContainerInstance
    let ports: [HostPort]
    /// Whether the connections are wanted here now.
    let isWanted: Wish<Bool>
    /// The program's end of a connection to one of its ports.
    let local: @Sendable (UInt16) -> LocalPort
    /// Called when the pod's own service takes its time to end.
    let onWaiting: @Sendable () -> Void
    /// Called with whether the pod's connections come here, at each change.
    let onChange: @Sendable (Bool) async -> Void

    /// Takes the pod's connections over whenever they are wanted, until the task is cancelled or the link ends.
    ///
    /// The pod's own service runs at all other times, also after the end: the helper starts it when this link follows it no
    /// longer.
    func run() async throws {
        let failure = Mutex<(any Error)?>(nil)
        // One task at a time waits for it.
        let lost = Gate()
        link.whenEnded { lost.close() }
        let isFollowed = Gate()
        let following = Task {
            do {
                try await link.follow(heartbeat: heartbeat) { _ in isFollowed.signal() }
            } catch {
                // Without it the service could not be held.
                failure.withLock { $0 = error }
                if !Task.isCancelled { link.drop("\(error)") }
            }
            isFollowed.close()
        }
        let listening = Task { await link.endWhenSilent(heartbeat: heartbeat) }
        // Last, so that the ports are free when the service is started again.
        defer {
            following.cancel()
            listening.cancel()
        }
        await isFollowed.pass()
        while !Task.isCancelled {
            guard link.isOpen else {
                throw failure.withLock { $0 } ?? LinkError.disconnected("the pod or the way to it is gone")
            }
            if isWanted.value {
                try await hold()
                try await takeOver(lost)
                if link.isOpen, !Task.isCancelled { try await link.release() }
            } else {
                await until(isWanted: true, or: lost)
            }
        }
    }

    private func hold() async throws {
        let notice = Task {
            // Most services end at once; of one that does not, a person waits for the reason.
            guard (try? await Task.sleep(for: .seconds(2))) != nil else { return }
            onWaiting()
        }
        defer { notice.cancel() }
        try await link.hold(grace: instance.gracePeriod)
    }

    /// Returns once the wish has changed, or the link has ended.
    private func until(isWanted wanted: Bool, or lost: Gate) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await isWanted.untilChanged(from: !wanted) }
            group.addTask { while link.isOpen, !Task.isCancelled { await lost.pass() } }
            await group.next()
            group.cancelAll()
        }
    }

    /// Listens and carries connections for as long as that is wanted.
    private func takeOver(_ lost: Gate) async throws {
        var listeners: [(LinkListener, HostPort)] = []
        defer { for (listener, _) in listeners { listener.close() } }
        for port in ports { listeners.append((try await link.listen(port: port.container), port)) }
        await onChange(true)
        let accepting = listeners
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (listener, port) in accepting { group.addTask { try await accept(listener, port) } }
                group.addTask { await until(isWanted: false, or: lost) }
                try await group.next()
                for (listener, _) in accepting { listener.close() }
                group.cancelAll()
            }
        } catch {
            await onChange(false)
            throw error
        }
        await onChange(false)
    }

    private func accept(_ listener: LinkListener, _ port: HostPort) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            for try await socket in listener {
                group.addTask { await carry(socket, to: local(port.host)) }
            }
            // Nobody listens any more, but what is under way goes on until the connections are not wanted here.
        }
    }

    private func carry(_ remote: LinkSocket, to local: LocalPort) async {
        guard let stream = await local.connect() else { return remote.reset() }
        await Relay.join(remote, stream)
    }
}
