internal import Reactor
internal import Watcher

/// The builds of a session: each runs when its inputs change, and its outputs go to the services that use them.
struct SessionBuilds: Sendable {
    private let plan: BuildPlan
    private let lanes: [BuildLane]
    private let nix: NixBuilds
    private let deployments: Deployments

    /// The builds whose outputs these lanes take, besides those of `nix`, and what is deployed.
    init(
        _ consumers: [ServiceLane], _ configuration: Configuration, nix: NixBuilds, deployments: Deployments,
        leash: String, emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        self.nix = nix
        self.deployments = deployments
        let plan = BuildPlan(configuration.builds, plans: consumers.map(\.plan), project: configuration.directory)
        self.plan = plan
        lanes = plan.builds.enumerated().map { number, build in
            let services = plan.services(using: number)
            let only = services.count == 1 ? services.first : nil
            return BuildLane(build, leash: leash) { kind in
                emit(LoopEvent(kind, service: only))
            } onSuccess: { firstEvent, ended, _ in
                await withDiscardingTaskGroup { group in
                    for consumer in plan.plans(using: number) {
                        let (lane, rules) = (consumers[consumer], plan.rules(of: consumer, using: number))
                        group.addTask { await lane.takeOutputs(of: rules, firstEvent: firstEvent, settled: ended) }
                    }
                }
                return true
            }
        }
    }

    /// Runs builds as they are asked for, until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for lane in lanes { group.addTask { await lane.run() } }
            group.addTask { await nix.run() }
            group.addTask { await deployments.run() }
            // Without builds, too, only the end of the session is an end.
            await Gate().pass()
        }
    }

    /// Builds everything once, as at the start: nobody knows what the outputs that lie there were made from.
    func buildAll() async {
        let now = monotonicNow()
        for lane in lanes { await lane.trigger(firstEvent: now) }
        await nix.buildAll()
        await deployments.deployAll()
    }

    /// Asks for the builds that a change on disk makes necessary.
    func settle(_ changes: ChangeSet) async {
        for number in plan.builds(for: changes) { await lanes[number].trigger(firstEvent: changes.firstEvent) }
        await nix.settle(changes)
        await deployments.settle(changes)
    }

    /// Returns once nothing is to be built; false when a build has failed.
    func untilIdle() async -> Bool {
        var isWhole = await nix.untilIdle()
        let isDeployed = await deployments.untilIdle()
        isWhole = isWhole && isDeployed
        for lane in lanes {
            await lane.untilIdle()
            let hasSucceeded = lane.hasSucceeded
            isWhole = isWhole && hasSucceeded
        }
        return isWhole
    }

    /// Returns once what needs no build is deployed: before that, a workload may not be there.
    func untilApplied() async { await deployments.untilApplied() }

    /// Deploys what has one of these images in it: it has another reference now.
    func settle(images: Set<String>) async {
        await nix.settle(images: images)
        await deployments.settle(images: images)
    }
}
