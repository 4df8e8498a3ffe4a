import JSON
@testable import LoopServer
import Testing

@Suite("Every recorded state's cause")
struct RecordedStateTests {
    struct Example: Sendable, CustomTestStringConvertible {
        let state: String
        /// What must be said.
        let words: [String]
        var log: [String: [String]] = [:]
        var testDescription: String { state }
    }

    static let examples = [
        Example(
            state: "crash",
            words: [
                "crash-58bf6bd977-r49zb: container \"crash\" exited with code 3 (restarted 3 times)",
                "\nboom: cannot open config\n", "kubectl logs crash-58bf6bd977-r49zb -n broken -c crash",
            ], log: ["crash": ["starting", "boom: cannot open config"]]),
        Example(
            state: "imagepull",
            words: [
                "node lab cannot pull image localhost:5000/nosuch:dev", "localhost:5000 has no such image or tag",
                "localhost:5000/nosuch:dev: not found", "was it pushed",
            ]),
        Example(
            state: "oom",
            words: [
                "container \"oom\" was killed for using more memory than its limit of 24Mi", "raise resources.limits",
            ]),
        Example(
            state: "noconfig",
            words: ["cannot be created: there is no ConfigMap \"missing-config\"", "create it in namespace broken"]),
        Example(
            state: "unsched",
            words: [
                "no node takes it: 0/1 nodes are available: 1 Insufficient cpu\n",
                "it asks for cpu 64; the most that is free is 1.9 of 2, on node lab", "lower its resources.requests",
            ]),
        Example(
            state: "notready",
            words: [
                "container \"notready\" runs but is not ready: its readiness probe fails (it runs sh)", "\nnot yet\n",
            ]),
        Example(
            state: "nocmd",
            words: [
                "container \"nocmd\" cannot start: there is no \"/no/such/binary\" in the image",
                "stat /no/such/binary: no such file or directory", "correct the command",
            ]),
        Example(
            state: "liveness",
            words: [
                "container \"liveness\" is killed because its liveness probe fails", "the probe says nothing",
                "does it answer in time?",
            ]),
        Example(
            state: "pvc",
            words: [
                "there is no PersistentVolumeClaim \"missing\"", "create it in namespace broken, or correct claimName",
            ]),
        Example(
            state: "initfail",
            words: ["init container \"migrate\" exited with code 1 (restarted 3 times)", "\nmigration failed\n"],
            log: ["migrate": ["migration failed"]]),
        Example(
            state: "quota",
            words: [
                "no pod of deployment/quota can be created: ResourceQuota \"q\" is used up",
                "requested: pods=1, used: pods=0, limited: pods=0", "kubectl describe quota q",
            ]),
        Example(
            state: "pod-security",
            words: [
                "no pod of deployment/psa can be created: Pod Security \"restricted\" refuses it",
                "\nallowPrivilegeEscalation != false (container \"app\" must set "
                    + "securityContext.allowPrivilegeEscalation=false)\n",
                "\nunrestricted capabilities (", "securityContext",
            ]),
    ]

