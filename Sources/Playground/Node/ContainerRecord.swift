internal import JSON

/// What the pod's status tells about one container.
struct ContainerRecord: Sendable {
    enum Kind: String, Sendable {
        case initial = "initContainers"
        case main = "containers"
        case ephemeral = "ephemeralContainers"
    }

    struct Termination: Sendable, Equatable {
        var exitCode: Int32
        var reason: String
        var message = ""
        var startedAt: Timestamp
        var finishedAt: Timestamp
        var containerID: String

        var json: JSON {
            var json: JSON = ["exitCode": .integer(Int64(exitCode)), "reason": .string(reason)]
            if !message.isEmpty { json["message"] = .string(message) }
            json["startedAt"] = .string(startedAt.description)
            json["finishedAt"] = .string(finishedAt.description)
            if !containerID.isEmpty { json["containerID"] = .string(containerID) }
            return json
        }

        init(
            exitCode: Int32, reason: String, message: String = "", startedAt: Timestamp, finishedAt: Timestamp,
            containerID: String
        ) {
            self.exitCode = exitCode
            self.reason = reason
            self.message = message
            self.startedAt = startedAt
            self.finishedAt = finishedAt
            self.containerID = containerID
        }

        init?(_ json: JSON?) {
            guard let json, let code = json["exitCode"]?.integer.flatMap(Int32.init(exactly:)) else { return nil }
            let epoch = Timestamp(seconds: 0)
            self.init(
                exitCode: code, reason: json["reason"]?.string ?? "", message: json["message"]?.string ?? "",
                startedAt: json["startedAt"]?.string.flatMap { Timestamp($0) } ?? epoch,
                finishedAt: json["finishedAt"]?.string.flatMap { Timestamp($0) } ?? epoch,
                containerID: json["containerID"]?.string ?? "")
        }
    }

    enum State: Sendable, Equatable {
        case waiting(reason: String, message: String = "")
        case running(since: Timestamp)
        case terminated(Termination)

        var json: JSON {
            switch self {
            case .waiting(let reason, let message):
                var waiting: JSON = ["reason": .string(reason)]
                if !message.isEmpty { waiting["message"] = .string(message) }
                return ["waiting": waiting]
            case .running(let since): return ["running": ["startedAt": .string(since.description)]]
            case .terminated(let termination): return ["terminated": termination.json]
            }
        }
    }

    static let scheme = "runc://"

    let kind: Kind
    let spec: JSON
    var state: State
    var last: Termination?
    var restartCount = 0
    var isReady = false
    var isStarted = false
    /// With its scheme; empty before the first start.
    var containerID = ""
    var imageID = ""
    var identity: Identity?
    var backoff = Backoff()

    var name: String { spec["name"]?.string ?? "" }
    var image: String { spec["image"]?.string ?? "" }
    /// A sidecar: an init container that stays.
    var isSidecar: Bool { kind == .initial && spec["restartPolicy"]?.string == "Always" }
    var fieldPath: String { "spec.\(kind.rawValue){\(name)}" }

    init(_ kind: Kind, _ spec: JSON) {
        self.kind = kind
        self.spec = spec
        state = .waiting(reason: kind == .main ? "ContainerCreating" : "PodInitializing")
    }

    /// Whether a regular container's initialization is over for the pod.
    var hasInitialized: Bool {
        if isSidecar { return isStarted }
        if case .terminated(let termination) = state { return termination.exitCode == 0 }
        return false
    }

    var termination: Termination? {
        if case .terminated(let termination) = state { return termination }
        return nil
    }

    var isRunning: Bool {
        if case .running = state { return true }
        return false
    }

    /// The entry in `containerStatuses`, in the order of keys that kubelets write.
    var json: JSON {
        var lastState: JSON = [:]
        if let last { lastState["terminated"] = last.json }
        var json: JSON = [
            "name": .string(name), "state": state.json, "lastState": lastState, "ready": .bool(isReady),
            "restartCount": .integer(Int64(restartCount)), "image": .string(image), "imageID": .string(imageID),
        ]
        if !containerID.isEmpty { json["containerID"] = .string(containerID) }
        if kind != .ephemeral { json["started"] = .bool(isStarted) }
        if !containerID.isEmpty {
            if let requests = spec.at("resources", "requests") { json["allocatedResources"] = requests }
            json["resources"] = spec["resources"] ?? [:]
        }
        if let identity { json["user"] = identity.status }
        return json
    }
}
