internal import Reactor

/// The images of one service while a session runs: the newest of each goes into the workload as soon as that may be changed.
actor ServiceImages {
    /// How each image comes into the workload, by the image's name.
    private let rollouts: [String: ImageRollout]
    /// Whether only the first of each that runs goes into the workload: the service runs on this machine.
    private let isResting: Bool
    /// Those that are being built for the first time.
    private var expected: Set<String> = []
    /// What is not in the workload yet.
    private var wanted: [String: String] = [:]
    private var mayWrite = false
    /// What was taken last of each image, and whether that has failed.
    private var newest: [String: String] = [:]
    private var failed: [String: Bool] = [:]
    /// The next one of an image that rests, for when the one before does not run.
    private var spare: [String: String] = [:]
    /// How many are on their way into the workload.
    private var rolling = 0
    private let gate = Gate()
    private var waiters: [CheckedContinuation<Void, Never>] = []

    /// Nothing happens before there is something to take.
    init(_ rollouts: [String: ImageRollout], isResting: Bool = false) {
        self.rollouts = rollouts
        self.isResting = isResting
    }

    /// Whether the service runs none.
    nonisolated var isEmpty: Bool { rollouts.isEmpty }

    /// Notes that an image of a name will be there soon.
    func expect(_ image: String) { if rollouts[image] != nil { expected.insert(image) } }

    /// Whether an image will be there soon.
    var isExpecting: Bool { !expected.isEmpty }

    /// Notes that no image is being built any more.
    func expectNoMore() {
        expected = []
        wake()
    }

    /// Takes the newest image of a name; a name that the service does not run is not its business.
    func take(_ image: String, _ reference: String) async {
        guard let rollout = rollouts[image] else { return }
        // One that cannot be pulled, for one, would stay until the service runs in the cluster again.
        if isResting, newest[image] != nil {
            guard await rollout.hasFailed else { return spare[image] = reference }
        }
        expected.remove(image)
        set(image, to: reference)
    }

    private func set(_ image: String, to reference: String) {
        wanted[image] = reference
        newest[image] = reference
        gate.signal()
    }

    /// Takes again what found no workload: it is there now.
    func retry() async {
        for (image, rollout) in rollouts {
            guard let reference = await rollout.absent, reference == newest[image] else { continue }
            set(image, to: reference)
        }
    }

    /// Lets images into the workload from now on: its lease is held.
    func allow() {
        guard !mayWrite else { return }
        mayWrite = true
        gate.signal()
    }

    /// Brings images into the workload until the task is cancelled; then nothing is followed any more.
    func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                await gate.pass()
                guard mayWrite, !wanted.isEmpty, !Task.isCancelled else { continue }
                let due = wanted
                wanted = [:]
                // A newer one of an image need not wait for the one before: it supersedes that.
                for (image, reference) in due {
                    rolling += 1
                    group.addTask { await self.roll(image, reference) }
                }
            }
            group.cancelAll()
        }
        await withDiscardingTaskGroup { group in
            for rollout in rollouts.values { group.addTask { await rollout.end() } }
        }
        // Nothing gets there any more.
        for image in wanted.keys { failed[image] = true }
        wanted = [:]
        expectNoMore()
    }

    private func roll(_ image: String, _ reference: String) async {
        let isSet = await rollouts[image]?.roll(to: reference) ?? true
        if newest[image] == reference { failed[image] = !isSet }
        rolling -= 1
        wake()
        guard isResting, let rollout = rollouts[image], await !rollout.untilRolledOut(), !Task.isCancelled else {
            return
        }
        // What came meanwhile was not needed then.
        if newest[image] == reference, let next = spare.removeValue(forKey: image) { set(image, to: next) }
    }

    /// Whether the newest one of an image could not be set, or does not run.
    func hasFailed(_ image: String) async -> Bool { await rollouts[image]?.hasFailed ?? false }

    /// Returns once everything that was taken is in the workload, or could not be put there; or when the task is cancelled.
    ///
    /// - Parameter isWaiting: whether to wait for what will be there soon, too.
    func untilEntered(andExpected isWaiting: Bool = false) async {
        while rolling > 0 || !wanted.isEmpty || isWaiting && isExpecting, !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { waiters.append($0) }
            } onCancel: {
                Task { await self.wake() }
            }
        }
    }

    /// Returns once everything that is in the workload runs, or has been reported not to; or when the task is cancelled.
    ///
    /// False where something does not run.
    func untilRolledOut() async -> Bool {
        await untilEntered()
        var isWhole = !failed.values.contains(true)
        for rollout in rollouts.values {
            let isRolledOut = await rollout.untilRolledOut()
            isWhole = isWhole && isRolledOut
        }
        return isWhole
    }

    private func wake() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }
}
