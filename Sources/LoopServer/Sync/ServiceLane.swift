internal import Glibc
internal import Reactor
internal import Watcher
internal import Wire

/// One service: brings what changes on disk into all of its containers, in order.
///
/// It replays nothing. The index says what should be there; each container has a set of places that differ, filled by
/// changes on disk and, on every new connection, by a comparison of the trees. A failure keeps the set, or makes the next
/// comparison find it again.
actor ServiceLane {
    let plan: ServicePlan
    let tree: LocalTree
    let connector: any ContainerConnector
    let pods: any PodActions
    private(set) var ignore: IgnoreRules
    /// The names of the store paths that belong to each rule that brings over what Nix builds.
    var closures: [Int: Set<String>] = [:]
    /// Those of them that have lost something since they were walked.
    var incompleteStorePaths: Set<String> = []
    /// The only system that closures are for, in Nix's words; `nil` brings them into every container.
    var closureSystem: String?
    /// Lanes whose part of a batch lands before this one's.
    private let dependencies: [ServiceLane]
    /// After how long a `then` step that has not ended is worth a line.
    let stepPatience: Duration
    /// Whether it has been told why a container of that name does not run.
    private let isExplained: @Sendable (String) -> Bool
    let emit: @Sendable (LoopEvent) -> Void
    var index: SourceIndex
    var journal: Journal
    var replicas: [ContainerInstance.ID: Replica] = [:]
    private var reportedUnmatched: Set<RelativePath> = []
    private var hasToldLeftAlone = false
    /// How often in a row a file changed while it was read.
    var restless: [RelativePath: Int] = [:]
    /// The pod that a step has deleted last, until another one is in its place.
    var replacement: PodReplacement?
    /// How many pods the workload should have; `nil` where nobody says it.
    private(set) var wantedPods: Int?
    /// Whether it was said that a container's process cannot be restarted.
    var hasToldNoSupervisor = false
    /// What was said of programs that did not land.
    var refusals: [Place: Refusal] = [:]
    private var changeWaiters: [CheckedContinuation<Void, Never>] = []
    private var isOver = false

    /// A lane that has looked at nothing yet; `journal` holds what earlier runs remembered.
    init(
        _ plan: ServicePlan, tree: LocalTree, connector: any ContainerConnector, pods: any PodActions,
        ignore: IgnoreRules,
        journal: consuming sending Journal, dependencies: [ServiceLane] = [],
        stepPatience: Duration = .seconds(10), isExplained: @escaping @Sendable (String) -> Bool = { _ in false },
        emit: @escaping @Sendable (LoopEvent) -> Void
    ) {
        self.plan = plan
        self.tree = tree
        self.connector = connector
        self.pods = pods
        self.ignore = ignore
        self.dependencies = dependencies
        self.stepPatience = stepPatience
        self.isExplained = isExplained
        self.emit = emit
        index = SourceIndex(plan: plan, tree: tree, gone: journal.gone, serial: journal.serial)
        self.journal = journal
    }

    /// Looks at the whole tree for the first time.
    ///
    /// What earlier runs saw and is not there now counts as removed; what is there and ignored by now does not.
    func survey() {
        _ = index.look(at: ChangeSet(paths: [], rescan: [.root]), rules: ignore)
        let vanished = journal.seen.filter { index.items[$0] == nil && index.isGone($0) }
        for place in vanished { index.forget(place) }
        journal.note(Array(index.items.keys) + vanished, in: index)
    }

    // MARK: - Changes on disk

    /// Takes a batch: looks at the disk, and tells every container what it lacks now.
    func settle(_ changes: ChangeSet) {
        let settled = monotonicNow()
        // The watcher asks for everything when ignore files above the project say something else, too.
        if changes.rescan.contains(.root) { ignore = ignore.reread() }
        var findings = index.look(at: changes, rules: ignore)
        addOwed(changes, &findings)
        for path in findings.unmatched { tellUnmatched(path) }
        for path in changes.paths { dropUnneeded(path, findings) }
        guard !findings.changed.isEmpty else { return }
        for path in changes.paths { restless[path] = nil }
        journal.note(findings.changed.keys, in: index)
        tell(findings, firstEvent: changes.firstEvent, settled: settled)
    }

    /// Takes what builds have made for some rules, and brings it to every container.
    ///
    /// `firstEvent` is when the change began that was built, `settled` when the build ended.
    func takeOutputs(of rules: Set<Int>, firstEvent: UInt64, settled: UInt64) {
        var findings = Findings()
        for output in index.look(atOutputsOf: rules, &findings) {
            report(
                .failed(
                    LoopEvent.Failure(
                        "\(output.local) is missing after the build: nothing was sent",
                        nextStep: "\"from\" of the rule has to name what the build makes")))
        }
        guard !findings.changed.isEmpty else { return }
        // The same fault of another build is said again.
        for place in findings.changed.keys { refusals[place] = nil }
        journal.note(findings.changed.keys, in: index)
        tell(findings, firstEvent: firstEvent, settled: settled)
    }

    /// Takes files that some container still lacks as changed when anything is heard of them: that they are as they were
    /// at the last look does not mean that they have arrived.
    private func addOwed(_ changes: ChangeSet, _ findings: inout Findings) {
        let owed = replicas.values.reduce(into: Set<Place>()) { $0.formUnion($1.owed.keys) }
        for place in owed where findings.changed[place] == nil {
            // What a build makes is whole when the build has ended, whatever is heard of it before.
            guard let item = index.items[place], !item.isOutput, changes.covers(item.local) else { continue }
            findings.changed[place] = .everything
            findings.rules.insert(item.rule)
        }
    }

    /// Tells every container that listens what it lacks now.
    func tell(_ findings: Findings, firstEvent: UInt64, settled: UInt64) {
        let reached = replicas.values.filter { $0.isListening }
        let ticket = Ticket(
            firstEvent: firstEvent, settled: settled, rules: findings.rules,
            waiting: Set(reached.map { $0.instance.id }), isInitial: false)
        for replica in reached {
            replica.work.merge(findings.changed, findings.replaced)
            replica.work.tickets.append(ticket)
            replica.gate.signal()
        }
    }

    /// Names a file that no rule takes, once; and of very many, as a program's temporary files are, only the first.
    private func tellUnmatched(_ path: RelativePath) {
        let limit = 100
        guard reportedUnmatched.count < limit, reportedUnmatched.insert(path).inserted else { return }
        report(.unmatched(path: "\(path)"))
        if reportedUnmatched.count == limit { report(.notice("further files that no rule takes are not named")) }
    }

    /// Gives up content that was sent early and that nobody asks for: its file is as it was before.
    private func dropUnneeded(_ path: RelativePath, _ findings: Findings) {
        guard let place = plan.placement(of: path)?.place, findings.changed[place] == nil else { return }
        for replica in replicas.values where replica.work.needs[place] == nil && replica.held?.needs[place] == nil {
            if let early = replica.early.removeValue(forKey: place) { abandon(early, place, replica) }
        }
    }

    /// Starts to send a file whose write has just finished, so that only the commit waits for quiet.
    func prepare(_ path: RelativePath) {
        guard let placement = plan.placement(of: path), let entry = tree.entry(path), case .file = entry.kind else {
            return
        }
        let place = placement.place
        if let known = index.items[place], known.entry.hasContent(of: entry), known.digest != nil, known.isCertain {
            return
        }
        for replica in replicas.values where replica.isConverged && !replica.blocked.contains(place.destination) {
            let old = replica.early.removeValue(forKey: place)
            if let old { abandon(old, place, replica) }
            // A storm is staged by its batch, which limits how many files are open at once.
            if old != nil || replica.early.count < transfers { sendEarly(path, entry, place, replica) }
        }
    }

    /// How many files may be on their way to one container at once: enough to hide every round trip; each holds a
    /// descriptor and a chunk of memory, for every container.
    var transfers: Int { max(4, min(64, 256 / max(1, replicas.count))) }

    /// Starts to send content whose batch comes later.
    func sendEarly(
        _ path: RelativePath, _ entry: LocalEntry, _ place: Place, _ replica: Replica, from store: LocalTree? = nil
    ) {
        guard let access = replica.access else { return }
        let stage = replica.nextStage()
        let (tree, progress) = (store ?? tree, progress(of: path, entry))
        let content = Task {
            try await ServiceLane.send(
                path, entry, from: tree, to: place, stage: stage, access, progress: progress)
        }
        replica.early[place] = Replica.Early(entry: entry, stage: stage, content: content)
        let id = replica.instance.id
        Task {
            _ = await content.result
            noteSent(stage, place, id)
        }
    }

    private func noteSent(_ stage: UInt32, _ place: Place, _ id: ContainerInstance.ID) {
        guard let replica = replicas[id] else { return }
        if let early = replica.early[place], early.stage == stage { early.isDone = true }
        // Taken by its batch meanwhile or not, it makes room for another one.
        guard replica.held != nil else { return }
        sendLarge(replica)
        replica.gate.signal()
    }

    func abandon(_ early: Replica.Early, _ place: Place, _ replica: Replica) {
        early.content.cancel()
        replica.access?.abandon(destination: place.destination, stage: early.stage)
    }

    // MARK: - Containers

    /// Takes the present set of containers: new ones are connected and compared, others are given up.
    ///
    /// `wanted` is how many pods the workload should have.
    func setInstances(_ instances: [ContainerInstance], wanted: Int? = nil) {
        guard !isOver else { return }
        wantedPods = wanted
        let present = Set(instances.map(\.id))
        for (id, replica) in replicas where !present.contains(id) {
            replica.task?.cancel()
            replicas[id] = nil
            reportLanded(replica.disconnect())
        }
        for instance in instances where replicas[instance.id] == nil {
            let replica = Replica(instance, isNew: !journal.knows(instance.id))
            replica.toldSerial = journal.toldSerial(instance.id)
            takeOwed(replica)
            replicas[instance.id] = replica
            replica.task = Task { await self.drive(instance.id) }
        }
        changed()
    }

    /// Returns once every present container has been compared and has everything, its steps have ended, and there is at
    /// least one; or when the lane is over.
    func untilConverged() async {
        while !isOver, replicas.isEmpty || !replicas.values.allSatisfy(\.isSettled) {
            if Task.isCancelled { return }
            await nextChange()
        }
    }

    /// Whether every present container has everything and every step went well.
    var isWhole: Bool { !isOver && replicas.values.allSatisfy(\.isWhole) }

    /// Whether there are containers and a way into each of them, so that whatever is to come is under way.
    var isReached: Bool { isOver || (!replicas.isEmpty && replicas.values.allSatisfy { $0.access != nil }) }

    /// Returns once no connected container has any file to come; containers that cannot be reached hold up nobody, and
    /// neither do steps, which may never end.
    func untilQuiet() async {
        while replicas.values.contains(where: { $0.isConverged && !$0.isQuiet }) {
            if Task.isCancelled { return }
            await nextChange()
        }
    }

    /// Returns at the next change of any container, or when the task is cancelled.
    func nextChange() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { changeWaiters.append($0) }
        } onCancel: {
            Task { await self.changed() }
        }
    }

    /// Leaves every container cleanly; the lane does nothing any more.
    func end() async {
        isOver = true
        let replicas = replicas.values.map { ($0.task, $0.access) }
        for replica in self.replicas.values { replica.stopTasks() }
        self.replicas = [:]
        for (task, _) in replicas { task?.cancel() }
        await withTaskGroup(of: Void.self) { group in
            for (_, access) in replicas { group.addTask { await access?.end() } }
        }
        changed()
    }

    func changed() {
        let waiters = changeWaiters
        changeWaiters = []
        for waiter in waiters { waiter.resume() }
    }

    /// Connects to a container, compares, and then delivers what changes, until the container is gone.
    private func drive(_ id: ContainerInstance.ID) async {
        var backoff = Backoff()
        // Where no way leads in, the next try is for a change in the cluster, not for a hiccup.
        var patience = Backoff(first: .seconds(1), limit: .seconds(30))
        var lastFailure = ""
        /// Whether the way has ended and there is no other one yet.
        var isLost = false
        while !Task.isCancelled, let replica = replicas[id] {
            do {
                let access = try await connector.connect(to: replica.instance)
                guard !Task.isCancelled, replicas[id] === replica else { return access.drop() }
                replica.access = access
                let gate = replica.gate
                access.whenEnded { gate.signal() }
                follow(replica, access)
                try await converge(replica, access)
                patience.reset()
                lastFailure = ""
                // Large files are still to come, and may be what breaks the way.
                if replica.held == nil {
                    backoff.reset()
                    isLost = false
                }
                try await deliver(replica, access)
            } catch {
                // Whoever took the replica away ends its way, too: by dropping it, or with a goodbye that removes the helper.
                guard replicas[id] === replica else { return }
                reportLanded(replica.disconnect())
                changed()
                guard !Task.isCancelled, replicas[id] != nil else { return }
                let known = error as? LoopFailure
                let failure = known?.failure.summary ?? "\(error)"
                // Whoever follows the pods tells of a container that has ended; else the next try finds a way, or says more.
                let isEnd = if case LinkError.disconnected = error { true } else { false }
                if isEnd, !isLost || isExplained(replica.instance.container) {
                    report(.detail("\(replica.instance.pod): \(error)"))
                } else if failure != lastFailure {
                    report(ServiceLane.failure(error, pod: replica.instance.pod))
                    lastFailure = failure
                }
                isLost = true
                try? await Task.sleep(for: known == nil ? backoff.next() : patience.next())
            }
        }
    }

    private func deliver(_ replica: Replica, _ access: any ContainerAccess) async throws {
        while true {
            await replica.gate.pass()
            try Task.checkCancellation()
            guard access.isOpen else { throw LinkError.disconnected("the container or the way to it is gone") }
            if let error = replica.lostWay { throw error }
            while hasWork(replica) {
                for lane in dependencies { await lane.untilQuiet() }
                try await lookAtOutputs(in: replica, access)
                guard let work = next(for: replica) else { continue }
                replica.isDelivering = true
                defer { replica.isDelivering = false }
                // Deletions that are still queued or held have numbers up to this one, too.
                let serial = replica.work.isEmpty && replica.held == nil ? index.serial : nil
                try await apply(work, to: replica, access, serial: serial)
            }
            if replica.isQuiet { replica.isNew = false }
            changed()
        }
    }

    func report(_ kind: LoopEvent.Kind) { emit(LoopEvent(kind, service: plan.service.name)) }

    /// Reports what exists only in the container, once.
    func tellLeftAlone(_ paths: [String]) {
        guard !hasToldLeftAlone, !paths.isEmpty else { return }
        hasToldLeftAlone = true
        report(.leftAlone(paths: Array(paths.prefix(5)), total: paths.count))
    }

    private static func failure(_ error: any Error, pod: String) -> LoopEvent.Kind {
        if let failure = error as? LoopFailure { return .failed(failure.failure) }
        // Whoever follows the pods tells that it ended, and why.
        if let end = error as? ExecEnd, end.kind == .containerUnavailable { return .detail("\(pod): \(end)") }
        // That the cluster does not answer is theirs to tell, too.
        if let error = error as? KubeError, error.isUnanswered { return .detail("\(pod): \(error)") }
        return .failed(LoopEvent.Failure("\(pod): \(error)", nextStep: nil))
    }

    /// Sends one file and checks that the container's disk has the same bytes.
    static func send(
        _ path: RelativePath, _ entry: LocalEntry, from tree: LocalTree, to place: Place, stage: UInt32,
        _ access: any ContainerAccess, progress: (Int64) -> Void = { _ in }
    ) async throws -> ReadContent {
        try Task.checkCancellation()
        let file = try LocalFile(path, in: tree, expected: entry)
        let delivery = try await access.stage(
            destination: place.destination, stage: stage, path: place.path, from: file, progress: progress)
        guard delivery.digest == file.digest else {
            throw LinkError.protocolViolation("\(path) has another hash in the container than here")
        }
        return ReadContent(digest: delivery.digest, isCertain: file.isCertain, bytesSent: delivery.bytesSent)
    }
}

/// A failure that is already said in full.
struct LoopFailure: Error {
    let failure: LoopEvent.Failure
}

/// Nanoseconds of `CLOCK_MONOTONIC`, the clock of the watcher's events.
func monotonicNow() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec) &* 1_000_000_000 &+ UInt64(now.tv_nsec)
}
