internal import Glibc
internal import JSON
internal import Reactor

/// One pod's life on the node: volumes, init containers in order, containers, and in the end nothing of it.
///
/// The pod's object says what should be, this actor's records say what is, and `publish` writes the one into the status of
/// the other. Cancelling the task of `run` leaves the containers running, for adoption by the next playground; only
/// `terminate` ends them.
actor PodWorker {
    enum Command: Sendable {
        case ephemeral(String)
        case terminate
    }

    nonisolated let context: NodeContext
    nonisolated let uid: String
    nonisolated let namespace: String
    nonisolated let name: String
    var pod: JSON
    var records: [ContainerRecord] = []
    var runs: [String: ContainerRun] = [:]
    /// Containers that have ended while no playground looked.
    var remains: [String] = []
    private(set) var isTerminating = false
    private(set) var grace = 30
    private var isSandboxReady = false
    private(set) var address: String?
    private var sleepers: [UInt64: Task<Void, any Error>] = [:]
    private var nextSleeper: UInt64 = 0
    private let commands: AsyncStream<Command>
    private let command: AsyncStream<Command>.Continuation

    init(_ pod: JSON, _ context: NodeContext) {
        self.pod = pod
        self.context = context
        uid = pod.at("metadata", "uid")?.string ?? ""
        namespace = pod.at("metadata", "namespace")?.string ?? ""
        name = pod.at("metadata", "name")?.string ?? ""
        address = context.network(of: pod) == nil ? PodStatus.sharedAddress : pod.at("status", "podIP")?.string
        grace = Int(Int32(clamping: pod.at("spec", "terminationGracePeriodSeconds")?.integer ?? 30))
        // Bounded by the pod: one command for each ephemeral container, and one to end.
        (commands, command) = AsyncStream.makeStream(of: Command.self)
        for kind in [ContainerRecord.Kind.initial, .main, .ephemeral] {
            for spec in pod.at("spec", kind.rawValue)?.array ?? [] { records.append(ContainerRecord(kind, spec)) }
        }
        let hasInitial = records.contains { $0.kind == .initial }
        for index in records.indices where records[index].kind == .main && hasInitial {
            records[index].state = .waiting(reason: "PodInitializing")
        }
        for record in records where record.kind == .ephemeral { command.yield(.ephemeral(record.name)) }
    }

    /// `name_namespace(uid)`, as messages call the pod.
    nonisolated var title: String { "\(name)_\(namespace)(\(uid))" }
    var restartPolicy: String { pod.at("spec", "restartPolicy")?.string ?? "Always" }

    /// Lives the pod's life; returns when it is gone, or when the task is cancelled.
    func run() async {
        await removeRemains()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.live() }
            for await command in commands {
                guard case .ephemeral(let name) = command else { break }
                group.addTask { await self.supervise(name) }
            }
            group.cancelAll()
        }
        if isTerminating, !Task.isCancelled {
            await withDiscardingTaskGroup { group in
                for (name, run) in runs { group.addTask { await self.end(name, run) } }
            }
        }
        // The playground stops: what still runs stays for the next one, also what is about to end.
        for run in runs.values { run.pump.stop() }
        if isTerminating, runs.isEmpty { await cleanUp() }
    }

    /// Takes the object's new state: ephemeral containers, and the wish to end.
    func update(_ object: JSON) async {
        let isRelabelled = ["labels", "annotations"].contains { pod.at("metadata", $0) != object.at("metadata", $0) }
        pod = object
        // Volumes of the downward API follow.
        if isRelabelled, isSandboxReady { try? await volumes.refresh() }
        for spec in object.at("spec", "ephemeralContainers")?.array ?? [] {
            let name = spec["name"]?.string ?? ""
            guard !records.contains(where: { $0.name == name }) else { continue }
            records.append(ContainerRecord(.ephemeral, spec))
            command.yield(.ephemeral(name))
        }
        if object.at("metadata", "deletionTimestamp") != nil {
            terminate(grace: Int(object.at("metadata", "deletionGracePeriodSeconds")?.integer ?? Int64(grace)))
        }
    }

    /// Ends every container and then the pod; a second time it can only be sooner.
    func terminate(grace seconds: Int) {
        let isSooner = seconds < grace
        grace = min(grace, max(1, seconds))
        if !isTerminating {
            isTerminating = true
            command.yield(.terminate)
        } else if isSooner {
            Task {
                try await Task.sleep(for: .seconds(grace))
                for run in runs.values { run.process.signal(SIGKILL) }
            }
        }
    }

    /// Tells that a ConfigMap or Secret has changed: volumes that show it follow, and what waited for it tries again.
    func configurationChanged(_ source: String) async {
        nudge()
        let volumes = volumes
        guard isSandboxReady, volumes.sources.contains(source) else { return }
        // A source that was removed leaves the files as they are, as on a real node.
        try? await volumes.refresh()
    }

    nonisolated func starter(_ pod: JSON) -> ContainerStarter {
        ContainerStarter(
            context: context, pod: pod,
            volumes: Volumes(layout: context.layout, references: context.references(of: pod), uid: uid))
    }

    private var volumes: Volumes {
        Volumes(layout: context.layout, references: context.references(of: pod), uid: uid)
    }

    private func live() async {
        // A pod that came to its end stays as it is until it is deleted.
        let phase = pod.at("status", "phase")?.string
        guard phase != "Succeeded", phase != "Failed" else { return }
        await withDiscardingTaskGroup { group in
            // What an earlier playground left is looked after at once, whatever the volumes have to wait for.
            let adopted = Set(records.filter { ($0.kind == .main || $0.isSidecar) && runs[$0.name] != nil }.map(\.name))
            for name in adopted { group.addTask { await self.supervise(name) } }
            publish()
            await setUp("FailedMount") { try await self.volumes.refresh() }
            await setUp("FailedCreatePodSandBox") { try await self.connect() }
            guard !Task.isCancelled else { return }
            isSandboxReady = true
            // With its address, which its containers may ask for.
            publish()
            for initial in records where initial.kind == .initial {
                if initial.isSidecar {
                    if !adopted.contains(initial.name) { group.addTask { await self.supervise(initial.name) } }
                    await untilInitialized(initial.name)
                } else if !initial.hasInitialized {
                    await supervise(initial.name)
                }
                guard !Task.isCancelled, record(initial.name)?.hasInitialized == true else { return }
            }
            for main in records where main.kind == .main && !adopted.contains(main.name) {
                if case .waiting("PodInitializing", _) = main.state {
                    change(main.name) { $0.state = .waiting(reason: "ContainerCreating") }
                }
                group.addTask { await self.supervise(main.name) }
            }
        }
        // A pod that came to its end needs no network any more; its status still tells its address.
        if !Task.isCancelled, PodState.hasEnded(pod) { context.network?.disconnect(uid) }
    }

    /// Tries until it is done, or the task is cancelled.
    private func setUp(_ reason: String, _ body: () async throws -> Void) async {
        while !Task.isCancelled {
            do {
                try await body()
                return
            } catch {
                event(reason, "\(error)", isWarning: true)
                publish()
                await pause(seconds: 2)
            }
        }
    }

    /// Gives the pod its network; one that it has already stays.
    private func connect() async throws {
        guard let network = context.network(of: pod) else { return }
        let (uid, known) = (uid, address.flatMap { IPv4($0) })
        let found = try await offPool { try network.connect(uid, known: known) }
        guard found != known else { return }
        address = found.description
        // They tell the address.
        _ = unlink("\(context.layout.pod(uid))/hosts")
    }

    private func untilInitialized(_ name: String) async {
        while !Task.isCancelled, record(name)?.hasInitialized != true { await pause(seconds: 1) }
    }

    private func cleanUp() async {
        publish()
        // From now on nothing may put the volumes back.
        isSandboxReady = false
        let context = context
        let uid = uid
        try? await offPool {
            context.network?.disconnect(uid)
            Mounts.removeAll(below: context.layout.pod(uid))
            Disk.removeTree(context.layout.pod(uid))
            Disk.removeTree("\(context.layout.logs)/\(uid)")
        }
        context.events.forget(uid: uid)
        // It may be gone already, when its deletion was forced.
        _ = try? context.store.remove(.pod, namespace, name, uid: uid)
    }

    // MARK: Records and status

    func record(_ name: String) -> ContainerRecord? { records.first { $0.name == name } }

    func change(_ name: String, _ body: (inout ContainerRecord) -> Void) {
        guard let index = records.firstIndex(where: { $0.name == name }) else { return }
        body(&records[index])
    }

    /// Writes what is into the pod's status.
    func publish() {
        let (records, uid, isSandboxReady, address) = (records, uid, isSandboxReady, address)
        let hostAddress = context.network(of: pod) == nil ? PodStatus.sharedAddress : context.hostAddress
        let changed = try? context.store.modify(.pod, namespace, name, part: .status, by: .kubelet) { object in
            // Another pod of the same name has taken its place.
            guard object.at("metadata", "uid")?.string == uid else { return }
            object["status"] =
                PodStatus(
                    pod: object, records: records, now: .now, isSandboxReady: isSandboxReady, address: address,
                    hostAddress: hostAddress
                ).json
        }
        if let changed, changed.at("metadata", "uid")?.string == uid { pod = changed }
    }

    func event(_ reason: String, _ message: String, of record: ContainerRecord? = nil, isWarning: Bool = false) {
        context.events.record(pod, reason, message, fieldPath: record?.fieldPath ?? "", isWarning: isWarning)
    }

    // MARK: Waiting

    /// Waits, at most until the next `nudge` or cancellation.
    func pause(seconds: Int) async {
        let sleeper = Task { try await Task.sleep(for: .seconds(seconds)) }
        let id = nextSleeper
        nextSleeper += 1
        sleepers[id] = sleeper
        await withTaskCancellationHandler {
            _ = try? await sleeper.value
        } onCancel: {
            sleeper.cancel()
        }
        sleepers[id] = nil
    }

    /// Ends the present pauses.
    func nudge() {
        for sleeper in sleepers.values { sleeper.cancel() }
    }
}