    @Test("is told with what matters and what to do", arguments: examples)
    func cause(_ example: Example) throws {
        var recorded = try RecordedPicture(example.state)
        recorded.logs = example.log
        recorded.room = [try Self.room()]
        let cause = try #require(recorded.cause())
        for words in example.words { #expect(cause.contains(words), "\(cause)") }
        #expect(cause.contains("→ ") && !cause.hasSuffix("→ "), "a next step: \(cause)")
    }

    @Test("a healthy pod has none", arguments: ["running", "readonly"])
    func healthy(state: String) throws {
        let found = try RecordedPicture(state).examine()
        #expect(found == DiagnosisFindings())
    }

    @Test("every recorded state is in this table")
    func completeness() throws {
        let told = Set(Self.examples.map(\.state) + ["running", "readonly", "app"])
        for folder in ["pods/", "deployments/"] {
            let files = RecordingTests.files.filter { $0.hasPrefix(folder) }
            let states = files.map { String($0.dropFirst(folder.count).dropLast(".json".count)) }
            #expect(!states.isEmpty && Set(states).subtracting(told).isEmpty)
        }
    }

    @Test("a state is told without its pod's events, where those may not be seen", arguments: examples)
    func withoutEvents(_ example: Example) throws {
        var recorded = try RecordedPicture(example.state)
        recorded.picture.events = []
        recorded.picture.ages = [recorded.picture.state.pods.first?.uid ?? "": .seconds(60)]
        recorded.logs = example.log
        #expect(recorded.cause() != nil)
    }

    @Test("what is still on its way is none: no state of a rollout that went well has a cause")
    func rollout() throws {
        var seen = 0
        for line in try Recording.lines("watch/pods-during-rollout.jsonl") {
            guard let pod = try JSON(parsing: line)["object"], pod["kind"]?.string == "Pod" else { continue }
            let state = WorkloadState(pods: [PodState(pod)])
            let picture = RolloutPicture(target: .selector("app=app"), namespace: "default", state: state)
            #expect(picture.examine().diagnoses.isEmpty, "\(pod.text)")
            seen += 1
        }
        #expect(seen > 5)
    }

    @Test("the same cause of another pod, or after another restart, is no news; another exit code or error is")
    func news() throws {
        var recorded = try RecordedPicture("crash")
        recorded.logs = ["crash": ["12:00:01 error: no config at 0x7f001"]]
        let first = try #require(recorded.examine().diagnoses.first)
        recorded.setContainer(
            ["waiting": ["reason": "CrashLoopBackOff", "message": "back-off 10s"]],
            last: ["terminated": ["exitCode": 3, "containerID": "containerd://later"]], restarts: 9)
        recorded.changePod { $0["metadata"]?["name"] = "crash-58bf6bd977-other" }
        recorded.logs = ["crash": ["12:09:33 error: no config at 0x7fab2"]]
        #expect(recorded.examine().diagnoses.first?.key == first.key)
        recorded.logs = ["crash": ["12:09:33 error: bad port"]]
        #expect(recorded.examine().diagnoses.first?.key != first.key)
        recorded.logs = ["crash": ["12:00:01 error: no config at 0x7f001"]]
        recorded.setContainer(["terminated": ["exitCode": 4, "containerID": "containerd://later"]])
        #expect(recorded.examine().diagnoses.first?.key != first.key)
    }

    @Test("two pods with one cause are one diagnosis")
    func replicas() throws {
        var recorded = try RecordedPicture("imagepull")
        let pod = recorded.picture.state.pods[0]
        recorded.changePod { $0["metadata"]?["name"] = "imagepull-6fcccf979f-other" }
        recorded.picture.state.pods.append(pod)
        #expect(recorded.examine().diagnoses.count == 1)
    }

    @Test("a controller that has not seen the change yet says nothing about it")
    func unobserved() throws {
        var recorded = try RecordedPicture("quota")
        recorded.picture.state.workload?["metadata"]?["generation"] = 7
        #expect(recorded.cause() == nil)
    }

    @Test("the refusal of an older revision's pods is not this one's")
    func olderRefusal() throws {
        var recorded = try RecordedPicture("quota")
        recorded.picture.state.revision = WorkloadRevision(name: "quota-newer", uid: "u")
        #expect(recorded.cause() == nil)
        recorded.picture.state.revision = WorkloadRevision(name: "quota-854c69c878", uid: "u")
        #expect(recorded.cause() != nil)
    }

    /// The recorded node with little on it.
    static func room() throws -> NodeRoom {
        let node = try #require(try Recording.json("nodes.json")["items"]?[0])
        let other: JSON = [
            "spec": [
                "nodeName": "lab", "containers": [["resources": ["requests": ["cpu": "100m", "memory": "1Gi"]]]],
            ], "status": ["phase": "Running"],
        ]
        return NodeRoom(node, pods: [other])
    }
}
