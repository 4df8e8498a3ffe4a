import JSON
import Testing

@testable import LoopServer

@Suite("How long a rollout may take") struct RolloutPatienceTests {
    @Test(
        "what the workload itself says, but two minutes at least; no limit of its own is the usual one",
        arguments: [
            (.deployment, [:], 600), (.deployment, ["progressDeadlineSeconds": 30], 120),
            (.deployment, ["progressDeadlineSeconds": 1800], 1800),
            (.deployment, ["progressDeadlineSeconds": 2_147_483_647], 600),
            (.deployment, ["progressDeadlineSeconds": 1800, "paused": true], 120), (.statefulset, [:], 600),
            (.daemonset, [:], 600), (.job, [:], 600), (.pod, nil, 120),
        ] as [(WorkloadKind, JSON?, Int64)])
    func limits(kind: WorkloadKind, spec: JSON?, seconds: Int64) {
        let workload: JSON? = spec.map { ["spec": $0] }
        #expect(RolloutPatience.limit(.workload(kind, name: "x"), workload) == .seconds(seconds))
        #expect(RolloutPatience.limit(.selector("a=b"), workload) == .seconds(120))
    }

    private static func deployment(_ condition: JSON, generation: Int64 = 1, observed: Int64 = 1) -> WorkloadState {
        WorkloadState(workload: [
            "metadata": ["generation": .integer(generation)], "spec": ["progressDeadlineSeconds": 7],
            "status": ["observedGeneration": .integer(observed), "conditions": [condition]],
        ])
    }

    private static func exceeded(_ time: String) -> JSON {
        [
            "type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded",
            "lastUpdateTime": .string(time),
        ]
    }

    @Test("a Deployment is given up when its controller has, and not for what an earlier rollout has left")
    func deadline() {
        var patience = RolloutPatience(.workload(.deployment, name: "web"))
        let going: JSON = ["type": "Progressing", "status": "True", "reason": "ReplicaSetUpdated"]
        #expect(patience.end(Self.deployment(going)) == nil)
        #expect(patience.end(Self.deployment(Self.exceeded("1"), generation: 2)) == nil)
        #expect(
            patience.end(Self.deployment(Self.exceeded("1")))
                == "has made no progress for 7 s, its progressDeadlineSeconds")
        var later = RolloutPatience(.workload(.deployment, name: "web"))
        #expect(later.end(Self.deployment(Self.exceeded("1"), generation: 2)) == nil)
        #expect(later.end(Self.deployment(Self.exceeded("1"), generation: 2, observed: 2)) == nil)
        #expect(later.end(Self.deployment(Self.exceeded("2"), generation: 2, observed: 2)) != nil)
    }

    @Test("of a Job and a pod that have failed nothing comes")
    func failed() {
        var job = RolloutPatience(.workload(.job, name: "once"))
        #expect(job.end(WorkloadState(workload: ["status": ["conditions": []]])) == nil)
        let failed: JSON = ["status": ["conditions": [["type": "Failed", "status": "True"]]]]
        #expect(job.end(WorkloadState(workload: failed)) == "has failed")
        #expect(job.end(WorkloadState(workload: failed, disconnection: "gone")) == nil)
        var pod = RolloutPatience(.workload(.pod, name: "bare"))
        #expect(pod.end(WorkloadState(workload: ["status": ["phase": "Running"]])) == nil)
        #expect(pod.end(WorkloadState(workload: ["status": ["phase": "Failed"]])) == "has failed")
    }
}
