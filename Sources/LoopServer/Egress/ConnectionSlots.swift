internal import Reactor
internal import Synchronization

/// So many connections may be open at once, at all ports that lead by one helper.
final class ConnectionSlots: Sendable {
    private struct State {
        var free: Int
        /// One for each port where a connection waits.
        var waiting: [ObjectIdentifier: Gate] = [:]
    }

    let most: Int
    private let state: Mutex<State>

    /// The helper has room for 512; the rest is for what comes the other way.
    init(_ most: Int = 448) {
        self.most = most
        state = Mutex(State(free: most))
    }

    var isFull: Bool { state.withLock { $0.free == 0 } }

    /// Waits for a slot; false when the task is cancelled first.
    func take() async -> Bool {
        let gate = Gate()
        let id = ObjectIdentifier(gate)
        defer { state.withLock { _ = $0.waiting.removeValue(forKey: id) } }
        while !Task.isCancelled {
            let isTaken = state.withLock { state in
                if state.free > 0 {
                    state.free -= 1
                    return true
                }
                state.waiting[id] = gate
                return false
            }
            if isTaken { return true }
            await gate.pass()
        }
        return false
    }

    func give() {
        let waiting = state.withLock { state in
            state.free += 1
            return Array(state.waiting.values)
        }
        for gate in waiting { gate.signal() }
    }
}
