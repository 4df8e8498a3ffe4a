import JSON
import Testing

@testable import Playground

@Suite(.timeLimit(.minutes(5)))
struct ControllerTests {
    private static func deployment(_ replicas: Int64, _ change: (inout JSON) -> Void = { _ in }) throws -> JSON {
        var object: JSON = [
            "metadata": ["name": "web"],
            "spec": [
                "replicas": .integer(replicas), "selector": ["matchLabels": ["app": "web"]],
                "template": [
                    "metadata": ["labels": ["app": "web"]],
                    "spec": ["terminationGracePeriodSeconds": 0, "containers": [["name": "c", "image": "web:1"]]],
                ],
            ],
        ]
        change(&object)
        Defaults.begin(&object, .deployment)
        Defaults.apply(to: &object, .deployment)
        return object
    }

    private static func isSettled(_ deployment: JSON?, _ replicas: Int64) -> Bool {
        let status = deployment?["status"]
        return status?["observedGeneration"] == deployment?.at("metadata", "generation")
            && status?["replicas"]?.integer ?? 0 == replicas && status?["updatedReplicas"]?.integer ?? 0 == replicas
            && status?["availableReplicas"]?.integer ?? 0 == replicas && status?["terminatingReplicas"] == 0
    }

    private func setImage(_ image: String, _ api: RunningAPI) throws {
        try api.store.modify(.deployment, "default", "web", part: .spec) { web in
            web["spec"]?["template"]?["spec"]?.editEach("containers") { $0["image"] = .string(image) }
        }
    }

    @Test(
        "shares of replicas round as in Kubernetes",
        arguments: [
            (10, "25%", "25%", 3, 2), (1, "25%", "25%", 1, 0), (4, "0%", "10%", 0, 1), (0, "25%", "25%", 0, 0),
            (3, "100%", "100%", 3, 3),
        ] as [(Int64, String, String, Int, Int)])
    func limits(_ replicas: Int64, _ surge: String, _ unavailable: String, _ more: Int, _ fewer: Int) throws {
        let web = try Self.deployment(replicas) {
            $0["spec"]?["strategy"] = [
                "rollingUpdate": ["maxSurge": .string(surge), "maxUnavailable": .string(unavailable)]
            ]
        }
        #expect(Rollout.limits(web) == (more, fewer))
    }

