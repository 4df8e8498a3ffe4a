internal import Reactor

/// Something that is deployed over and over.
protocol Deploying: Sendable {
    /// Renders what is on disk now, and shows what would change; true where there is something to carry out.
    ///
    /// May be cancelled at any time. Throws `LoopFailure`.
    func plan(isNewNamespace: Bool) async throws -> Bool
    /// Does what was planned last; throws `LoopFailure`.
    func carryOut() async throws
    /// Returns when what was applied runs, or has been reported not to; then it is false.
    func untilRolledOut() async -> Bool
    /// The images in what was rendered last.
    var images: Set<String> { get async }
    /// Follows nothing any more.
    func end() async
}

/// Deploys one thing whenever it is asked to: changes that come meanwhile count together, and end a rendering that they
/// make obsolete, but never an apply in the middle.
actor DeployLane {
    private let work: any Deploying
    /// What has to be deployed first.
    private let dependencies: [DeployLane]
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let gate = Gate()
    private var isAsked = false
    private var isBusy = false
    private var planning: Task<Bool, any Error>?
    private var waiters: [CheckedContinuation<Void, Never>] = []
    private var hasSucceeded = true

    /// A lane that waits for its first `trigger`.
    init(
        _ work: any Deploying, after dependencies: [DeployLane], emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) {
        self.work = work
        self.dependencies = dependencies
        self.emit = emit
    }

    /// The images in what was deployed last.
    var images: Set<String> { get async { await work.images } }

    /// Asks for a deployment of what is on disk now.
    func trigger() {
        isAsked = true
        isBusy = true
        planning?.cancel()
        gate.signal()
    }

    /// Deploys whatever is asked for until the task is cancelled.
    func run() async {
        while !Task.isCancelled {
            await gate.pass()
            while isAsked, !Task.isCancelled {
                for lane in dependencies { await lane.untilApplied() }
                isAsked = false
                await deploy()
            }
            isBusy = false
            wake()
        }
        await work.end()
    }

    private func deploy() async {
        let work = work
        let task = Task { try await work.plan(isNewNamespace: false) }
        planning = task
        let isChange: Bool? = await DeployAttempt.run(emit) {
            try await withTaskCancellationHandler {
                try await task.value
            } onCancel: {
                task.cancel()
            }
        }
        planning = nil
        // Something newer has ended it, or is going to.
        if isAsked || Task.isCancelled { return }
        guard let isChange else {
            hasSucceeded = false
            return
        }
        let isDone: Void? = isChange ? await DeployAttempt.run(emit) { try await work.carryOut() } : ()
        if !isChange { emit(.deployed(objects: [], milliseconds: 0)) }
        hasSucceeded = isDone != nil
    }

    /// Returns once everything that was asked for is applied, or when the task is cancelled.
    func untilApplied() async {
        while isBusy, !Task.isCancelled {
            await withTaskCancellationHandler {
                await withCheckedContinuation { waiters.append($0) }
            } onCancel: {
                Task { await self.wake() }
            }
        }
    }

    /// Returns once nothing is to be deployed and what was applied runs; false where something has failed.
    func untilIdle() async -> Bool {
        await untilApplied()
        return await work.untilRolledOut() && hasSucceeded
    }

    private func wake() {
        let waiting = waiters
        waiters = []
        for waiter in waiting { waiter.resume() }
    }
}
