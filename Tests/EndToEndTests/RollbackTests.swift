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
