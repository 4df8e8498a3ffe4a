import JSON
import Testing

@testable import LoopServer

@Suite("Pods that run what was on their node before") struct StalePodsTests {
    private enum Life {
        case waiting
        case running(String)
        case crashing
    }

    private func pod(
        _ name: String, on node: String? = "n1", _ life: Life = .waiting, owner: String? = "set", isGoing: Bool = false
    ) -> PodState {
        var metadata: JSON = ["name": .string(name), "uid": .string("uid-\(name)")]
        if let owner { metadata["ownerReferences"] = [["uid": .string(owner), "controller": true]] }
        if isGoing { metadata["deletionTimestamp"] = "2026-01-31T12:00:00Z" }
        var spec: JSON = ["containers": [["name": "app"]]]
        if let node { spec["nodeName"] = .string(node) }
        var status: JSON = ["name": "app"]
        switch life {
        case .waiting: status["state"] = ["waiting": ["reason": "ContainerCreating"]]
        case .running(let time): status["state"] = ["running": ["startedAt": .string(time)]]
        case .crashing:
            status["state"] = ["waiting": ["reason": "CrashLoopBackOff"]]
            status["lastState"] = ["terminated": ["exitCode": 1, "startedAt": "2026-01-31T12:00:00Z"]]
        }
        return PodState([
            "metadata": metadata, "spec": spec, "status": ["phase": "Running", "containerStatuses": [status]],
        ])
    }

    /// 12:00:10 and a half.
    private let landing = Timestamp(seconds: 1_769_860_810, nanoseconds: 500_000_000)

    private func stale(_ pods: [PodState]) -> StalePods {
        var stale = StalePods()
        #expect(stale.update(pods).isEmpty)
        return stale
    }

    @Test("what runs on the node is stale, and nothing on another one, nothing that goes, nothing twice")
    func running() {
        let early = Life.running("2026-01-31T12:00:00Z")
        let pods = [
            pod("a", early), pod("b", on: "n2", early), pod("c", early, isGoing: true), pod("d", on: nil),
            pod("e", .crashing), pod("f", early, owner: nil),
        ]
        var stale = stale(pods)
        #expect(stale.land(on: "n1", at: landing).map(\.name) == ["a", "e", "f"])
        // The files of a second destination land while the first pods are being deleted; a pod that stays is asked for again.
        #expect(stale.land(on: "n1", at: landing).map(\.name) == ["f"])
        #expect(stale.land(on: "n2", at: landing).map(\.name) == ["b"])
    }

    @Test(
        "a pod that the landing finds starting is judged by when it started",
        arguments: [
            ("2026-01-31T12:00:09Z", true), ("2026-01-31T12:00:10Z", true), ("2026-01-31T12:00:11Z", false),
        ])
    func starting(time: String, isStale: Bool) {
        var stale = stale([pod("a"), pod("b", on: nil)])
        #expect(stale.land(on: "n1", at: landing).isEmpty)
        #expect(stale.update([pod("a")]).isEmpty)
        #expect(stale.update([pod("a", .running(time))]).map(\.name) == (isStale ? ["a"] : []))
        #expect(stale.update([pod("a", .running(time))]).isEmpty)
    }

    @Test("a pod that came after the landing is none of its business")
    func late() {
        var stale = stale([])
        #expect(stale.land(on: "n1", at: landing).isEmpty)
        #expect(stale.update([pod("a", .running("2026-01-31T12:00:09Z"))]).isEmpty)
    }

    @Test("a pod that could not be deleted is tried again with the next landing")
    func kept() {
        let running = pod("a", .running("2026-01-31T12:00:00Z"))
        var stale = stale([running])
        #expect(stale.land(on: "n1", at: landing).count == 1)
        stale.keep(running)
        #expect(stale.land(on: "n1", at: landing).count == 1)
    }

    @Test("a node whose only pod is being replaced still counts for a while, and not for ever")
    func lingers() {
        var nodes = NodeSet()
        let now = ContinuousClock.now
        nodes.update([pod("a"), pod("b", on: "n2"), pod("c", on: nil)], at: now)
        #expect(nodes.names == ["n1", "n2"])
        nodes.update([pod("b", on: "n2")], at: now + .seconds(1))
        #expect(nodes.names == ["n1", "n2"])
        nodes.update([pod("b", on: "n2")], at: now + .seconds(100))
        #expect(nodes.names == ["n2"])
        nodes.clear()
        #expect(nodes.names.isEmpty)
    }
}
