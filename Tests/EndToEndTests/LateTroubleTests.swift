import JSON
import Reactor
import TestCluster
import Testing

@Suite("What keeps a workload that was ready, or partly is, from being so", .turn) struct LateTroubleTests {
    private func text(_ failure: JSON) -> String {
        let details = (failure["details"]?.array ?? []).compactMap(\.string)
        return ([failure["summary"]?.string ?? ""] + details).joined(separator: "\n")
    }

    @Test("a program without a probe that ends after its start has one cause, and is told to be well again")
    func lateCrash() async throws {
        try await Scene.run { scene in
            let (volume, mount) = Workload.emptyDir("files", at: "/srv/app")
            let script = "echo up; sleep 4; test -e /srv/app/table && exec sleep 1000; echo boom: no table >&2; exit 3"
            let base = try await TestImage.shell.name(on: scene.cluster)
            let image: JSON = ["name": "app", "base": .string(base), "to": "/srv/image"]
            try scene.project.configure(
                scene.configuration(
                    [
                        "app": [
                            "workload": "deployment/app",
                            "rules": [
                                ["watch": ["app/**"], "sync": ["to": "/srv/app"]],
                                ["watch": ["image/**"], "image": image],
                            ],
                        ]
                    ], merging: ["registry": .string(scene.cluster.registry)]))
            try scene.project.write("app/a", "1")
            try scene.project.write("image/a", "1")
            try await scene.deploy(
                Workload(
                    container: ["command": ["sh", "-c", .string(script)], "volumeMounts": [mount]],
                    pod: ["volumes": [volume]]), wait: false)
            let loopd = try await scene.loopd("watch")
            let place = try await {
                _ = try await loopd.event("rolledOut", limit: .seconds(90))
                return loopd.log.events().firstIndex { $0["event"] == "rolledOut" } ?? 0
            }()
            _ = try await loopd.event("failed", from: place, limit: .seconds(60))
            _ = try await scene.pods().until("a third crash", limit: .seconds(120)) { pods in
                pods.contains { ($0.json.at("status", "containerStatuses")?[0]?["restartCount"]?.integer ?? 0) >= 2 }
            }
            let before = loopd.log.count
            try scene.project.write("app/table", "1")
            _ = try await loopd.event("notice", from: before, limit: .seconds(180)) {
                $0["text"]?.string == "the pods of deployment/app are ready"
            }
            let failures = loopd.log.events(from: place).filter { $0["event"] == "failed" }
            #expect(failures.count == 1, "\(failures.map(text))")
            #expect(text(failures[0]).contains("exited with code 3"), "\(text(failures[0]))")
            #expect(text(failures[0]).contains("boom: no table"), "\(text(failures[0]))")
            try await loopd.stop()
        }
    }

    struct Missing: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var quota: JSON?
        let says: String
    }

    @Test(
        "watch tells why a pod is missing beside those that are ready",
        arguments: [
            Missing(testDescription: "no node takes it", says: "no node takes it"),
            Missing(
                testDescription: "a quota refuses it", quota: ["hard": ["pods": "1"]],
                says: "no pod of deployment/app can be created: ResourceQuota \"few\" is used up"),
        ])
    func missing(_ missing: Missing) async throws {
        try await Scene.run { scene in
            try scene.configure()
            try scene.project.write("app/a", "1")
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            var workload = Workload(replicas: 2)
            if let quota = missing.quota {
                let object: JSON = [
                    "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "few"], "spec": quota,
                ]
                try await scene.kubectl(["apply", "-f", "-"], input: object.bytes)
            } else {
                let text = try await scene.kubectl(["get", "nodes", "-o", "json"], scoped: false).standardOutput
                let nodes = try JSON(parsing: text)["items"]?.array ?? []
                let most = nodes.compactMap { $0.at("status", "allocatable", "cpu")?.string }.compactMap { Int($0) }
                // One on each node, and one more.
                workload.replicas = nodes.count + 1
                let half = (most.max() ?? 1) * 510
                workload.container = ["resources": ["requests": ["cpu": .string("\(half)m")]]]
            }
            try await scene.deploy(workload, wait: false)
            let loopd = try await scene.watching()
            let failure = try await loopd.event("failed", limit: .seconds(60))
            #expect(failure["summary"]?.string?.contains(missing.says) == true, "\(text(failure))")
            #expect(failure["summary"]?.string?.contains("no pod to sync into") == false, "\(text(failure))")
            let place = loopd.log.count
            try await scene.kubectl(["scale", "deployment/app", "--replicas=1"])
            _ = try await loopd.event("notice", from: place, limit: .seconds(60)) {
                $0["text"]?.string == "the pods of deployment/app are ready"
            }
            #expect(loopd.log.events().count { $0["event"] == "failed" } == 1, "\(loopd.transcript)")
            try await loopd.stop()
        }
    }
}