    @Test("a rolling update never has more or fewer pods than its limits allow")
    func rolling() async throws {
        try await RunningAPI.with { api in
            _ = try api.store.create(.deployment, Self.deployment(4))
            try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 4) }
            let sets = try api.store.watch(.replicaSet)
            let reports = try api.store.watch(.deployment)
            try setImage("web:2", api)
            try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 4) }
            let images = api.store.list(.pod, "default").items.map { $0.at("spec", "containers")?[0]?["image"] }
            #expect(images == ["web:2", "web:2", "web:2", "web:2"])
            // What was asked for at each moment; pods that are on their way out do not count.
            var asked: [String: Int] = [:]
            var most = 0
            sets.stop()
            for try await event in sets {
                asked[event.object.at("metadata", "name")?.string ?? ""] = Rollout.replicas(event.object)
                most = max(most, asked.values.reduce(0, +))
            }
            #expect(most == 5)
            reports.stop()
            for try await event in reports { #expect(Rollout.reported("availableReplicas", event.object) >= 3) }
        }
    }

    @Test("Recreate starts the new pods when the last old one is gone")
    func recreate() async throws {
        try await RunningAPI.with { api in
            _ = try api.store.create(
                .deployment, Self.deployment(2) { $0["spec"]?["strategy"] = ["type": "Recreate"] })
            try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 2) }
            try setImage("web:2", api)
            try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 2) }
            let sets = api.store.list(.replicaSet, "default").items
            #expect(sets.count == 2)
            #expect(sets.map { $0.at("spec", "replicas")?.integer ?? -1 }.sorted() == [0, 2])
        }
    }

    @Test("of old ReplicaSets, as many stay as the history's limit says")
    func history() async throws {
        try await RunningAPI.with { api in
            _ = try api.store.create(.deployment, Self.deployment(1) { $0["spec"]?["revisionHistoryLimit"] = 1 })
            for revision in 1...4 {
                try setImage("web:\(revision)", api)
                try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 1) }
            }
            let store = api.store
            // It is the ReplicaSets' changes that are waited for, whichever goes.
            try await api.wait(for: .replicaSet, "default", "any") { _ in store.list(.replicaSet).items.count <= 2 }
            #expect(store.list(.replicaSet).items.count == 2)
        }
    }

    @Test("a pod that is too large stays pending, in the recorded words", arguments: ["unsched", "pvc"])
    func unschedulable(_ name: String) async throws {
        let recorded = try JSON(parsing: try #require(FileTree.read("\(Recording.folder)/pods/\(name).json")))
        let original = try #require(recorded["items"]?[0])
        try await RunningAPI.with(kubelet: false) { api in
            var pod: JSON = ["metadata": ["name": "p"], "spec": original["spec"] ?? [:]]
            if name == "unsched" {
                pod["spec"]?.editEach("containers") { $0["resources"] = ["requests": ["cpu": "6400"]] }
            }
            Defaults.begin(&pod, .pod)
            Defaults.apply(to: &pod, .pod)
            _ = try api.store.create(.pod, pod)
            try await api.wait(for: .pod, "default", "p") { PodState.condition("PodScheduled", of: $0 ?? [:]) != nil }
            var condition = PodState.condition("PodScheduled", of: api.store.get(.pod, "default", "p") ?? [:])
            var expected = PodState.condition("PodScheduled", of: original)
            condition?["lastTransitionTime"] = nil
            expected?["lastTransitionTime"] = nil
            #expect(condition == expected)
        }
    }

    @Test("what an owner leaves behind is deleted, and kept where it is orphaned")
    func garbage() async throws {
        try await RunningAPI.with { api in
            for policy in ["Background", "Foreground", "Orphan"] {
                _ = try api.store.create(.deployment, Self.deployment(1))
                try await api.wait(for: .deployment, "default", "web") { Self.isSettled($0, 1) }
                let answer = try await api.request(
                    "DELETE", "/apis/apps/v1/namespaces/default/deployments/web?propagationPolicy=\(policy)")
                #expect(answer.status == 200)
                try await api.wait(for: .deployment, "default", "web") { $0 == nil }
                let store = api.store
                if policy == "Orphan" {
                    let set = try #require(store.list(.replicaSet).items.first)
                    #expect(set.at("metadata", "ownerReferences") == nil)
                    #expect(store.list(.pod).items.count == 1)
                } else {
                    let pods = store.list(.pod).items.compactMap { $0.at("metadata", "name")?.string }
                    for pod in pods { try await api.wait(for: .pod, "default", pod) { $0 == nil } }
                    let sets = store.list(.replicaSet).items.compactMap { $0.at("metadata", "name")?.string }
                    for set in sets { try await api.wait(for: .replicaSet, "default", set) { $0 == nil } }
                }
            }
        }
    }

    @Test("a namespace goes with everything that is in it, and takes nothing new meanwhile")
    func namespace() async throws {
        try await RunningAPI.with { api in
            _ = try await api.request("POST", "/api/v1/namespaces", body: ["metadata": ["name": "team"]])
            _ = try api.store.create(.configMap, ["metadata": ["name": "c", "namespace": "team"]])
            try api.store.modify(.configMap, "team", "c") { $0["metadata"]?["finalizers"] = ["example.com/hold"] }
            let answer = try await api.request("DELETE", "/api/v1/namespaces/team")
            #expect(answer.body.at("status", "phase") == "Terminating")
            let refused = try await api.request(
                "POST", "/api/v1/namespaces/team/configmaps", body: ["metadata": ["name": "late"]])
            #expect(refused.status == 403)
            try await api.wait(for: .configMap, "team", "c") { $0?.at("metadata", "deletionTimestamp") != nil }
            try api.store.modify(.configMap, "team", "c") { $0["metadata"]?["finalizers"] = [] }
            try await api.wait(for: .namespace, "", "team") { $0 == nil }
            let kept = try await api.request("DELETE", "/api/v1/namespaces/default")
            #expect(kept.status == 403)
        }
    }
}
