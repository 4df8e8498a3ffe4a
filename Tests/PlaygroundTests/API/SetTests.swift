import JSON
import Reactor
import Testing

@testable import Playground

/// StatefulSets and DaemonSets, as kubectl and other clients meet them.
@Suite(.timeLimit(.minutes(5)))
struct SetTests {
    private static func manifest(_ kind: String, image: String = "app:1", _ spec: String = "") -> String {
        """
        {"apiVersion":"apps/v1","kind":"\(kind)","metadata":{"name":"db"},"spec":{\(spec)\
        "selector":{"matchLabels":{"app":"db"}},"template":{"metadata":{"labels":{"app":"db"}},\
        "spec":{"terminationGracePeriodSeconds":0,"containers":[{"name":"c","image":"\(image)"}]}}}}
        """
    }

    /// Waits until a StatefulSet is rolled out to `replicas` pods.
    private func settle(_ api: RunningAPI, _ replicas: Int64) async throws {
        try await api.wait(for: .statefulSet, "default", "db") { set in
            let status = set?["status"]
            return status?["observedGeneration"] == set?.at("metadata", "generation")
                && status?["replicas"]?.integer == replicas && status?["readyReplicas"]?.integer ?? 0 == replicas
                && status?["updatedReplicas"]?.integer ?? 0 == replicas
                && status?["currentRevision"] == status?["updateRevision"]
        }
    }

    private func settleDaemons(_ api: RunningAPI) async throws {
        try await api.wait(for: .daemonSet, "default", "db") { set in
            let status = set?["status"]
            return status?["observedGeneration"] == set?.at("metadata", "generation")
                && status?["desiredNumberScheduled"] == 1 && status?["updatedNumberScheduled"] == 1
                && status?["numberAvailable"] == 1
        }
    }

    private func names(_ api: RunningAPI) -> [String] {
        api.store.list(.pod, "default").items.compactMap { $0.at("metadata", "name")?.string }.sorted()
    }

