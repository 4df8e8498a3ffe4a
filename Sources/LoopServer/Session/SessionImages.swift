internal import OCI
internal import Reactor
internal import Synchronization
internal import Watcher

/// The images of a session: each is built when its inputs change, and goes into the workloads of the services that run it.
struct SessionImages: Sendable {
    let plan: ImagePlan
    /// The newest ones, for manifests.
    let set: ImageSet
    private let lanes: [ImageLane]
    private let pruner: ImagePruner
    private let runs = ServiceRuns()

    /// The images that the chosen services build or run; nothing is looked for before the first build.
    ///
    /// - Parameters:
    ///   - home: where images go.
    ///   - scratch: a private folder.
    init(
        _ configuration: Configuration, _ options: Session.Options, chosen: Set<String>,
        _ connection: ClusterConnection,
        home: ImageHomeChoice, scratch: String, emit: @escaping @Sendable (LoopEvent) -> Void
    ) throws {
        let plan = ImagePlan(configuration.services, chosen: chosen, project: configuration.directory)
        set = ImageSet(expecting: Set(plan.entries.map(\.name)))
        let recipes = ImageRecipes(
            configuration, playground: options.registry, connection, home: home, set: set, scratch: scratch,
            stateDirectory: options.stateDirectory)
        let pruner = ImagePruner(configuration, options, connection, home: home) { emit(LoopEvent(.notice($0))) }
        let (set, runs, later) = (set, runs, LaterLanes())
        lanes = try plan.entries.enumerated().map { number, entry in
            let service = entry.owner.name
            let tell: @Sendable (LoopEvent.Kind) -> Void = { emit(LoopEvent($0, service: service)) }
            let builder = try recipes.builder(of: entry, emit: tell)
            return ImageLane(entry.name) {
                let builder = PrunedBuilder(builder: try await builder(), name: entry.name, pruner: pruner)
                return (builder, try await home.find(for: entry.name))
            } emit: {
                tell($0)
            } onBuilt: { built in
                let home = try? await home.find(for: entry.name)
                await set.set(entry.name, to: built.reference, in: home, running: built.configuration)
                await runs.hand(built.reference, of: entry)
                for other in plan.images(on: number) where await set.isDue(plan.entries[other]) {
                    await later.trigger(other)
                }
                await runs.tell(entry.name)
            }
        }
        (self.plan, self.pruner) = (plan, pruner)
        later.set(lanes)
    }

    /// Whether there is none.
    var isEmpty: Bool { lanes.isEmpty }

    /// The services whose workloads get images that are built from now on; they get those that there are at once.
    ///
    /// `onBuilt` is called with the names of what was built after this; of what there is already, too, where that was still
    /// being built when manifests were applied.
    func attach(
        _ services: [ServiceRun], isLate: Bool, onBuilt: @escaping @Sendable (Set<String>) async -> Void
    ) async {
        if isLate {
            let known = await set.references
            for entry in plan.entries where known[entry.name] == nil {
                for run in services where entry.isRun(by: run.service) { await run.images.expect(entry.name) }
            }
        }
        runs.set(services, onBuilt)
        let references = await set.references
        if isLate, !references.isEmpty { await onBuilt(Set(references.keys)) }
        for entry in plan.entries {
            if let reference = references[entry.name] { await runs.hand(reference, of: entry) }
        }
    }

    /// The first builds have ended: what none of them has made is not waited for.
    func expectNoMore() async {
        await set.expectNoMore()
        for run in runs.all { await run.images.expectNoMore() }
    }

    /// The images of everything that is about a target, once their services are there.
    var ofTarget: @Sendable (Target) -> [ServiceImages] {
        { [runs] target in runs.all.filter { $0.service.target == target && !$0.images.isEmpty }.map(\.images) }
    }

    /// Builds as it is asked for, until the task is cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for lane in lanes { group.addTask { await lane.run() } }
            group.addTask { await pruner.run() }
        }
    }

    /// Whether an image by its number in the plan is built when something asks for it; also one that rests, where what a
    /// service has of it does not run.
    func isDue(_ number: Int) async -> Bool {
        let entry = plan.entries[number]
        if await set.isDue(entry) { return true }
        for run in runs.all where entry.isRun(by: run.service) {
            if await run.images.hasFailed(entry.name) { return true }
        }
        return false
    }

    /// Asks for images by their numbers in the plan.
    func trigger(_ numbers: Set<Int>, firstEvent: UInt64) async {
        for number in numbers.sorted() where await isDue(number) { await lanes[number].trigger(firstEvent: firstEvent) }
    }

    /// Returns once nothing is to be built; false when an image could not be.
    func untilIdle() async -> Bool {
        // One that is the base of others asks for them before it is idle itself: they may stand before it.
        for _ in lanes { for lane in lanes { await lane.untilIdle() } }
        return lanes.allSatisfy(\.hasSucceeded)
    }

    /// Returns once every image that was handed to a workload runs there; false where one does not.
    func untilRolledOut() async -> Bool {
        var isWhole = true
        for run in runs.all {
            let isRolledOut = await run.untilImagesRun()
            isWhole = isWhole && isRolledOut
        }
        return isWhole
    }
}

/// The services of a session, once they are there.
private final class ServiceRuns: Sendable {
    private let runs = Mutex<[ServiceRun]>([])
    private let onBuilt = Mutex<(@Sendable (Set<String>) async -> Void)?>(nil)

    var all: [ServiceRun] { runs.withLock { $0 } }

    func set(_ services: [ServiceRun], _ onBuilt: @escaping @Sendable (Set<String>) async -> Void) {
        runs.withLock { $0 = services }
        self.onBuilt.withLock { $0 = onBuilt }
    }

    /// Hands an image to the services that run it.
    func hand(_ reference: String, of entry: ImagePlan.Entry) async {
        for run in all where entry.isRun(by: run.service) {
            await run.images.take(entry.name, reference)
        }
    }

    func tell(_ image: String) async { await onBuilt.withLock { $0 }?([image]) }
}

/// Lanes that know each other: an image is built again when its base is another one.
private final class LaterLanes: Sendable {
    private let lanes = Mutex<[ImageLane]>([])

    func set(_ all: [ImageLane]) { lanes.withLock { $0 = all } }

    func trigger(_ number: Int) async { await lanes.withLock { $0[number] }.trigger(firstEvent: monotonicNow()) }
}
