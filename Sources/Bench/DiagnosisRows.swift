internal import Glibc
internal import JSON
internal import Reactor
internal import TestCluster

/// How soon it is told why a workload does not get ready.
enum DiagnosisRows {
    /// A state that a workload does not get out of.
    private struct Failing {
        let container: JSON
        /// The words that tell it.
        let says: String
        /// Whether an object of the API shows it.
        let isShown: @Sendable (JSON) -> Bool
    }

    private static let rounds = 4

    /// From the state in the API, as `kubectl get --watch` has it, to loopd's event.
    static func told() async throws -> [Row] {
        var taken: [Double] = []
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            try scene.project.write("app/file", "content\n")
            let loopd = try await scene.watching()
            let pods = try await ObjectWatch(scene, "pods")
            let events = try await ObjectWatch(scene, "events")
            for round in 1...rounds {
                for (number, state) in states(scene.cluster).enumerated() {
                    // Another revision, which the name of the state alone would not make.
                    let mark = "\(round)-\(number)"
                    let container = state.container.merged(with: ["env": [["name": "ROUND", "value": .string(mark)]]])
                    let place = loopd.log.count
                    async let toldAt = moment {
                        _ = try await loopd.event("failed", from: place, limit: .seconds(60)) {
                            $0["summary"]?.string?.contains(state.says) == true
                        }
                    }
                    try await scene.deploy(Workload(container: container), wait: false)
                    let pod = try await pods.first {
                        $0.at("spec", "containers")?[0]?["env"]?[0]?["value"] == .string(mark)
                    }
                    let uid = pod.object.at("metadata", "uid")
                    let isEvent = state.says.contains("probe")
                    let shown = try await (isEvent ? events : pods).first { object in
                        (isEvent ? object.at("involvedObject", "uid") : object.at("metadata", "uid")) == uid
                            && state.isShown(object)
                    }
                    taken.append((Double(try await toldAt) - Double(shown.at)) / 1e6)
                }
            }
            pods.stop()
            events.stop()
            try await loopd.stop()
        }
        return [
            Row(
                what: "why a workload does not get ready: from the API to loopd's event, p50 / max of \(taken.count)",
                loopd: "\(Figures.time(max(0, taken.median))) / \(Figures.time(max(0, taken.percentile(1))))",
                target: "≤ 2 s", beside: "kubectl rollout status says nothing until its --timeout", ratio: "")
        ]
    }

    private static func moment(_ body: () async throws -> Void) async throws -> UInt64 {
        try await body()
        return now()
    }

    private static func states(_ cluster: Cluster) -> [Failing] {
        func waits(_ reason: String...) -> @Sendable (JSON) -> Bool {
            { pod in
                let waiting = pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason")?.string
                return waiting.map(reason.contains) ?? false
            }
        }
        return [
            Failing(container: ["command": ["sh", "-c", "echo boom >&2; exit 3"]], says: "exited with code 3") { pod in
                let status = pod.at("status", "containerStatuses")?[0]
                return ["state", "lastState"].contains { status?.at($0, "terminated", "exitCode")?.integer == 3 }
            },
            Failing(
                container: ["image": .string("\(cluster.registry)/no/such:dev")], says: "no such image or tag",
                isShown: waits("ErrImagePull", "ImagePullBackOff")),
            Failing(
                container: ["envFrom": [["configMapRef": ["name": "missing"]]]], says: "there is no ConfigMap",
                isShown: waits("CreateContainerConfigError")),
            Failing(
                container: ["command": ["/no/such/binary"]], says: "there is no \"/no/such/binary\"",
                isShown: waits("RunContainerError", "CrashLoopBackOff")),
            Failing(container: ["resources": ["requests": ["cpu": "6400"]]], says: "no node takes it") { pod in
                pod.at("status", "conditions")?.array?.contains { $0["reason"] == "Unschedulable" } == true
            },
            Failing(
                container: ["readinessProbe": ["exec": ["command": ["sh", "-c", "exit 1"]], "periodSeconds": 1]],
                says: "readiness probe fails"
            ) { $0["reason"] == "Unhealthy" },
        ]
    }
}

/// The objects of a namespace as `kubectl get --watch` tells them, with the moments at which it does.
private final class ObjectWatch: Sendable {
    private let lines: TimedLines

    init(_ scene: Scene, _ resource: String) async throws {
        let arguments = ["get", resource, "--watch", "--output-watch-events", "-o", "json"]
        lines = try await TimedLines(scene, arguments) { line in
            (try? JSON(parsing: line))?["object"].map { ["object": $0] }
        }
    }

    /// The first object that is wanted, and when it was told.
    func first(_ isWanted: @escaping @Sendable (JSON) -> Bool) async throws -> (object: JSON, at: UInt64) {
        let found = try await within(.seconds(60), "an object of the API") { [log = lines.log] in
            await log.first(from: 0) { isWanted($0["object"] ?? .null) }
        }
        guard let found, let object = found["object"], let moment = found["at"]?.integer else {
            throw Trouble("kubectl get --watch ended")
        }
        return (object, UInt64(moment))
    }

    func stop() { lines.child.signal(SIGKILL) }
}
