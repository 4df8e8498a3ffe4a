import JSON
import Reactor
import TestCluster
import Testing

@Suite("Deployments of workloads in dev mode", .turn) struct DevModeDeployTests {
    /// Writes the Deployment into a flake that builds it, with an argument and a number of replicas.
    private func write(_ scene: Scene, replicas: Int64, argument: String) async throws -> JSON {
        let container: JSON = ["command": ["/probe", "run"], "env": [["name": "TEXT", "value": .string(argument)]]]
        var manifest = try await Workload("web", container: container).manifest(on: scene.cluster)
        manifest["spec"]?["replicas"] = .integer(replicas)
        try scene.project.replace("nix/workload.json", manifest.text)
        return manifest
    }

    private func deployment(_ name: String, _ scene: Scene) async throws -> JSON {
        try JSON(parsing: try await scene.kubectl(["get", "deployment/\(name)", "-o", "json"]).standardOutput)
    }

    private func revisions(_ scene: Scene) async throws -> Int {
        let list = try JSON(parsing: try await scene.kubectl(["get", "replicasets", "-o", "json"]).standardOutput)
        return list["items"]?.array?.count ?? 0
    }

    @Test(
        "a change that Nix builds arrives in one rollout and dev mode stays; afterwards the workload is the manifest's")
    func deploys() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            let deploy: JSON = ["watch": ["*.nix", "*.json"], "deploy": ["nix": ".#manifests"]]
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try scene.project.configure(
                scene.configuration([
                    "platform": ["root": "nix", "rules": [deploy]],
                    "web": ["workload": "deployment/web", "dev": true, "rules": [sync]],
                ]))
            try scene.project.write("app/a", "1")
            try scene.project.write(
                "nix/flake.nix",
                """
                { outputs = { self }: let \(PrivateStore.write) in {
                  manifests = write "web.json" (builtins.readFile ./workload.json);
                }; }
                """)
            try scene.project.write("nix/workload.json", "{}")
            _ = try await write(scene, replicas: 1, argument: "one")
            let loopd = try await scene.loopd("watch", environment: store.environment)
            _ = try await loopd.event("connected", limit: .seconds(120))
            _ = try await loopd.event("rolledOut", limit: .seconds(120))
            #expect(try await revisions(scene) == 1)

            let place = loopd.log.count
            let manifest = try await write(scene, replicas: 1, argument: "two")
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(120))
            let container = try await deployment("web", scene).podSpec["containers"]?[0]
            #expect(container?["env"]?[0]?["value"] == "two")
            #expect(container?["command"]?[0] == "/.loopd/bin/helper")
            #expect(try await revisions(scene) == 2)
            #expect(!loopd.log.events().contains { $0["change"] == "reverted" })

            try await loopd.stop()
            let left = try await deployment("web", scene).podSpec
            for key in ["command", "args", "env", "volumeMounts"] {
                #expect(left["containers"]?[0]?[key] == manifest.podSpec["containers"]?[0]?[key], "\(key)")
            }
            #expect(left["volumes"] == nil)
            #expect(left["initContainers"] == nil)
            // What is deployed now is what the cluster has: loopd's own by its own hand still.
            let again = try await scene.loopd("deploy", "--dry-run", environment: store.environment)
            #expect(try await again.end(limit: .seconds(90)) == .exited(0), "\(again.transcript)")
            #expect(!again.log.events().contains { $0["event"] == "diff" }, "\(again.transcript)")
        }
    }

    @Test("a deployment beside a session that has the workload in dev mode brings its change, and dev mode stays")
    func foreignApply() async throws {
        try await Scene.run { scene in
            let workload = Workload(container: ["command": ["/probe", "run"]])
            try await scene.deploy(workload)
            var manifest = try await workload.manifest(on: scene.cluster)
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            let other: JSON = ["watch": ["more/**"], "sync": ["to": "/srv/more"]]
            try scene.project.configure(
                scene.configuration([
                    "app": ["workload": "deployment/app", "dev": true, "rules": [sync]],
                    "other": ["workload": "deployment/app", "manifests": ["k8s"], "rules": [other]],
                ]))
            try scene.project.write("app/a", "1")
            manifest["spec"]?["minReadySeconds"] = 1
            try scene.project.write("k8s/app.json", manifest.text)
            let loopd = try await scene.watching(1, "app")
            let deploy = try await scene.loopd("deploy", "--yes", "other")
            #expect(try await deploy.end(limit: .seconds(60)) == .exited(0), "\(deploy.transcript)")
            let inside = try await deployment("app", scene)
            #expect(inside.at("spec", "minReadySeconds") == 1)
            #expect(inside.podSpec["containers"]?[0]?["command"]?[0] == "/.loopd/bin/helper")
            try await loopd.stop()
            #expect(!loopd.log.events().contains { $0["change"] == "reverted" })
            let left = try await deployment("app", scene)
            #expect(left.podSpec["containers"]?[0]?["command"] == ["/probe", "run"])
            #expect(left.podSpec["volumes"] == nil)
        }
    }
}

extension JSON {
    fileprivate var podSpec: JSON { at("spec", "template", "spec") ?? .null }
}
