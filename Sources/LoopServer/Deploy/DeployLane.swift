internal import Reactor
internal import Synchronization

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
final class DeployLane: Sendable {
    private let work: any Deploying
    /// What has to be deployed first.
    private let dependencies: [DeployLane]
    private let emit: @Sendable (LoopEvent.Kind) -> Void
    private let lane = WorkLane()
    private let hasSucceeded = Mutex(true)

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
    func trigger(firstEvent: UInt64) async { await lane.trigger(firstEvent: firstEvent) }

    /// Deploys whatever is asked for until the task is cancelled.
    func run() async {
        await lane.run { turn in
            for lane in self.dependencies { await lane.untilApplied() }
            await self.deploy(turn)
        }
        await work.end()
    }

    private func deploy(_ turn: WorkLane.Turn) async {
        let isChange = await DeployAttempt.run(emit) { try await work.plan(isNewNamespace: false) }
        guard await turn.commit() else { return }
        var isDone = false
        if isChange == true {
            isDone = await DeployAttempt.run(emit) { try await work.carryOut() } != nil
        } else if isChange == false {
            isDone = true
            emit(.deployed(objects: [], milliseconds: 0))
        }
        hasSucceeded.withLock { $0 = isDone }
    }

    /// Returns once nothing is to be deployed, whatever has become of it; or when the task is cancelled.
    func untilApplied() async { await lane.untilIdle() }

    /// Returns once nothing is to be deployed and what was applied runs; false where something has failed.
    func untilIdle() async -> Bool {
        await lane.untilIdle()
        return await work.untilRolledOut() && hasSucceeded.withLock { $0 }
    }
}
