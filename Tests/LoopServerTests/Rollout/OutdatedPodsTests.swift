import JSON
import Testing

@testable import LoopServer

@Suite("Pods of a workload that leaves their deletion to others")
struct OutdatedPodsTests {
    private static func pod(_ name: String, ready: Bool = true, leaving: Bool = false) -> PodState {
        var pod: JSON = [
            "metadata": ["name": .string(name), "uid": .string("uid-\(name)")],
            "status": ["conditions": [["type": "Ready", "status": ready ? "True" : "False"]]],
        ]
        if leaving { pod["metadata"]?["deletionTimestamp"] = "2026-11-21T00:40:11Z" }
        return PodState(pod)
    }

    private static func state(
        _ new: [PodState], _ old: [PodState], type: String = "OnDelete", observed: Int64 = 2
    ) -> WorkloadState {
        WorkloadState(
            workload: [
                "metadata": ["generation": 2],
                "spec": ["replicas": 3, "updateStrategy": ["type": .string(type)]],
                "status": ["observedGeneration": .integer(observed)],
            ], pods: new, outdated: old)
    }

    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let state: WorkloadState
        var gone: Set<String> = []
        let next: String?
    }

    @Test(
        "one goes after the other, and never before the one before it has been followed by a ready one",
        arguments: [
            Case(
                testDescription: "the last one first",
                state: state([], [pod("a"), pod("b"), pod("c")]), next: "c"),
            Case(
                testDescription: "not while one goes",
                state: state([], [pod("a"), pod("b"), pod("c", leaving: true)]), next: nil),
            Case(
                testDescription: "not while one is missing", state: state([], [pod("a"), pod("b")]), next: nil),
            Case(
                testDescription: "not while the new one starts",
                state: state([pod("c", ready: false)], [pod("a"), pod("b")]), next: nil),
            Case(
                testDescription: "when the new one is ready", state: state([pod("c")], [pod("a"), pod("b")]), next: "b"
            ),
            Case(
                testDescription: "one that is not ready goes at once",
                state: state([pod("c", ready: false)], [pod("a", ready: false), pod("b")]), next: "a"),
            Case(
                testDescription: "one that was deleted and is still seen is not deleted twice",
                state: state([], [pod("a"), pod("b"), pod("c")]), gone: ["uid-c"], next: nil),
            Case(testDescription: "none is left", state: state([pod("a"), pod("b"), pod("c")], []), next: nil),
            Case(
                testDescription: "not before the controller has seen the change",
                state: state([], [pod("a"), pod("b"), pod("c")], observed: 1), next: nil),
            Case(
                testDescription: "never where the controller does it",
                state: state([], [pod("a"), pod("b"), pod("c")], type: "RollingUpdate"), next: nil),
        ])
    func order(_ test: Case) {
        #expect(OutdatedPods.next(test.state, gone: test.gone)?.name == test.next)
    }

    @Test("a Job is up to date when its pods are ready, and when it has succeeded; a pod likewise")
    func done() {
        func job(_ status: JSON, _ spec: JSON = ["parallelism": 2, "completions": 3]) -> Bool {
            Rollout.isDone(.job, ["spec": spec, "status": status])
        }
        #expect(!job([:]))
        #expect(!job(["active": 2, "ready": 1]))
        #expect(job(["active": 2, "ready": 2]))
        #expect(job(["active": 1, "ready": 1, "succeeded": 2]))
        #expect(job(["conditions": [["type": "Complete", "status": "True"]]]))
        #expect(!job(["conditions": [["type": "Failed", "status": "True"]]]))
        #expect(Rollout.isDone(.pod, ["status": ["phase": "Succeeded"]]))
        #expect(!Rollout.isDone(.pod, ["status": ["phase": "Running"]]))
        #expect(Rollout.isDone(.pod, ["status": ["conditions": [["type": "Ready", "status": "True"]]]]))
    }
}
