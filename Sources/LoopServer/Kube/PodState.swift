internal import JSON

/// A pod as far as loopd cares: who owns it, where it runs, and what its containers do.
struct PodState: Equatable, Sendable {
    let name: String
    let namespace: String
    let uid: String
    /// `nil` until it is scheduled.
    let node: String?
    let labels: [String: String]
    /// The uid of the controller that made it.
    let owner: String?
    let phase: String
    /// Whether it is being deleted.
    let isTerminating: Bool
    let isReady: Bool
    let containers: [ContainerState]
    let initContainers: [ContainerState]
    /// Why no node takes it.
    let unschedulable: String?
    /// The pod's own reason and message: `Evicted`, `NodeLost`.
    let reason: String?
    let message: String?
    /// How long its processes get to end by themselves.
    let gracePeriod: Duration
    /// The container that the pod names as the usual one.
    let defaultContainer: String?
    /// In the API's form, whose text order is the order of time.
    let created: String
    /// The ConfigMap that a pod in dev mode has its helper from.
    let devProgram: String?
    /// All of it, as the API has it.
    let object: JSON

    init(_ pod: JSON) {
        object = pod
        let status = pod["status"] ?? .null
        let metadata = pod["metadata"] ?? .null
        let spec = pod["spec"] ?? .null
        name = metadata["name"]?.string ?? ""
        namespace = metadata["namespace"]?.string ?? ""
        uid = metadata["uid"]?.string ?? ""
        node = spec["nodeName"]?.string
        labels = metadata.strings("labels")
        owner = metadata.controllerUID
        phase = status["phase"]?.string ?? "Unknown"
        isTerminating = metadata["deletionTimestamp"]?.string != nil
        isReady = status.condition("Ready")?["status"]?.string == "True"
        containers = PodState.containers(spec["containers"], status["containerStatuses"])
        initContainers = PodState.containers(spec["initContainers"], status["initContainerStatuses"])
        let scheduled = status.condition("PodScheduled")
        unschedulable = scheduled?["status"]?.string == "False" ? scheduled?["message"]?.string ?? "" : nil
        reason = status["reason"]?.string
        message = status["message"]?.string
        gracePeriod = .seconds(spec["terminationGracePeriodSeconds"]?.integer ?? 30)
        defaultContainer = metadata.strings("annotations")["kubectl.kubernetes.io/default-container"]
        created = metadata["creationTimestamp"]?.string ?? ""
        let configMaps = (spec["volumes"]?.array ?? []).compactMap { $0.at("configMap", "name")?.string }
        devProgram = configMaps.first(where: ProgramConfigMap.isName)
    }

    private static func containers(_ specs: JSON?, _ statuses: JSON?) -> [ContainerState] {
        (specs?.array ?? []).map { spec in
            let name = spec["name"]?.string
            return ContainerState(spec, statuses?.array?.first { $0["name"]?.string == name } ?? .null)
        }
    }

    /// Whether it has ended for good, or will.
    var isOver: Bool { isTerminating || phase == "Succeeded" || phase == "Failed" }

    /// Every container that runs for as long as the pod does: the main ones, and sidecars among the init containers.
    var lastingContainers: [ContainerState] { containers + initContainers.filter(\.isSidecar) }

    /// The container that a service without `container` means: the only one, or the one that the pod names.
    var usualContainer: String? { containers.count == 1 ? containers[0].name : defaultContainer }

    /// The running instance of a container; `nil` while it does not run, or when the pod is going.
    func instance(of container: String) -> ContainerInstance? {
        guard !isOver, let state = lastingContainers.first(where: { $0.name == container }),
            case .running = state.now,
            let id = state.id, let node
        else { return nil }
        return ContainerInstance(
            id: .init(podUID: uid, containerID: id), namespace: namespace, pod: name, container: container, node: node,
            isInDevMode: state.isInDevMode, gracePeriod: gracePeriod, hasController: owner != nil,
            root: state.root)
    }
}

/// One container of a pod.
struct ContainerState: Equatable, Sendable {
    /// What it does.
    enum Phase: Equatable, Sendable {
        /// Nothing is known yet.
        case unknown
        case waiting(reason: String, message: String)
        case running
        case terminated(Termination)
    }

    /// How a run of it ended.
    struct Termination: Equatable, Sendable {
        let exitCode: Int
        let reason: String
        let message: String
        /// The runtime's id of the run.
        let id: String
        /// In the API's form, as `PodState.created`.
        let startedAt: String
    }

    let name: String
    let image: String
    /// The runtime's id of its present or last run: `containerd://…`.
    let id: String?
    let isReady: Bool
    let restarts: Int
    let now: Phase
    let last: Termination?
    /// When the run began that it is in, or has ended with, in the API's form.
    let startedAt: String?
    /// Whether it is an init container that keeps running beside the others.
    let isSidecar: Bool
    /// Whether loopd's helper is its process 1, which starts the service.
    let isInDevMode: Bool
    /// Where files lie that belong directly into `/`, where dev mode has a volume for them.
    let root: String?
    /// All that the pod says about it.
    let spec: JSON

    init(_ spec: JSON, _ status: JSON) {
        self.spec = spec
        name = spec["name"]?.string ?? ""
        image = spec["image"]?.string ?? ""
        id = status["containerID"]?.string.flatMap { $0.isEmpty ? nil : $0 }
        isReady = status["ready"]?.bool ?? false
        restarts = Int(status["restartCount"]?.integer ?? 0)
        isSidecar = spec["restartPolicy"]?.string == "Always"
        isInDevMode = spec["command"]?.array?.prefix(2) == [.string(HelperProgram.supervisor), "supervise"]
        let mounts = isInDevMode ? spec["volumeMounts"]?.array ?? [] : []
        root = mounts.contains { $0["mountPath"]?.string == SeededVolumes.root } ? SeededVolumes.root : nil
        let state = status["state"]
        if state?["running"]?.object != nil {
            now = .running
        } else if let waiting = state?["waiting"], !waiting.isNull {
            now = .waiting(reason: waiting["reason"]?.string ?? "", message: waiting["message"]?.string ?? "")
        } else if let terminated = state?["terminated"], !terminated.isNull {
            now = .terminated(Termination(terminated))
        } else {
            now = .unknown
        }
        startedAt = (state?.at("running", "startedAt") ?? state?.at("terminated", "startedAt"))?.string
        last = status.at("lastState", "terminated").flatMap { $0.isNull ? nil : Termination($0) }
    }
}

extension ContainerState.Termination {
    init(_ terminated: JSON) {
        exitCode = Int(terminated["exitCode"]?.integer ?? 0)
        reason = terminated["reason"]?.string ?? ""
        message = terminated["message"]?.string ?? ""
        id = terminated["containerID"]?.string ?? ""
        startedAt = terminated["startedAt"]?.string ?? ""
    }
}

extension JSON {
    /// The string values of an object under `key`.
    func strings(_ key: String) -> [String: String] {
        var result: [String: String] = [:]
        for (name, value) in self[key]?.object ?? JSONObject() { result[name] = value.string }
        return result
    }

    /// The condition of a type, in a status.
    func condition(_ type: String) -> JSON? {
        self["conditions"]?.array?.first { $0["type"]?.string == type }
    }

    /// The uid of the owner that controls this object, in its metadata.
    var controllerUID: String? {
        let owners = self["ownerReferences"]?.array ?? []
        return (owners.first { $0["controller"]?.bool == true })?["uid"]?.string
    }
}
