internal import JSON
internal import Reactor
internal import Synchronization

/// What a service's target is at one moment.
struct WorkloadState: Equatable, Sendable {
    /// The workload itself; `nil` for a selector, and where there is none of that name.
    var workload: JSON?
    /// The pods of the current revision, or all that the selector finds; ended ones too.
    var pods: [PodState] = []
    /// The ReplicaSet of a Deployment's present revision.
    var revision: WorkloadRevision?
    /// The workload's pods of other revisions.
    var outdated: [PodState] = []
    /// The Deployment's present revision is not there yet: its pods are the ones before.
    var awaitsRevision = false
    /// The workload is not there.
    var isMissing = false
    /// Why the cluster does not answer; what else is here may be old then.
    var disconnection: String?

    /// The running instances of a container, ready or not.
    func instances(of container: String?) -> [ContainerInstance] {
        pods.compactMap { pod in (container ?? pod.usualContainer).flatMap { pod.instance(of: $0) } }
    }

    /// How many pods there should be; `nil` where nobody says it.
    var wantedPods: Int? {
        (workload?.at("spec", "replicas") ?? workload?.at("status", "desiredNumberScheduled"))?.integer.map { Int($0) }
    }

    /// Whether a container that lasts has been started again.
    var hasRestarted: Bool { pods.contains { !$0.isOver && $0.lastingContainers.contains { $0.restarts > 0 } } }

    /// Whether there are fewer pods than there should be.
    var lacksPods: Bool {
        // Those of an older revision may be kept on purpose.
        let strategy = workload?.at("spec", "updateStrategy")
        let isPartial = strategy?.at("rollingUpdate", "partition")?.integer ?? 0 > 0
        let counted = strategy?["type"]?.string == "OnDelete" || isPartial ? pods + outdated : pods
        return wantedPods.map { wanted in counted.count { !$0.isOver } < wanted } ?? counted.isEmpty
    }

    /// Whether a container is ready in every pod that lasts; all of the pod's where none is named.
    func isReady(_ container: String?) -> Bool {
        pods.allSatisfy { pod in
            if pod.isOver { return true }
            guard let container else { return pod.isReady }
            return pod.lastingContainers.contains { $0.name == container && $0.isReady }
        }
    }

    /// Why no pod is ready, in one line; `nil` where one is.
    func reason(container: String?) -> String? {
        if let disconnection { return "the cluster does not answer: \(disconnection)" }
        let live = pods.filter { !$0.isOver }
        if live.contains(where: { PodDiagnosis.reason($0, container: container) == nil }) { return nil }
        if let pod = live.first ?? pods.first { return PodDiagnosis.reason(pod, container: container) }
        return workload.flatMap { PodDiagnosis.reason(workload: $0) } ?? "there is no pod"
    }
}

/// What the pods of a Deployment's revision belong to.
struct WorkloadRevision: Equatable, Sendable {
    let name: String
    let uid: String
}

/// Follows a service's target: the workload, its revisions and its pods, for as long as `run` runs.
///
/// One task runs it, one task reads `next`, which always tells the newest state and skips those in between.
final class WorkloadWatch: Sendable {
    private struct Model {
        var workload: JSON?
        var revisions: [String: JSON] = [:]
        var pods: [String: PodState] = [:]
        var hasWorkload = false
        var hasRevisions = false
        /// The server does not let the revisions be seen.
        var hidesRevisions = false
        var hasPods = false
        var disconnections: [KubeResource: String] = [:]
        var isNew = false
    }

    let target: Target
    private let namespace: String
    private let client: KubeClient
    private let model = Mutex(Model())
    private let news = Gate()

    init(_ client: KubeClient, _ target: Target, namespace: String) {
        self.client = client
        self.target = target
        self.namespace = namespace
    }

    /// The newest state that was not told yet, waiting for one; `nil` when the reader's task is cancelled.
    func next() async -> WorkloadState? {
        while !Task.isCancelled {
            let state: WorkloadState? = model.withLock { model in
                guard model.isNew, let state = WorkloadWatch.state(of: model, target) else { return nil }
                model.isNew = false
                return state
            }
            if let state { return state }
            await news.pass()
        }
        return nil
    }

    /// Watches until the task is cancelled.
    func run() async {
        switch target {
        case .selector(let labels):
            update { model in (model.hasWorkload, model.hasRevisions) = (true, true) }
            await followPods(labels)
        case .workload(let kind, let name): await follow(kind, name)
        }
    }

