internal import Reactor
internal import Synchronization

/// A wish that may change at any time, and that several tasks follow.
final class Wish<Value: Sendable & Equatable>: Sendable {
    private struct State {
        var value: Value
        var followers: [ObjectIdentifier: Gate] = [:]
    }
    private let state: Mutex<State>

    init(_ value: Value) { state = Mutex(State(value: value)) }

    var value: Value {
        get { state.withLock { $0.value } }
        set {
            let followers = state.withLock { state in
                guard state.value != newValue else { return [Gate]() }
                state.value = newValue
                return Array(state.followers.values)
            }
            for gate in followers { gate.signal() }
        }
    }

    /// Returns once the value is another one than `old`, or when the task is cancelled.
    func untilChanged(from old: Value) async {
        let gate = Gate()
        state.withLock { $0.followers[ObjectIdentifier(gate)] = gate }
        defer { state.withLock { _ = $0.followers.removeValue(forKey: ObjectIdentifier(gate)) } }
        while value == old, !Task.isCancelled { await gate.pass() }
    }
}
