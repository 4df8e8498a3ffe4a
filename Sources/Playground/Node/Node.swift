internal import CLinux
internal import Glibc
internal import JSON
internal import Reactor
internal import Synchronization

/// The playground's node: pods that are bound to it become real containers under runc.
///
/// Each has a network namespace of its own, where the playground is root; else, and with `hostNetwork`, pods share the
/// machine's network: they have its loopback address, and their ports are the machine's.
final class Node: Sendable {
    /// The node's name when nothing else is said.
    static let defaultName = "playground"

    let context: NodeContext
    private let host: HostImage
    private let hasWayOut: Bool
    private struct State {
        var workers: [String: PodWorker] = [:]
        var isEnding = false
        var notes: [String] = []
    }
    private let state = Mutex(State())

    /// Looks at the machine first: throws `NodeUnavailable`, one line, where pods cannot run.
    ///
    /// `registryPort` is where `registry` is served: images are named `localhost:PORT/name:tag`. `hidden` are host folders
    /// that the image `host` must not show, the project's above all. Without `hasWayOut` pods reach the cluster alone.
    init(
        store: ObjectStore, stateDirectory: String, registry: Registry, registryPort: UInt16 = 5000,
        name: String = Node.defaultName, hidden: [String] = [], hasWayOut: Bool = true
    ) throws {
        self.hasWayOut = hasWayOut
        try Disk.makeDirectory(stateDirectory, mode: 0o711)
        // Mounts and cgroups are found again by this name: it must be the kernel's own.
        let layout = NodeLayout(root: Disk.resolved(stateDirectory) ?? stateDirectory)
        let preflight = try Preflight(layout)
        for folder in [layout.containers, layout.pods, layout.logs, layout.images, layout.runc] {
            try Disk.makeDirectory(folder, mode: 0o711)
        }
        // Containers start as orphans of a runc that is gone: their exit codes come to the nearest subreaper.
        guard clinux_set_subreaper() == 0 else { throw SystemError.last("prctl PR_SET_CHILD_SUBREAPER") }
        host = HostImage(
            layout: layout, hidden: hidden + [layout.root], isRootless: preflight.rootless != nil,
            hasOverlay: preflight.hasOverlay)
        var network: ClusterNetwork?
        if preflight.rootless != nil {
            state.withLock {
                $0.notes.append(
                    "pods share this machine's network, and Services are not proxied: networks of their own need root")
            }
        } else {
            do {
                network = try ClusterNetwork(layout)
            } catch {
                state.withLock {
                    $0.notes.append("pods share this machine's network, and Services are not proxied: \(error)")
                }
            }
        }
        context = NodeContext(
            store: store, layout: layout, name: name, runc: Runc(program: preflight.runc, layout: layout),
            images: ImageStore(
                layout: layout, storage: registry.storage, registryPort: registryPort, host: host,
                hasOverlay: preflight.hasOverlay),
            cgroups: .ofThisMachine, events: NodeEvents(store: store, nodeName: name), network: network,
            rootless: preflight.rootless)
    }

    /// What pods cannot do here, one line each; complete when the node runs.
    var notes: [String] { state.withLock { $0.notes } }

    /// Runs pods until the task is cancelled; `prepared` is called once nothing is left that could keep it from that.
    ///
    /// Containers go on running and are adopted by the next run over the same state directory: they can be entered when
    /// `prepared` is called.
    func run(_ prepared: @escaping @Sendable () throws -> Void = {}) async throws {
        try await host.prepare()
        await removeOrphans()
        if hasWayOut, let network = context.network, let note = await WayOut.open(for: network, context.layout) {
            state.withLock { $0.notes.append(note) }
        }
        try await withThrowingDiscardingTaskGroup { group in
            if let network = context.network {
                if hasWayOut { group.addTask { await WayOut.keepOpen(for: network, self.context.layout) } }
                group.addTask { await ServiceProxy(store: self.context.store, network: network).run() }
                group.addTask {
                    try await NameServer(names: ClusterNames(self.context.store), network: network).run()
                }
            }
            group.addTask { try await self.followPods(prepared) }
            for kind in [ResourceKind.configMap, .secret] {
                group.addTask { try await self.followConfiguration(kind) }
            }
        }
    }

    /// The worker of a pod, for streams.
    func worker(_ uid: String) -> PodWorker? { state.withLock { $0.workers[uid] } }