    @Test(
        "the recorded objects come out as they were recorded",
        arguments: [(ResourceKind.statefulSet, "statefulset"), (.daemonSet, "daemonset")])
    func recorded(_ kind: ResourceKind, _ file: String) async throws {
        let recorded = try JSON(parsing: try #require(FileTree.read("\(Recording.folder)/objects/\(file).json")))
        let applied = recorded.at("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
        let given = try JSON(parsing: try #require(applied?.string))
        let name = try #require(recorded.at("metadata", "name")?.string)
        try await RunningAPI.with { api in
            _ = try await api.request("POST", "/api/v1/namespaces", body: ["metadata": ["name": "broken"]])
            let answer = try await api.request(
                "POST", "/apis/apps/v1/namespaces/broken/\(kind.plural)", body: given)
            #expect(answer.status == 201)
            #expect(answer.body["spec"]?.text == recorded["spec"]?.text)
            try await api.wait(for: kind, "broken", name) { set in
                let status = set?["status"]
                return (status?["availableReplicas"] ?? status?["numberAvailable"]) == 1
                    && status?["observedGeneration"] == 1
            }
            let set = try #require(api.store.get(kind, "broken", name))
            var status = try #require(set["status"])
            var expected = try #require(recorded["status"])
            // The hash is not Kubernetes' own.
            for field in ["currentRevision", "updateRevision"] where expected[field] != nil {
                #expect(status[field]?.string?.hasPrefix("\(name)-") == true)
                (status[field], expected[field]) = ("", "")
            }
            #expect(status.text == expected.text)
            let generation = "deprecated.daemonset.template.generation"
            #expect(
                set.at("metadata", "annotations", generation) == recorded.at("metadata", "annotations", generation))
        }
    }

    @Test("discovery names them as recorded, without the hashes of their storage")
    func discovery() async throws {
        let recorded = try JSON(parsing: try #require(FileTree.read("\(Recording.folder)/apis-apps-v1.json")))
        try await RunningAPI.with { api in
            let answer = try await api.request("GET", "/apis/apps/v1")
            let entries = (recorded["resources"]?.array ?? []).map { entry in
                var entry = entry
                entry["storageVersionHash"] = nil
                return entry
            }
            #expect(
                Set((answer.body["resources"]?.array ?? []).map(\.canonicalText)) == Set(entries.map(\.canonicalText)))
        }
    }

    @Test("kubectl works with a StatefulSet", .enabled(if: RunningAPI.hasKubectl))
    func statefulSet() async throws {
        try await RunningAPI.with { api in
            let replicas = #""replicas":2,"serviceName":"db","#
            let applied = try await api.kubectl("apply", "-f", "-", input: Self.manifest("StatefulSet", replicas))
            #expect(applied.text == "statefulset.apps/db created\n")
            try await settle(api, 2)
            #expect(names(api) == ["db-0", "db-1"])
            let pod = try #require(api.store.get(.pod, "default", "db-1"))
            #expect(pod.at("spec", "hostname") == "db-1")
            #expect(pod.at("spec", "subdomain") == "db")
            #expect(pod.at("metadata", "labels", "apps.kubernetes.io/pod-index") == "1")
            let set = try #require(api.store.get(.statefulSet, "default", "db"))
            #expect(pod.at("metadata", "labels", "controller-revision-hash") == set.at("status", "updateRevision"))
            let status = try await api.kubectl("rollout", "status", "sts/db")
            #expect(status.text.contains("roll out complete: 2 new pods have been updated"), "\(status.text)")
            let table = try await api.kubectl("get", "sts", "-o", "wide")
            #expect(
                table.text.split(separator: "\n").first?.split(separator: " ").map(String.init)
                    == ["NAME", "READY", "AGE", "CONTAINERS", "IMAGES"])
            #expect(table.text.contains("2/2"))
            let described = try await api.kubectl("describe", "sts", "db")
            #expect(described.status == .exited(0), "\(described.errorText)")
            #expect(described.text.contains("create Pod db-0 in StatefulSet db successful"))

            let first = api.store.get(.pod, "default", "db-0")?.at("metadata", "uid")
            #expect(try await api.kubectl("set", "image", "sts/db", "c=app:2").status == .exited(0))
            try await settle(api, 2)
            #expect(api.store.get(.pod, "default", "db-0")?.at("metadata", "uid") != first)
            let history = try await api.kubectl("rollout", "history", "sts/db")
            #expect(history.text.contains("\n1 ") && history.text.contains("\n2 "), "\(history.text)")
            let undone = try await api.kubectl("rollout", "undo", "sts/db")
            #expect(undone.text == "statefulset.apps/db rolled back\n", "\(undone.errorText)")
            try await settle(api, 2)
            #expect(api.store.get(.pod, "default", "db-1")?.at("spec", "containers")?[0]?["image"] == "app:1")
            #expect(api.store.list(.controllerRevision).items.count == 2)
            #expect(try await api.kubectl("rollout", "restart", "sts/db").status == .exited(0))
            try await settle(api, 2)
            #expect(try await api.kubectl("scale", "sts/db", "--replicas=1").status == .exited(0))
            try await settle(api, 1)
            #expect(names(api) == ["db-0"])
            #expect(try await api.kubectl("delete", "sts", "db", "--cascade=foreground").status == .exited(0))
            #expect(names(api) == [])
            #expect(api.store.list(.controllerRevision).items.isEmpty)
        }
    }

    @Test("kubectl works with a DaemonSet", .enabled(if: RunningAPI.hasKubectl))
    func daemonSet() async throws {
        try await RunningAPI.with { api in
            let applied = try await api.kubectl("apply", "-f", "-", input: Self.manifest("DaemonSet"))
            #expect(applied.text == "daemonset.apps/db created\n")
            try await settleDaemons(api)
            let pod = try #require(api.store.list(.pod).items.first)
            let revision = try #require(api.store.list(.controllerRevision).items.first)
            let hash = pod.at("metadata", "labels", "controller-revision-hash")
            #expect(hash == revision.at("metadata", "labels", "controller-revision-hash"))
            #expect(revision.at("metadata", "name")?.string == "db-\(hash?.string ?? "")")
            let table = try await api.kubectl("get", "ds")
            #expect(
                table.text.split(separator: "\n").last?.split(separator: " ").dropLast().map(String.init)
                    == ["db", "1", "1", "1", "1", "1", "<none>"], "\(table.text)")
            let described = try await api.kubectl("describe", "ds", "db")
            #expect(described.text.contains("Created pod: db-"), "\(described.errorText)")
            #expect(try await api.kubectl("set", "image", "ds/db", "c=app:2").status == .exited(0))
            try await settleDaemons(api)
            let status = try await api.kubectl("rollout", "status", "ds/db")
            #expect(status.text.contains("successfully rolled out"), "\(status.text)")
            let again = try await api.kubectl("apply", "-f", "-", input: Self.manifest("DaemonSet", image: "app:2"))
            #expect(again.text == "daemonset.apps/db configured\n")
            let undone = try await api.kubectl("rollout", "undo", "ds/db")
            #expect(undone.text == "daemonset.apps/db rolled back\n", "\(undone.errorText)")
            try await settleDaemons(api)
            #expect(api.store.list(.pod).items.first?.at("spec", "containers")?[0]?["image"] == "app:1")
            let set = api.store.get(.daemonSet, "default", "db")
            #expect(set.flatMap(TemplateGeneration.of) == "3")
            #expect(try await api.kubectl("rollout", "restart", "ds/db").status == .exited(0))
            try await settleDaemons(api)
            let history = try await api.kubectl("rollout", "history", "ds/db")
            #expect(history.text.contains("\n4 "), "\(history.text)")
            #expect(try await api.kubectl("delete", "ds", "db", "--cascade=orphan").status == .exited(0))
            #expect(names(api).count == 1)
        }
    }

