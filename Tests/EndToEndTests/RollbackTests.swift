import JSON
import Reactor
import TestCluster
import Testing

@Suite("The way back", .turn) struct RollbackTests {
    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func workload(_ scene: Scene) async throws -> JSON {
        try JSON(parsing: try await scene.kubectl(["get", "deployment/web", "-o", "json"]).standardOutput)
    }

    private func value(_ scene: Scene, _ map: String) async throws -> String {
        try await scene.kubectl(["get", "configmap/\(map)", "-o", "jsonpath={.data.a}"]).text
    }

    private func write(_ scene: Scene, replicas: Int64, secret: String) async throws {
        var manifest = try await Workload("web").manifest(on: scene.cluster)
        manifest["spec"]?["replicas"] = .integer(replicas)
        let login: JSON = [
            "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "login"],
            "stringData": ["password": .string(secret)],
        ]
        let list: JSON = ["apiVersion": "v1", "kind": "List", "items": [manifest, login]]
        try scene.project.replace("k8s/all.json", list.text)
    }

    @Test(
        "rollback brings back the manifests before, Secrets too, and once more comes forward again; then there are none"
    )
    func manifests() async throws {
        try await Scene.run { scene in
            try scene.project.configure(scene.configuration(["web": ["rules": [["deploy": ["manifests": "k8s"]]]]]))
            try await write(scene, replicas: 1, secret: "hunter1")
            let first = try await scene.loopd("deploy", "--yes")
            #expect(try await first.end(limit: .seconds(60)) == .exited(0), "\(first.transcript)")
            let none = try await scene.loopd("rollback", "--yes", "web")
            #expect(try await none.end() == .exited(1))
            #expect(none.outputText.contains("there is nothing to go back to"))

            try await write(scene, replicas: 2, secret: "hunter2")
            let second = try await scene.loopd("deploy", "--yes")
            #expect(try await second.end(limit: .seconds(60)) == .exited(0), "\(second.transcript)")
            let refused = try await scene.loopd("rollback", "web")
            #expect(try await refused.end() == .exited(2))
            #expect(refused.errorText.contains("--yes goes back, --dry-run shows"))
            let shown = try await scene.loopd("rollback", "--dry-run", "web")
            #expect(try await shown.end() == .exited(0))
            #expect(
                lines(try await shown.event("diff")) == [
                    "~ secret/login  data.password changed", "~ deployment/web  spec.replicas 2 → 1",
                ])
            #expect(try await workload(scene).at("spec", "replicas") == 2)

            let back = try await scene.loopd("rollback", "--yes", "web")
            #expect(try await back.end(limit: .seconds(60)) == .exited(0), "\(back.transcript)")
            _ = try await back.event("rolledBack")
            #expect(try await workload(scene).at("spec", "replicas") == 1)
            let password = try await scene.kubectl(["get", "secret/login", "-o", "jsonpath={.data.password}"])
            #expect(password.text == "aHVudGVyMQ==")
            let forward = try await scene.loopd("rollback", "--yes", "web")
            #expect(try await forward.end(limit: .seconds(60)) == .exited(0), "\(forward.transcript)")
            #expect(try await workload(scene).at("spec", "replicas") == 2)
            for loopd in [first, none, second, shown, back, forward] {
                #expect(!loopd.outputText.contains("hunter") && !loopd.outputText.contains("aHVudGVy"))
            }
        }
    }

    @Test("a set of which the cluster has refused a part goes back to the set before, and so does one that drifts")
    func refusedPart() async throws {
        try await Scene.run { scene in
            try scene.project.configure(scene.configuration(["web": ["rules": [["deploy": ["manifests": "k8s"]]]]]))
            for (replicas, secret) in [(1, "hunter0"), (1, "hunter1")] as [(Int64, String)] {
                try await write(scene, replicas: replicas, secret: secret)
                let loopd = try await scene.loopd("deploy", "--yes")
                #expect(try await loopd.end(limit: .seconds(60)) == .exited(0), "\(loopd.transcript)")
            }
            // Only an apply shows what is wrong in a namespace that is not there yet.
            let space = "\(scene.namespace)-more"
            let more: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(space)]]
            let wrong: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": ["name": "wrong", "namespace": .string(space)], "data": ["a": ["b": "c"]],
            ]
            try await write(scene, replicas: 2, secret: "hunter2")
            try scene.project.write("k8s/more.json", JSON.array([more, wrong]).text)
            let half = try await scene.loopd("deploy", "--yes")
            #expect(try await half.end(limit: .seconds(60)) == .exited(1), "\(half.transcript)")
            func password() async throws -> String {
                try await scene.kubectl(["get", "secret/login", "-o", "jsonpath={.data.password}"]).text
            }
            #expect(try await password() == "aHVudGVyMg==")
            let back = try await scene.loopd("rollback", "--yes", "web")
            #expect(try await back.end(limit: .seconds(60)) == .exited(0), "\(back.transcript)")
            #expect(try await password() == "aHVudGVyMQ==")
            try await scene.kubectl(["delete", "namespace", space, "--wait=false"])

            // What others change is not what was changed last.
            try await scene.kubectl(["scale", "deployment/web", "--replicas=3"])
            let again = try await scene.loopd("rollback", "--dry-run", "web")
            #expect(try await again.end(limit: .seconds(60)) == .exited(0), "\(again.transcript)")
            #expect(
                lines(try await again.event("diff")).contains("~ deployment/web  spec.replicas 3 → 2"),
                "\(again.transcript)")
        }
    }

    @Test("the last change is undone, an image or the manifests, and the other one stays")
    func lastChange() async throws {
        try await Scene.run { scene in
            let base = try await TestImage.shell.name(on: scene.cluster)
            let image: JSON = [
                "watch": ["image/**"], "image": ["name": "web", "base": .string(base), "to": "/srv/image"],
            ]
            try scene.project.configure(
                scene.configuration(
                    [
                        "web": [
                            "workload": "deployment/web",
                            "rules": [image, ["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]]],
                        ]
                    ], merging: ["registry": .string(scene.cluster.registry)]))
            func write(replicas: Int64) async throws {
                var manifest = try await Workload("web").manifest(on: scene.cluster)
                manifest["spec"]?["replicas"] = .integer(replicas)
                var container = manifest.at("spec", "template", "spec", "containers")?[0] ?? [:]
                container["image"] = "web:dev"
                manifest["spec"]?["template"]?["spec"]?["containers"] = [container]
                try scene.project.replace("k8s/web.json", manifest.text)
            }
            func reference() async throws -> String? {
                try await workload(scene).at("spec", "template", "spec", "containers")?[0]?["image"]?.string
            }
            func rollback() async throws -> [String] {
                let back = try await scene.loopd("rollback", "--yes", "web")
                #expect(try await back.end(limit: .seconds(60)) == .exited(0), "\(back.transcript)")
                return lines(try await back.event("diff"))
            }
            try scene.project.write("image/a", "one")
            try await write(replicas: 1)
            let watch = try await scene.loopd("watch")
            let one = try await watch.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? "none"
            _ = try await watch.event("rolledOut", limit: .seconds(60))
            var place = watch.log.count
            try await write(replicas: 2)
            _ = try await watch.event("rolledOut", from: place, limit: .seconds(60))
            place = watch.log.count
            try scene.project.write("image/a", "two")
            let two = try await watch.event("imageBuilt", from: place)["reference"]?.string ?? "none"
            _ = try await watch.event("rolledOut", from: place, limit: .seconds(60))
            #expect(try await reference() == two)
            try await watch.stop()

            // The image was last, and the way back is a change like any other.
            #expect(try await rollback() == ["~ deployment/web  image of web \(two) → \(one)"])
            #expect(try await reference() == one)
            #expect(try await rollback() == ["~ deployment/web  image of web \(one) → \(two)"])
            #expect(try await workload(scene).at("spec", "replicas") == 2)

            try await write(replicas: 3)
            let deploy = try await scene.loopd("deploy", "--yes")
            #expect(try await deploy.end(limit: .seconds(90)) == .exited(0), "\(deploy.transcript)")
            #expect(try await rollback() == ["~ deployment/web  spec.replicas 3 → 2"])
            #expect(try await reference() == two)
        }
    }

    @Test("rollback of a service without manifests brings back the image that its workload had before, and only that")
    func image() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload("web"))
            let before =
                try await workload(scene).at("spec", "template", "spec", "containers")?[0]?["image"]?.string ?? ""
            let other = try await TestImage.scratch.name(on: scene.cluster)
            try await scene.kubectl(["set", "image", "deployment/web", "*=\(other)"])
            try await scene.kubectl(["scale", "deployment/web", "--replicas=2"])
            try await scene.kubectl(["rollout", "status", "deployment/web", "--timeout=60s"])
            try scene.project.configure(
                scene.configuration([
                    "web": [
                        "workload": "deployment/web",
                        "rules": [["watch": ["Dockerfile"], "image": ["name": "web"]]],
                    ]
                ]))
            try scene.project.write("Dockerfile", "FROM scratch\n")
            let back = try await scene.loopd("rollback", "--yes", "web")
            #expect(try await back.end(limit: .seconds(60)) == .exited(0), "\(back.transcript)")
            #expect(
                lines(try await back.event("diff")) == ["~ deployment/web  image of web \(other) → \(before)"])
            let now = try await workload(scene)
            #expect(now.at("spec", "template", "spec", "containers")?[0]?["image"]?.string == before)
            #expect(now.at("spec", "replicas") == 2)
        }
    }

    @Test("a service that is not there has its nearest name, and rollback wants one service")
    func usage() async throws {
        try await Scene.run { scene in
            try scene.project.configure(scene.configuration(["web": ["rules": [["deploy": ["manifests": "k8s"]]]]]))
            try scene.project.write("k8s/a.yaml", "")
            let unknown = try await scene.loopd("rollback", "--yes", "wbe")
            #expect(try await unknown.end() == .exited(2))
            #expect(unknown.errorText.contains("did you mean \"web\"?"))
            let none = try await scene.loopd("rollback", "--yes")
            #expect(try await none.end() == .exited(2))
            #expect(none.errorText.contains("\"rollback\" needs a service"))
            let two = try await scene.loopd("rollback", "web", "web")
            #expect(try await two.end() == .exited(2))
        }
    }
}
