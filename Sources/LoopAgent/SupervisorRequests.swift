import CAgent

extension Supervisor {
    /// Carries out a request, or notes who waits for it.
    mutating func handle(_ request: ServiceRequest, _ stream: UInt32, from index: Int) {
        let peer = peers[index].socket
        do throws(SystemFailure) {
            switch request {
            case .state: peer.send(.serviceState(state), on: stream)
            case .follow(_):
                peers[index].followers.append(stream)
                firstFollowing = nil
                peer.send(.serviceState(state), on: stream)
            case .unfollow:
                peers[index].followers.removeAll { $0 == stream }
                if peers[index].followers.isEmpty { peers[index].isHolding = false }
            case .signal(let number):
                try signal(number)
                peer.send(.serviceState(state), on: stream)
            case .restart(let milliseconds):
                try refuseWhenLeaving()
                grace = Int64(milliseconds)
                if aim == .hold { return wait(peer, stream, start: nil) }
                // Also when one is being started: it may have been executed before what this one is for was there.
                wanted = service.starts + 1
                wait(peer, stream, start: wanted)
            case .hold(let milliseconds):
                try refuseWhenLeaving()
                guard !peers[index].followers.isEmpty else {
                    throw SystemFailure(EPERM, "who holds the service has to follow it")
                }
                grace = Int64(milliseconds)
                aim = .hold
                peers[index].isHolding = true
                wait(peer, stream, start: nil)
            case .release:
                peers[index].isHolding = false
                guard aim == .hold, !isHeld else { return peer.send(.serviceState(state), on: stream) }
                runAgain()
                wait(peer, stream, start: wanted)
            }
        } catch {
            peer.send(.failure(Failure(.service, error, path: service.name)), on: stream)
        }
    }

    private mutating func wait(_ peer: FrameSocket, _ stream: UInt32, start: UInt32?) {
        if state == .held, aim == .hold { return peer.send(.serviceState(state), on: stream) }
        waiters.append(Waiter(peer: peer, stream: stream, start: start))
    }

    private func refuseWhenLeaving() throws(SystemFailure) {
        if aim == .leave { throw SystemFailure(ESHUTDOWN, "the container is being stopped") }
    }

    private func signal(_ number: Int32) throws(SystemFailure) {
        guard number > 0, number <= 64 else { throw SystemFailure(EINVAL, "no signal has this number") }
        guard service.signal(number) else { throw SystemFailure(ESRCH, "the service does not run") }
    }
}