    @Test("OnDelete replaces a pod when somebody deletes it", arguments: ["StatefulSet", "DaemonSet"])
    func onDelete(_ kind: String) async throws {
        try await RunningAPI.with { api in
            let plural = kind.lowercased() + "s"
            let path = "/apis/apps/v1/namespaces/default/\(plural)"
            let given = try JSON(parsing: Self.manifest(kind, #""updateStrategy":{"type":"OnDelete"},"#))
            #expect(try await api.request("POST", path, body: given).status == 201)
            if kind == "StatefulSet" { try await settle(api, 1) } else { try await settleDaemons(api) }
            let old = try #require(names(api).first)
            let served: ResourceKind = kind == "StatefulSet" ? .statefulSet : .daemonSet
            try api.store.modify(served, "default", "db", part: .spec) { set in
                set["spec"]?["template"]?["spec"]?.editEach("containers") { $0["image"] = "app:2" }
            }
            try await api.wait(for: served, "default", "db") { $0?.at("status", "observedGeneration") == 2 }
            #expect(api.store.get(.pod, "default", old)?.at("metadata", "deletionTimestamp") == nil)
            let uid = api.store.get(.pod, "default", old)?.at("metadata", "uid")
            try api.store.delete(.pod, "default", old)
            let store = api.store
            try await api.wait(for: .pod, "default", old) { _ in
                let pods = store.list(.pod, "default").items
                return pods.count == 1 && pods[0].at("metadata", "uid") != uid && PodState.isReady(pods[0])
            }
            #expect(store.list(.pod).items.first?.at("spec", "containers")?[0]?["image"] == "app:2")
        }
    }

    @Test("a DaemonSet's pod goes onto a cordoned node")
    func cordon() async throws {
        try await RunningAPI.with { api in
            let node = try #require(api.store.list(.node).items.first?.at("metadata", "name")?.string)
            try api.store.modify(.node, nil, node) { $0["spec"]?["unschedulable"] = true }
            let path = "/apis/apps/v1/namespaces/default/daemonsets"
            let given = try JSON(parsing: Self.manifest("DaemonSet"))
            #expect(try await api.request("POST", path, body: given).status == 201)
            try await settleDaemons(api)
        }
    }

    @Test("of old revisions, as many stay as the history's limit says")
    func history() async throws {
        try await RunningAPI.with { api in
            let path = "/apis/apps/v1/namespaces/default/statefulsets"
            let given = try JSON(parsing: Self.manifest("StatefulSet", #""revisionHistoryLimit":1,"#))
            #expect(try await api.request("POST", path, body: given).status == 201)
            for revision in 2...4 {
                try api.store.modify(.statefulSet, "default", "db", part: .spec) { set in
                    set["spec"]?["template"]?["spec"]?.editEach("containers") {
                        $0["image"] = .string("app:\(revision)")
                    }
                }
                try await settle(api, 1)
            }
            let store = api.store
            // It is the revisions' changes that are waited for, whichever goes.
            try await api.wait(for: .controllerRevision, "default", "any") { _ in
                store.list(.controllerRevision).items.compactMap { $0["revision"]?.integer }.sorted() == [3, 4]
            }
        }
    }

    @Test(
        "what is wrong with them is said in Kubernetes' words",
        arguments: [
            (
                "StatefulSet", #""volumeClaimTemplates":[{"metadata":{"name":"data"}}],"#,
                "the playground does not serve PersistentVolumeClaim objects yet"
            ),
            ("StatefulSet", #""podManagementPolicy":"Any","#, "must be 'OrderedReady' or 'Parallel'"),
            ("StatefulSet", #""updateStrategy":{"type":"Recreate"},"#, "must be 'RollingUpdate' or 'OnDelete'"),
            (
                "DaemonSet", #""updateStrategy":{"rollingUpdate":{"maxUnavailable":0}},"#,
                "cannot be 0 when maxSurge is 0"
            ),
            (
                "DaemonSet", #""updateStrategy":{"rollingUpdate":{"maxSurge":1}},"#,
                "may not be set when maxUnavailable is non-zero"
            ),
            ("DaemonSet", #""updateStrategy":{"type":"Recreate"},"#, #"supported values: "RollingUpdate", "OnDelete""#),
        ])
    func mistakes(_ kind: String, _ spec: String, _ words: String) async throws {
        try await RunningAPI.with { api in
            let path = "/apis/apps/v1/namespaces/default/\(kind.lowercased())s"
            let answer = try await api.request("POST", path, body: try JSON(parsing: Self.manifest(kind, spec)))
            #expect(answer.status == 422)
            #expect(answer.body["message"]?.string?.contains(words) == true, "\(answer.body)")
        }
    }

    @Test("a StatefulSet's service cannot change")
    func immutable() async throws {
        try await RunningAPI.with { api in
            let path = "/apis/apps/v1/namespaces/default/statefulsets"
            var set = try JSON(parsing: Self.manifest("StatefulSet"))
            #expect(try await api.request("POST", path, body: set).status == 201)
            set["spec"]?["serviceName"] = "other"
            let answer = try await api.request("PUT", "\(path)/db", body: set)
            #expect(answer.status == 422)
            #expect(
                answer.body["message"]?.string?.contains("updates to statefulset spec for fields other than") == true)
        }
    }
}

extension JSON {
    fileprivate var canonicalText: String { Rollout.canonical(self).text }
}