    private func followPods(_ prepared: @escaping @Sendable () throws -> Void) async throws {
        try await withThrowingDiscardingTaskGroup { group in
            var isPrepared = false
            while !Task.isCancelled {
                let events = try context.store.watch(.pod)
                var present: Set<String> = []
                var rest = events.initialCount
                if rest == 0 { await endMissing(present) }
                if rest == 0, !isPrepared {
                    isPrepared = true
                    try prepared()
                }
                do {
                    for try await event in events {
                        let uid = event.object.at("metadata", "uid")?.string ?? ""
                        if event.object.at("spec", "nodeName")?.string == context.name {
                            if let worker = await handle(event, uid) {
                                group.addTask {
                                    await worker.run()
                                    if !Task.isCancelled { self.forget(uid) }
                                }
                            }
                        }
                        if rest > 0 {
                            present.insert(uid)
                            rest -= 1
                            if rest == 0 { await endMissing(present) }
                        }
                        if rest == 0, !isPrepared {
                            isPrepared = true
                            try prepared()
                        }
                    }
                } catch let error as StatusError where error.code == 410 {
                    // Too slow for the history: the new watch starts with everything that is there.
                    continue
                }
                if !Task.isCancelled { throw SystemError(code: EIO, attempt: "watch pods: the store ended it") }
            }
        }
    }

    /// Tells a pod's worker; returns a new one that has to be run.
    private func handle(_ event: StoredEvent, _ uid: String) async -> PodWorker? {
        if let worker = worker(uid) {
            if event.type == .deleted { await worker.terminate(grace: 1) } else { await worker.update(event.object) }
            return nil
        }
        // Late news of a pod whose worker has finished must not bring it back.
        let namespace = event.object.at("metadata", "namespace")?.string
        let name = event.object.at("metadata", "name")?.string ?? ""
        guard event.type != .deleted, !Self.hasEnded(event.object),
            context.store.get(.pod, namespace, name)?.at("metadata", "uid")?.string == uid
        else { return nil }
        let worker = PodWorker(event.object, context)
        await worker.adopt()
        state.withLock { $0.workers[uid] = worker }
        if event.object.at("metadata", "deletionTimestamp") != nil { await worker.update(event.object) }
        return worker
    }

    /// Whether only its finalizers keep the pod's object.
    private static func hasEnded(_ pod: JSON) -> Bool {
        pod.at("metadata", "deletionTimestamp") != nil && pod.at("metadata", "deletionGracePeriodSeconds") == 0
    }

    private func endMissing(_ present: Set<String>) async {
        let missing = state.withLock { state in state.workers.filter { !present.contains($0.key) } }
        for worker in missing.values { await worker.terminate(grace: 1) }
    }

    private func forget(_ uid: String) {
        state.withLock { _ = $0.workers.removeValue(forKey: uid) }
    }

    private func followConfiguration(_ kind: ResourceKind) async throws {
        while !Task.isCancelled {
            do {
                let events = try context.store.watch(kind)
                for try await event in events {
                    let name = event.object.at("metadata", "name")?.string ?? ""
                    let namespace = event.object.at("metadata", "namespace")?.string ?? ""
                    let workers = state.withLock { Array($0.workers.values) }
                    for worker in workers where worker.namespace == namespace {
                        await worker.configurationChanged(name)
                    }
                }
            } catch let error as StatusError where error.code == 410 {
                continue
            }
        }
    }

    /// Ends what an earlier playground left and no pod wants any more.
    private func removeOrphans() async {
        let pods = context.store.list(.pod).items.filter {
            $0.at("spec", "nodeName")?.string == context.name && !Self.hasEnded($0)
        }
        let wanted = Set(pods.compactMap { $0.at("metadata", "uid")?.string })
        context.network?.adopt(pods)
        let layout = context.layout
        // A runc that a killed playground has left at work makes a container a moment from now.
        await Node.untilNoRunc(at: layout)
        for id in Set(Disk.names(in: layout.containers) + Disk.names(in: layout.runc)) {
            if let saved = RunRecord(id, in: layout), wanted.contains(saved.pod),
                ContainerProcess.startTime(of: saved.pid) == saved.startTime
            {
                continue
            }
            await context.runc.delete(id)
            Mounts.removeAll(below: layout.container(id))
            Disk.removeTree(layout.container(id))
        }
        for uid in Set(Disk.names(in: layout.pods) + Disk.names(in: layout.logs)) where !wanted.contains(uid) {
            Mounts.removeAll(below: layout.pod(uid))
            Disk.removeTree(layout.pod(uid))
            Disk.removeTree("\(layout.logs)/\(uid)")
        }
    }
}
