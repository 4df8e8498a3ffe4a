import JSON
import Testing

@testable import Playground

/// What StatefulSets and DaemonSets do next, from what there is.
@Suite struct SetPlanTests {
    private static func pod(_ name: String, _ revision: String, _ state: String = "ready") -> JSON {
        var pod: JSON = [
            "metadata": ["name": .string(name), "labels": ["controller-revision-hash": .string(revision)]],
            "spec": ["nodeName": "one"], "status": ["phase": "Running"],
        ]
        switch state {
        case "ready": pod["status"]?["conditions"] = [["type": "Ready", "status": "True"]]
        case "leaving": pod["metadata"]?["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        case "failed": pod["status"] = ["phase": "Failed"]
        default: break
        }
        return pod
    }

    struct Ordered: Sendable, CustomTestStringConvertible {
        let what: String
        var spec: JSON = [:]
        var replicas: Int64 = 3
        let pods: [(Int, String, String)]
        let steps: [StatefulSetPlan.Step]
        var testDescription: String { what }
    }

    private static let rolled: JSON = ["updateStrategy": ["type": "RollingUpdate", "rollingUpdate": ["partition": 0]]]
    private static let partitioned: JSON = [
        "updateStrategy": ["type": "RollingUpdate", "rollingUpdate": ["partition": 2]]
    ]
    private static let parallel: JSON = [
        "podManagementPolicy": "Parallel", "updateStrategy": ["type": "RollingUpdate"],
    ]

    private static let cases: [Ordered] = [
        Ordered(what: "the first pod alone", pods: [], steps: [.create(0, isNewest: true)]),
        Ordered(what: "waits for one that is not ready", pods: [(0, "b", "starting")], steps: []),
        Ordered(what: "then the next", pods: [(0, "b", "ready")], steps: [.create(1, isNewest: true)]),
        Ordered(
            what: "all at once in parallel", spec: parallel, pods: [(1, "b", "starting")],
            steps: [.create(0, isNewest: true), .create(2, isNewest: true)]),
        Ordered(what: "a failed one is made anew", pods: [(0, "b", "failed")], steps: [.delete("db-0")]),
        Ordered(
            what: "the last goes first", replicas: 1, pods: [(0, "b", "ready"), (1, "b", "ready"), (2, "b", "ready")],
            steps: [.delete("db-2")]),
        Ordered(
            what: "even where one below it is not well", replicas: 1,
            pods: [(0, "b", "ready"), (1, "b", "starting"), (2, "b", "ready")], steps: [.delete("db-2")]),
        Ordered(
            what: "and the others wait until it is gone", replicas: 1,
            pods: [(0, "b", "ready"), (1, "b", "ready"), (2, "b", "leaving")], steps: []),
        Ordered(
            what: "an update begins at the end", spec: rolled,
            pods: [(0, "a", "ready"), (1, "a", "ready"), (2, "a", "ready")], steps: [.delete("db-2")]),
        Ordered(
            what: "and goes on below what is ready", spec: rolled,
            pods: [(0, "a", "ready"), (1, "a", "ready"), (2, "b", "ready")], steps: [.delete("db-1")]),
        Ordered(
            what: "down to the partition", spec: partitioned,
            pods: [(0, "a", "ready"), (1, "a", "ready"), (2, "b", "ready")], steps: []),
        Ordered(
            what: "below the partition, pods come back as they were", spec: partitioned,
            pods: [(0, "a", "ready"), (2, "b", "ready")], steps: [.create(1, isNewest: false)]),
        Ordered(
            what: "OnDelete leaves them", spec: ["updateStrategy": ["type": "OnDelete"]],
            pods: [(0, "a", "ready"), (1, "a", "ready"), (2, "a", "ready")], steps: []),
        Ordered(
            what: "a parallel update replaces one at a time too", spec: parallel,
            pods: [(0, "a", "ready"), (1, "a", "ready"), (2, "b", "starting")], steps: []),
    ]

    @Test("a StatefulSet's next steps", arguments: cases)
    func statefulSet(_ test: Ordered) {
        var set: JSON = ["metadata": ["name": "db"], "spec": test.spec]
        set["spec"]?["replicas"] = .integer(test.replicas)
        var pods: [Int: JSON] = [:]
        for (ordinal, revision, state) in test.pods { pods[ordinal] = Self.pod("db-\(ordinal)", revision, state) }
        if set.at("spec", "updateStrategy") == nil { set["spec"]?["updateStrategy"] = ["type": "RollingUpdate"] }
        #expect(StatefulSetPlan.steps(set, pods, newest: "b", at: .now) == test.steps)
    }

    @Test(
        "an ordinal is a number in its shortest form",
        arguments: [("db-0", 0), ("db-12", 12), ("db-01", nil), ("db-x", nil), ("db--1", nil), ("other-1", nil)])
    func ordinal(_ name: String, _ ordinal: Int?) {
        let set: JSON = ["metadata": ["name": "db"]]
        #expect(StatefulSetPlan.ordinal(of: ["metadata": ["name": .string(name)]], in: set) == ordinal)
    }

    @Test(
        "a DaemonSet's next steps on one node",
        arguments: [
            ("RollingUpdate", 1, 0, [], [.create("one")]),
            ("RollingUpdate", 1, 0, [("a", "ready")], [.delete("p0")]),
            ("RollingUpdate", 1, 0, [("a", "leaving")], []),
            ("RollingUpdate", 1, 0, [("b", "starting")], []),
            ("RollingUpdate", 1, 0, [("b", "failed")], [.delete("p0")]),
            ("RollingUpdate", 1, 0, [("b", "ready"), ("b", "ready")], [.delete("p1")]),
            ("OnDelete", 1, 0, [("a", "ready")], []),
            ("RollingUpdate", 0, 1, [("a", "ready")], [.create("one")]),
            ("RollingUpdate", 0, 1, [("a", "starting")], [.delete("p0")]),
            ("RollingUpdate", 0, 1, [("a", "ready"), ("b", "starting")], []),
            ("RollingUpdate", 0, 1, [("a", "ready"), ("b", "ready")], [.delete("p0")]),
        ] as [(String, Int64, Int64, [(String, String)], [DaemonPods.Step])])
    func daemonSet(
        _ strategy: String, _ unavailable: Int64, _ surge: Int64, _ pods: [(String, String)],
        _ steps: [DaemonPods.Step]
    ) {
        let set: JSON = [
            "spec": [
                "updateStrategy": [
                    "type": .string(strategy),
                    "rollingUpdate": ["maxUnavailable": .integer(unavailable), "maxSurge": .integer(surge)],
                ], "template": ["spec": [:]],
            ]
        ]
        let plan = DaemonPods(set: set, newest: "b", now: .now)
        let there = pods.enumerated().map { Self.pod("p\($0)", $1.0, $1.1) }
        #expect(plan.steps(nodes: [["metadata": ["name": "one"]]], pods: there) == steps)
    }

    @Test("a DaemonSet leaves nodes that its pods do not select")
    func nodeSelector() {
        let set: JSON = ["spec": ["template": ["spec": ["nodeSelector": ["disk": "ssd"]]]]]
        let plan = DaemonPods(set: set, newest: "b", now: .now)
        let node: JSON = ["metadata": ["name": "one", "labels": ["disk": "hdd"]]]
        #expect(plan.steps(nodes: [node], pods: [Self.pod("p", "b")]) == [.delete("p")])
    }
}
