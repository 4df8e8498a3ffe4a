internal import Reactor
internal import Synchronization
internal import Watcher

/// The builds of a session: each runs when its inputs change, and its outputs go to the services that use them.
final class SessionBuilds: Sendable {
    private let plan: BuildPlan
    private let lanes: [BuildLane]
    private let nix: NixBuilds
    private let deployments: Deployments
    private let images: SessionImages
    private let hosts: [HostRun]
    private let project: String
    private let ignored: [String]
    private let running = Mutex<Task<Void, Never>?>(nil)
    /// What images were made from first; `nil` where there are none.
    private let inputs = Mutex<[RelativePath: LocalEntry]?>(nil)

    /// The builds whose outputs these lanes and images take, besides those of `nix`, and what is deployed.
    init(
        _ consumers: [ServiceLane], _ configuration: Configuration, nix: NixBuilds, images: SessionImages,
        deployments: Deployments, hosts: [HostRun] = [], leash: String, emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        self.hosts = hosts
        self.nix = nix
        self.images = images
        self.deployments = deployments
        project = configuration.directory
        ignored = configuration.watch.ignore
        let plan = BuildPlan(
            configuration.builds, plans: consumers.map(\.plan), images: images.plan, hosts: hosts.map(\.plan),
            project: configuration.directory)
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
                await images.trigger(images.plan.images(after: build.name), firstEvent: firstEvent)
                let started = plan.hosts(after: build.name)
                for host in hosts where started.contains(host.plan.service) { await host.start(firstEvent: firstEvent) }
                return true
            }
        }
    }

    /// Starts to run builds as they are asked for; further calls do nothing.
    func begin() {
        running.withLock { running in
            guard running == nil else { return }
            running = Task {
                await withDiscardingTaskGroup { group in
                    for lane in lanes { group.addTask { await lane.run() } }
                    group.addTask { await self.nix.run() }
                    group.addTask { await self.images.run() }
                    group.addTask { await self.deployments.run() }
                    // Without builds, too, only the end of the session is an end.
                    await Gate().pass()
                }
            }
        }
    }

    /// Runs builds as they are asked for, until the task is cancelled.
    func run() async {
        begin()
        let task = running.withLock { $0 }
        await withTaskCancellationHandler {
            await task?.value
        } onCancel: {
            task?.cancel()
        }
    }

    /// Ends what runs.
    func end() async {
        let task = running.withLock { $0 }
        task?.cancel()
        await task?.value
    }

    /// Builds everything once, as at the start: nobody knows what the outputs that lie there were made from.
    ///
    /// What `buildImages` has built is built again only where its files have changed since.
    func buildAll() async {
        let now = monotonicNow()
        for lane in lanes where !images.plan.uses(build: lane.build.name) { await lane.trigger(firstEvent: now) }
        await start(plan.hosts(), firstEvent: nil)
        await nix.buildAll()
        await deployments.deployAll()
        guard let before = inputs.withLock({ $0 }), let after = await readInputs() else { return }
        let changed = Set(before.keys).union(after.keys).filter { before[$0] != after[$0] }
        await settleBuilds(ChangeSet(paths: changed, firstEvent: now))
    }

    /// The files that images, and builds of theirs, are made from, as they are now.
    private func readInputs() async -> [RelativePath: LocalEntry]? {
        guard let rules = try? IgnoreRules(root: project, patterns: ignored) else { return nil }
        return try? await offPool { [images, plan] in
            var inputs: [RelativePath: LocalEntry] = [:]
            TreeScan.walk(rules: rules) { found in
                let change = ChangeSet(paths: [found.path])
                if found.kind != .directory,
                    !images.plan.images(for: change).isEmpty || !plan.builds(for: change).isEmpty
                {
                    inputs[found.path] = LocalEntry(found)
                }
                return true
            }
            return inputs
        }
    }

    /// Builds every image, and what goes into it, before anything is applied: manifests name them.
    ///
    /// False when one could not be built, `nil` when it takes longer than `limit`: then it goes on. Returns early when the
    /// task is cancelled.
    func buildImages(limit: Duration? = nil) async -> Bool? {
        guard !images.isEmpty else { return true }
        let before = await readInputs()
        inputs.withLock { $0 = before }
        begin()
        let now = monotonicNow()
        for lane in needed { await lane.trigger(firstEvent: now) }
        await images.trigger(images.plan.first, firstEvent: now)
        return if let limit { await atMost(limit) { await self.untilImagesBuilt() } } else { await untilImagesBuilt() }
    }

    /// The builds that make files for images.
    private var needed: [BuildLane] { lanes.filter { images.plan.uses(build: $0.build.name) } }

    /// Returns once no image is to be built, or when the task is cancelled; false when one could not be.
    func untilImagesBuilt() async -> Bool {
        for lane in needed { await lane.untilIdle() }
        let areBuilt = await images.untilIdle()
        return areBuilt && needed.allSatisfy(\.hasSucceeded)
    }

    private func start(_ names: Set<String>, firstEvent: UInt64?) async {
        for host in hosts where names.contains(host.plan.service) { await host.start(firstEvent: firstEvent) }
    }

    /// Asks for the builds that a change on disk makes necessary, and for new starts without one.
    func settle(_ changes: ChangeSet) async {
        await start(plan.hosts(for: changes), firstEvent: changes.firstEvent)
        await settleBuilds(changes)
        await nix.settle(changes)
        await deployments.settle(changes)
    }

    private func settleBuilds(_ changes: ChangeSet) async {
        var needed: Set<Int> = []
        for number in plan.builds(for: changes) where await isWanted(number) { needed.insert(number) }
        for number in needed { await lanes[number].trigger(firstEvent: changes.firstEvent) }
        let names = Set(needed.map { lanes[$0].build.name })
        await images.trigger(images.plan.images(for: changes, building: names), firstEvent: changes.firstEvent)
    }

    /// Whether somebody takes what a build makes next: an image that rests is made once.
    private func isWanted(_ number: Int) async -> Bool {
        let name = plan.builds[number].name
        if !plan.plans(using: number).isEmpty || !plan.hosts(after: name).isEmpty { return true }
        for image in images.plan.images(after: name) where await images.isDue(image) { return true }
        return false
    }

    /// Returns once nothing is to be built; false when a build has failed.
    func untilIdle() async -> Bool {
        // Each asks for what follows it before it is idle: builds for images, images for what is deployed with them.
        for lane in lanes { await lane.untilIdle() }
        let results = [
            lanes.allSatisfy(\.hasSucceeded), await images.untilIdle(), await nix.untilIdle(),
            await deployments.untilIdle(), await images.untilRolledOut(),
        ]
        return results.allSatisfy(\.self)
    }

    /// Returns once what needs no build is deployed: before that, a workload may not be there.
    ///
    /// Pods that are there do not wait long for a chart that takes its time.
    func untilApplied() async { await deployments.untilApplied(limit: .seconds(10)) }

    /// Whether what a program on this machine starts from is whole: else it is started once its build has succeeded.
    private func isReady(_ host: HostRun) async -> Bool {
        guard let lane = lanes.first(where: { $0.build.name == host.plan.build }) else { return true }
        return await lane.isIdle && lane.hasSucceeded
    }

    /// Starts and deploys what has one of these images in it: it has another reference now.
    func settle(images: Set<String>) async {
        for host in hosts where await isReady(host) { await host.settle(images: images) }
        await nix.settle(images: images)
        await deployments.settle(images: images)
    }
}
