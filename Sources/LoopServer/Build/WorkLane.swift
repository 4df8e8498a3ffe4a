internal import Reactor

/// Work that is done when its inputs have changed, and starts over when they change while it is being done.
actor WorkLane {
    /// One run of the work.
    struct Turn: Sendable {
        /// When the change began that it is about; nanoseconds of `CLOCK_MONOTONIC`.
        let firstEvent: UInt64
        /// Whether a newer change has ended the run before.
        let isAgain: Bool
        fileprivate let lane: WorkLane

        /// Whether what was made may be used: false when it is of files that have changed since, or when the end has come.
        ///
        /// After true, newer changes do not cancel the turn any more: they wait for its end.
        func commit() async -> Bool { Task.isCancelled ? false : await lane.commit() }
    }

    private let gate = Gate()
    /// When the first change began that no finished run contains yet.
    private var pending: UInt64?
    private var running: Task<Void, Never>?
    private var isCommitted = false
    /// Whether something is to be done, or being done.
    private(set) var isBusy = false
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// Asks for a run with what is on disk now; one that goes on is obsolete, and its task is cancelled.
    func trigger(firstEvent: UInt64) {
        pending = min(pending ?? firstEvent, firstEvent)
        isBusy = true
        running?.cancel()
        gate.signal()
    }

    /// Does the work whenever it is asked for, one run after the other, until the task is cancelled.
    func run(_ work: @escaping @Sendable (Turn) async -> Void) async {
        while !Task.isCancelled {
            await gate.pass()
            var isAgain = false
            while let firstEvent = pending, !Task.isCancelled {
                (pending, isCommitted) = (nil, false)
                let turn = Turn(firstEvent: firstEvent, isAgain: isAgain, lane: self)
                let task = Task { await work(turn) }
                running = task
                await withTaskCancellationHandler {
                    await task.value
                } onCancel: {
                    task.cancel()
                }
                running = nil
                // Nobody has seen what an obsolete run made: its change is still to come.
                if let newer = pending, !isCommitted { pending = min(newer, firstEvent) }
                isAgain = true
            }
            isBusy = false
            wake()
        }
    }

    /// Returns once nothing is to be done, or when the task is cancelled.
    func untilIdle() async {
        while isBusy, !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { waiters.append($0) }
            } onCancel: {
                Task { await self.wake() }
            }
        }
    }

    private func commit() -> Bool {
        guard pending == nil else { return false }
        running = nil
        isCommitted = true
        return true
    }

    private func wake() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }
}
