import JSON

@testable import Playground

/// Reports pods as running as soon as they are scheduled, and ends them as soon as they are deleted.
struct StandInKubelet: Sendable {
    let store: ObjectStore
    private let events: EventRecorder

    init(store: ObjectStore) {
        self.store = store
        events = EventRecorder(store: store, component: "kubelet")
    }

    func run() async throws {
        for try await event in try store.watch(.pod) where event.type != .deleted {
            let pod = event.object
            guard pod.at("spec", "nodeName") != nil, let name = pod.at("metadata", "name")?.string,
                let namespace = pod.at("metadata", "namespace")?.string
            else { continue }
            if pod.at("metadata", "deletionTimestamp") != nil {
                _ = try? store.remove(.pod, namespace, name)
            } else if pod.at("status", "phase") == "Pending" {
                _ = try? store.modify(.pod, namespace, name) { $0["status"] = Self.running($0) }
                for (reason, message) in [
                    (
                        "Pulled",
                        "Container image \"localhost:5000/app:1\" already present on machine and can be accessed by the pod"
                    ), ("Created", "Container created"), ("Started", "Container started"),
                ] {
                    events.record(pod, .pod, reason: reason, message: message)
                }
            }
        }
    }

    static func running(_ pod: JSON) -> JSON {
        let now = JSON.string(Timestamp.now.description)
        let conditions = ["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled"].map {
            [
                "type": .string($0), "observedGeneration": 1, "status": "True", "lastProbeTime": nil,
                "lastTransitionTime": now,
            ] as JSON
        }
        let containers = (pod.at("spec", "containers")?.array ?? []).map { container in
            let image = container["image"]?.string ?? ""
            let name = image.split(separator: ":").dropLast().joined(separator: ":")
            return [
                "name": container["name"] ?? "", "state": ["running": ["startedAt": now]], "lastState": [:],
                "ready": true, "restartCount": 0, "image": .string(image),
                "imageID": .string("\(name)@sha256:45dac650ef4550aee4587debbe4751f10a8a11330d17070227648bf6ea2396b9"),
                "containerID": "containerd://281a4d23c7df178740b0cd839d53827af2c869fac3ef6e429fda60c41edbda9a",
                "started": true,
            ] as JSON
        }
        return [
            "observedGeneration": 1, "phase": "Running", "conditions": .array(conditions), "hostIP": "127.0.0.1",
            "podIP": "127.0.0.1", "podIPs": [["ip": "127.0.0.1"]], "startTime": now,
            "containerStatuses": .array(containers), "qosClass": pod.at("status", "qosClass") ?? "BestEffort",
        ]
    }
}
