import Synchronization
import Testing
import Watcher

@testable import LoopServer

/// A lane between a project folder and folders that stand for containers.
final class LaneFixture {
    let project: ScratchTree
    let container: ScratchTree
    let state: ScratchTree
    let local: LocalContainer
    let pods: PodsDouble
    let lane: ServiceLane
    let events: EventLog

    /// A lane for `rules`, given as patterns and folders below the container's.
    init(
        _ rules: [(watch: [String], to: String)] = [(["app/**"], "srv/app")],
        sideloads: [(from: String, to: String)] = [], then: [Step] = [], mirror: Bool = false,
        reusing: (project: ScratchTree, container: ScratchTree, state: ScratchTree)? = nil, hooks: Hooks? = nil,
        stepPatience: Duration = .seconds(3600), isExplained: @escaping @Sendable (String) -> Bool = { _ in false }
    ) throws {
        project = try reusing?.project ?? ScratchTree()
        container = try reusing?.container ?? ScratchTree()
        state = try reusing?.state ?? ScratchTree()
        events = EventLog()
        let root = container.path
        var service = Service(name: "web", root: project.path)
        service.rules = try rules.map { rule in
            Rule(
                watch: try rule.watch.map { try Glob($0) },
                sync: Sync(to: "\(root)/\(rule.to)", from: nil, mirror: mirror, via: .automatic), then: then)
        }
        if !sideloads.isEmpty {
            let folder = project.path
            service.rules = sideloads.map { item in
                let item = Sideload(from: "\(folder)/\(item.from)", to: "\(root)/\(item.to)")
                return Rule(watch: [], build: "build", sideload: [item], then: then)
            }
        }
        let plan = ServicePlan(service, project: project.path)
        let log = events
        local = LocalContainer(others: root)
        pods = PodsDouble()
        let connector: any ContainerConnector = if let hooks { HookedContainer(local, hooks) } else { local }
        lane = ServiceLane(
            plan, tree: LocalTree(root: project.path), connector: connector, pods: pods,
            ignore: try IgnoreRules(root: project.path, patterns: []),
            journal: Journal(path: "\(state.path)/journal", destinations: plan.destinations),
            stepPatience: stepPatience, isExplained: isExplained, emit: { log.add($0) })
    }

    static func instance(_ number: Int = 1, run: Int = 1, hasController: Bool = true) -> ContainerInstance {
        ContainerInstance(
            id: .init(podUID: "uid-\(number)", containerID: "run-\(run)"), namespace: "demo", pod: "web-\(number)",
            container: "web", node: "node", hasController: hasController)
    }

    /// Looks at the tree, connects one container and waits until it is equal.
    func start(_ instances: [ContainerInstance] = [instance()]) async {
        await lane.survey()
        await lane.setInstances(instances)
        await lane.untilConverged()
    }

    /// Waits until the container's folder equals the project's, comparing again when the lane has come to rest.
    func untilEqual(limit: Duration = .seconds(240)) async throws {
        let deadline = ContinuousClock.now + limit
        while true {
            let wanted = ScratchTree.snapshot(project.path + "/app")
            let present = ScratchTree.snapshot(container.path + "/srv/app")
            if wanted == present { return }
            guard ContinuousClock.now < deadline else {
                let difference = Set(wanted.map { "\($0)" }).symmetricDifference(present.map { "\($0)" }).sorted()
                Issue.record("the trees differ: \(difference.prefix(6)); said: \(events.all.suffix(6))")
                return
            }
            await lane.untilConverged()
            // A comparison reads everything: one after the other would leave the lane no core.
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    /// Waits until the lane has said something that `isWanted` knows.
    func until(_ what: String, _ isWanted: (LoopEvent.Kind) -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while !events.all.contains(where: isWanted) {
            try #require(ContinuousClock.now < deadline, "no \(what); said: \(events.all)")
            try await Task.sleep(for: .milliseconds(2))
        }
    }

    func settle(_ paths: [String], rescan: [String] = []) async {
        await lane.settle(
            ChangeSet(paths: Set(paths.map { RelativePath($0) }), rescan: Set(rescan.map { RelativePath($0) })))
        await lane.untilConverged()
    }
}

/// What a lane said.
final class EventLog: Sendable {
    private let events = Mutex<[LoopEvent]>([])

    func add(_ event: LoopEvent) { events.withLock { $0.append(event) } }

    var all: [LoopEvent.Kind] { events.withLock { $0.map(\.kind) } }

    var landed: [LoopEvent.Landed] {
        all.compactMap { if case .landed(let landed) = $0 { landed } else { nil } }
    }

    /// The process ids that restarts in place have told.
    var restarted: [UInt32] {
        all.compactMap { if case .restarted(_, let pid, _) = $0 { pid } else { nil } }
    }

    var failed: [LoopEvent.Failure] {
        all.compactMap { if case .failed(let failure) = $0 { failure } else { nil } }
    }

    var skipped: [String] {
        all.compactMap { if case .skipped(let path, let reason) = $0 { "\(path): \(reason)" } else { nil } }
    }
}

extension ServiceLane {
    /// The containers that have everything by now.
    var settled: Set<ContainerInstance.ID> { Set(replicas.values.filter(\.isQuiet).map(\.instance.id)) }
}