    private func follow(_ kind: WorkloadKind, _ name: String) async {
        // A pod of its own is its own only pod.
        if kind == .pod { return await followPod(name) }
        let watch = ResourceWatch(
            client, .init(kind.resource, namespace: namespace, fields: "metadata.name=\(name)"))
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            var selector: String?
            var dependents: Task<Void, Never>?
            while let change = await watch.next() {
                switch change {
                case .synced(let objects):
                    update { model in
                        model.workload = objects.first
                        model.hasWorkload = true
                        model.disconnections[kind.resource] = nil
                    }
                case .changed(let object): update { $0.workload = object }
                case .removed: update { $0.workload = nil }
                case .disconnected(let reason, _): update { $0.disconnections[kind.resource] = reason }
                }
                // A workload that was made anew may select other pods.
                guard let wanted = model.withLock({ $0.workload })?.selectorText, wanted != selector else { continue }
                selector = wanted
                dependents?.cancel()
                await dependents?.value
                update { model in
                    (model.revisions, model.pods, model.hasRevisions, model.hasPods) = ([:], [:], false, false)
                    model.hidesRevisions = false
                }
                dependents = Task { await self.followDependents(kind, wanted) }
            }
            dependents?.cancel()
            await dependents?.value
            group.cancelAll()
        }
    }

    private func followPod(_ name: String) async {
        update { ($0.hasRevisions, $0.hasPods) = (true, true) }
        let scope = KubeClient.Scope(.pods, namespace: namespace, fields: "metadata.name=\(name)")
        await follow(scope) { model, change in
            switch change {
            case .synced(let objects): (model.workload, model.hasWorkload) = (objects.first, true)
            case .changed(let object): model.workload = object
            case .removed: model.workload = nil
            case .disconnected: break
            }
            model.pods = model.workload.map { [name: PodState($0)] } ?? [:]
        }
    }

    private func followDependents(_ kind: WorkloadKind, _ labels: String) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.followPods(labels) }
            switch kind {
            case .deployment: group.addTask { await self.followRevisions(.replicaSets, labels) }
            case .daemonset: group.addTask { await self.followRevisions(.controllerRevisions, labels) }
            // Its status names its revision.
            case .statefulset: update { $0.hasRevisions = true }
            // What they run never changes.
            case .job, .pod: update { $0.hasRevisions = true }
            }
        }
    }

    private func followRevisions(_ resource: KubeResource, _ labels: String) async {
        await follow(.init(resource, namespace: namespace, labels: labels)) { model, change in
            switch change {
            case .synced(let objects):
                model.revisions = Dictionary(objects.map { ($0.name, $0) }) { _, last in last }
                (model.hasRevisions, model.hidesRevisions) = (true, false)
            case .changed(let object): model.revisions[object.name] = object
            case .removed(let object): model.revisions[object.name] = nil
            case .disconnected(_, let isRefusal):
                // A small cluster may not know this kind, and a role may not see it: that means all pods.
                if isRefusal, !model.hasRevisions { (model.hasRevisions, model.hidesRevisions) = (true, true) }
            }
        }
    }

    private func followPods(_ labels: String) async {
        await follow(.init(.pods, namespace: namespace, labels: labels)) { model, change in
            switch change {
            case .synced(let objects):
                model.pods = Dictionary(objects.map { ($0.name, PodState($0)) }) { _, last in last }
                model.hasPods = true
            case .changed(let object): model.pods[object.name] = PodState(object)
            case .removed(let object): model.pods[object.name] = nil
            case .disconnected: break
            }
        }
    }

    private func follow(
        _ scope: KubeClient.Scope, _ apply: @escaping @Sendable (inout Model, ResourceChange) -> Void
    ) async {
        let watch = ResourceWatch(client, scope)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await watch.run() }
            while let change = await watch.next() {
                update { model in
                    if case .disconnected(let reason, _) = change {
                        model.disconnections[scope.resource] = reason
                    } else {
                        model.disconnections[scope.resource] = nil
                    }
                    apply(&model, change)
                }
            }
            group.cancelAll()
        }
    }

    private func update(_ change: (inout Model) -> Void) {
        model.withLock { model in
            change(&model)
            model.isNew = true
        }
        news.signal()
    }

    /// What is known, or `nil` while the first lists are still on their way.
    private static func state(of model: Model, _ target: Target) -> WorkloadState? {
        var state = WorkloadState(disconnection: model.disconnections[.pods])
        if case .workload(let kind, _) = target {
            state.disconnection = model.disconnections[kind.resource] ?? state.disconnection
            if !model.hasRevisions, state.disconnection == nil {
                state.disconnection = model.disconnections[.replicaSets] ?? model.disconnections[.controllerRevisions]
            }
            guard model.hasWorkload || state.disconnection != nil else { return nil }
            guard let workload = model.workload else {
                state.isMissing = model.hasWorkload
                return state
            }
            guard model.hasPods && model.hasRevisions || state.disconnection != nil else { return nil }
            state.workload = workload
            if kind == .deployment {
                state.revision = WorkloadPods.revision(workload, Array(model.revisions.values))
                state.awaitsRevision = state.revision == nil && !model.hidesRevisions
            }
            let revisions = model.hidesRevisions ? nil : Array(model.revisions.values)
            state.pods = WorkloadPods.current(
                kind, workload, revisions: revisions, pods: Array(model.pods.values))
            state.outdated = WorkloadPods.outdated(
                workload, revisions: revisions, pods: Array(model.pods.values), current: state.pods)
        } else {
            guard model.hasPods || state.disconnection != nil else { return nil }
            state.pods = model.pods.values.sorted { $0.name < $1.name }
        }
        return state
    }
}

extension JSON {
    /// An object's name.
    fileprivate var name: String { at("metadata", "name")?.string ?? "" }
}

extension KubeClient {
    /// The names of the workloads of a namespace, as `deployment/web`: what there is instead of a missing one.
    func workloadNames(namespace: String) async throws -> [String] {
        var names: [String] = []
        for kind in WorkloadKind.allCases {
            let list = try? await list(.init(kind.resource, namespace: namespace))
            // What another workload has made is no service of its own.
            let own = (list?.items ?? []).filter { kind.rollsOut || $0["metadata"]?.controllerUID == nil }
            names += own.map { "\(kind.rawValue)/\($0.name)" }
        }
        return names
    }
}

extension JSON {
    /// The architecture and operating system of a node, in Kubernetes' names: `amd64`, `linux`.
    var nodePlatform: (architecture: String, system: String) {
        let labels = (self["metadata"] ?? .null).strings("labels")
        let info = at("status", "nodeInfo")
        return (
            labels["kubernetes.io/arch"] ?? info?["architecture"]?.string ?? "amd64",
            labels["kubernetes.io/os"] ?? info?["operatingSystem"]?.string ?? "linux"
        )
    }
}
