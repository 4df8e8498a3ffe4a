internal import Wire

/// Decides which ends of a supervised service are worth a line: those that it came to by itself, each once.
///
/// States and the answers to restarts come on streams of their own, so that either can be heard first.
struct ServiceEnds {
    /// How a program ended by itself.
    struct End: Equatable, Sendable {
        let exit: ProgramExit
        /// How long it had run, where its start was heard, too.
        let milliseconds: Double?
        fileprivate let number: UInt32
    }

    /// Whether the next state is how the service has been for a while, not what becomes of it.
    private var isFirst = true
    /// The number of the present program, and when it began, where that was heard; nanoseconds of `CLOCK_MONOTONIC`.
    private var present: (number: UInt32, began: UInt64?)?
    /// The number of the last program whose end was heard.
    private var heard: UInt32?
    private var isRestarting = false
    /// An end that a restart under way may explain.
    private var pending: End?
    /// Whether the next end is that of a program which could not be started, as the answer has told already.
    private var isToldBefore = false

    /// Notes that another connection begins, whose first state is no change.
    mutating func beginFollowing() { isFirst = true }

    /// Takes a state; returns an end to tell now.
    mutating func hear(_ state: ServiceState, at now: UInt64) -> End? {
        let isChange = !isFirst
        isFirst = false
        switch state {
        case .running(_, let number):
            if present?.number != number { present = (number, isChange ? now : nil) }
            isToldBefore = false
        case .starting, .stopping, .held: break
        case .ended(let exit, let number):
            guard number != heard else { return nil }
            heard = number
            let began = isChange && present?.number == number ? present?.began : nil
            let end = End(exit: exit, milliseconds: began.map { Double(now - $0) / 1e6 }, number: number)
            if isRestarting {
                pending = end
            } else if isToldBefore, exit == .code(126) || exit == .code(127) {
                isToldBefore = false
            } else {
                return end
            }
        }
        return nil
    }

    /// Whether a later program than the one that ended runs by now.
    func isMadeUp(for end: End) -> Bool { present.map { $0.number > end.number } ?? false }

    /// Notes that a restart is asked for.
    mutating func beginRestart() { isRestarting = true }

    /// Takes the answer to a restart; returns the end of the program that it started, if that was heard before.
    mutating func restarted(_ state: ServiceState) -> End? {
        defer { (isRestarting, pending) = (false, nil) }
        guard let pending, case .running(_, let number) = state, pending.number == number else { return nil }
        return pending
    }

    /// Notes that the new program could not be started, which the caller tells.
    mutating func restartWasRefused() {
        isToldBefore = pending == nil
        (isRestarting, pending) = (false, nil)
    }

    /// Notes that the answer to a restart did not come: what is heard next on another way is told.
    mutating func restartWasLost() {
        if pending != nil { heard = nil }
        (isRestarting, pending) = (false, nil)
    }
}
