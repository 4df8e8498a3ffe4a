import JSON
import Reactor
import TestCluster
import Testing

@Suite("Deployments of manifests", .turn) struct DeployTests {
    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func names(_ kind: String, _ scene: Scene) async throws -> [String] {
        let output = try await scene.kubectl(["get", kind, "-o", "name"])
        return output.text.split(separator: "\n").map { String($0.split(separator: "/").last ?? "") }
    }

    private func map(_ name: String, _ value: String = "1") -> String {
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \(name)\ndata:\n  a: \"\(value)\"\n"
    }

    private func container(_ scene: Scene, _ name: String = "web") async throws -> JSON {
        let output = try await scene.kubectl(["get", "deployment/\(name)", "-o", "json"])
        return try JSON(parsing: output.standardOutput).at("spec", "template", "spec", "containers")?[0] ?? .null
    }

    private func write(_ scene: Scene, replicas: Int64, to path: String = "web/k8s/web.json") async throws {
        var manifest = try await Workload("web").manifest(on: scene.cluster)
        manifest["spec"]?["replicas"] = .integer(replicas)
        try scene.project.replace(path, manifest.text)
    }

    private func configure(_ scene: Scene, _ deploy: JSON, watch: JSON = ["k8s/**"]) throws {
        try scene.project.configure(
            scene.configuration(["web": ["root": "web", "rules": [["watch": watch, "deploy": deploy]]]]))
        try scene.project.folder("web/k8s")
    }

    @Test("plain manifests: applied at the start, and at each change with a diff, a rollout, and what left deleted")
    func manifests() async throws {
        try await Scene.run { scene in
            try configure(scene, ["manifests": ["k8s"]])
            try await write(scene, replicas: 1)
            try scene.project.write("web/k8s/maps.yaml", map("one") + "---\n" + map("two"))
            let loopd = try await scene.loopd("watch")
            let first = try await loopd.event("diff")
            #expect(lines(first) == ["+ configmap/one", "+ configmap/two", "+ deployment/web"])
            #expect(try await loopd.event("rolledOut", limit: .seconds(60))["workloads"]?.array == ["deployment/web"])

            var place = loopd.log.count
            try scene.project.replace("web/k8s/maps.yaml", map("one", "2"))
            let second = try await loopd.event("diff", from: place)
            #expect(lines(second) == ["~ configmap/one  data.a 1 → 2", "- configmap/two"])
            let applied = try await loopd.event("deployed", from: place)
            #expect(applied["objects"]?.array == ["configmap/one", "configmap/two deleted"])
            #expect(!(try await names("configmap", scene)).contains("two"))

            place = loopd.log.count
            try await write(scene, replicas: 2)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            #expect(try await scene.running(2).count == 2)

            // What cannot be read or is not known changes nothing, and says where it stands.
            place = loopd.log.count
            try scene.project.replace("web/k8s/maps.yaml", map("one", "3") + "  bad: : x\n")
            let unreadable = try await loopd.event("failed", from: place)
            #expect(
                unreadable["summary"]?.string == "web/k8s/maps.yaml:7: mapping values are not allowed in this context")
            place = loopd.log.count
            try scene.project.replace(
                "web/k8s/maps.yaml", "apiVersion: example.org/v1\nkind: Widget\nmetadata:\n  name: w\n")
            let unknown = try await loopd.event("failed", from: place)
            #expect(
                unknown["summary"]?.string
                    == "widget/w of web/k8s/maps.yaml: the cluster does not know the kind Widget of example.org/v1")
            place = loopd.log.count
            try scene.project.replace("web/k8s/maps.yaml", map("one", "2"))
            #expect(try await loopd.event("deployed", from: place)["objects"]?.array == [])
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    @Test("nothing is deleted while a file is empty, or when no object is left")
    func spares() async throws {
        try await Scene.run { scene in
            try configure(scene, ["manifests": ["k8s"]])
            try scene.project.write("web/k8s/maps.yaml", map("one") + "---\n" + map("two"))
            try scene.project.write("web/k8s/other.yaml", map("other"))
            let loopd = try await scene.loopd("watch")
            #expect(try await loopd.event("deployed") { $0["service"] == "web" }["objects"]?.array?.count == 3)
            var place = loopd.log.count
            try scene.project.replace("web/k8s/maps.yaml", "")
            let doubted = try await loopd.event("notice", from: place)["text"]?.string
            #expect(doubted == "nothing is deleted: web/k8s/maps.yaml is empty; `loopd undeploy` removes all of it")
            #expect(try await loopd.event("deployed", from: place)["objects"]?.array == [])
            place = loopd.log.count
            try scene.project.replace("web/k8s/maps.yaml", map("one"))
            #expect(try await loopd.event("deployed", from: place)["objects"]?.array == ["configmap/two deleted"])
            try await loopd.stop()
            try scene.project.replace("web/k8s/maps.yaml", "# none\n")
            try scene.project.replace("web/k8s/other.yaml", "# none\n")
            let none = try await scene.loopd("deploy", "--yes")
            #expect(try await none.end(limit: .seconds(60)) == .exited(0), "\(none.transcript)")
            #expect(none.transcript.contains("nothing is deleted: there is no object in the manifests"))
            #expect(try await names("configmap", scene).contains("other"))
        }
    }

    @Test("a kustomization with a generator: a changed file in it is another ConfigMap, and the old one goes")
    func kustomize() async throws {
        try await Scene.run { scene in
            try configure(scene, ["kustomize": "k8s/overlays/dev"])
            try await write(scene, replicas: 1, to: "web/k8s/base/web.json")
            try scene.project.write("web/k8s/base/kustomization.yaml", "resources: [web.json]\n")
            try scene.project.write(
                "web/k8s/overlays/dev/kustomization.yaml",
                """
                resources: [../../base]
                configMapGenerator:
                - name: settings
                  files: [settings.txt]
                patches:
                - target: {kind: Deployment, name: web}
                  patch: |
                    - {op: add, path: /spec/template/spec/volumes, value: [{name: s, configMap: {name: settings}}]}

                """)
            try scene.project.write("web/k8s/overlays/dev/settings.txt", "one")
            let loopd = try await scene.loopd("watch")
            _ = try await loopd.event("rolledOut", limit: .seconds(60))
            let before = try #require(try await names("configmap", scene).first { $0.hasPrefix("settings-") })
            let place = loopd.log.count
            try scene.project.replace("web/k8s/overlays/dev/settings.txt", "two")
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            let after = try await names("configmap", scene).filter { $0.hasPrefix("settings-") }
            #expect(after.count == 1 && after != [before])
            let failing = loopd.log.count
            try scene.project.replace("web/k8s/base/kustomization.yaml", "resources: [gone.json]\n")
            let failed = try await loopd.event("failed", from: failing)
            #expect(failed["summary"]?.string?.hasPrefix("web/k8s/overlays/dev: ") == true)
            #expect(failed["summary"]?.string?.contains("gone.json") == true, "\(failed.text)")
            try await loopd.stop()
        }
    }

    @Test(
        "deploy shows, applies with --yes, then has nothing to do; undeploy shows, removes, and then has nothing to do")
    func undeploy() async throws {
        try await Scene.run { scene in
            let deploy: JSON = ["manifests": "k8s"]
            try scene.project.configure(
                scene.configuration([
                    "web": ["root": "web", "rules": [["deploy": deploy]]],
                    "base": [
                        "manifests": ["base"], "rules": [["watch": ["base/**"], "sync": ["to": "/x"]]],
                        "selector": "a=b",
                    ],
                ]))
            try await write(scene, replicas: 1)
            try scene.project.write("base/map.yaml", map("base"))
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["create", "configmap", "theirs"])
            let done = try await scene.loopd("deploy", "--yes")
            #expect(try await done.end(limit: .seconds(60)) == .exited(0), "\(done.transcript)")
            #expect(try await names("configmap", scene).contains("base"))

            let refused = try await scene.loopd("undeploy")
            #expect(try await refused.end() == .exited(2))
            #expect(refused.errorText.contains("--yes removes, --dry-run shows"))
            let shown = try await scene.loopd("undeploy", "--dry-run")
            #expect(try await shown.end() == .exited(0))
            #expect(lines(try await shown.event("diff")) == ["- configmap/base", "- deployment/web"])
            #expect(try await names("deployment", scene) == ["web"])

            let one = try await scene.loopd("undeploy", "--yes", "web")
            #expect(try await one.end(limit: .seconds(60)) == .exited(0), "\(one.transcript)")
            #expect(try await one.event("removed")["objects"]?.array == ["deployment/web"])
            #expect(try await names("deployment", scene).isEmpty)
            #expect(try await names("pod", scene).isEmpty)
            let all = try await scene.loopd("undeploy", "--yes")
            #expect(try await all.end(limit: .seconds(60)) == .exited(0), "\(all.transcript)")
            let left = try await names("configmap", scene).filter { $0 != "kube-root-ca.crt" }
            #expect(left == ["theirs"])
            #expect(try await names("secret", scene).isEmpty)
            let again = try await scene.loopd("undeploy", "--yes")
            #expect(try await again.end() == .exited(0))
            #expect(again.outputText.contains("nothing of loopd's is deployed"))
        }
    }

    @Test("a service of the same name in another project: nothing of the first is deleted, by whatever command")
    func projects() async throws {
        try await Scene.run { scene in
            try configure(scene, ["manifests": "k8s"])
            try scene.project.write("web/k8s/map.yaml", map("first"))
            let first = try await scene.loopd("deploy", "--yes")
            #expect(try await first.end(limit: .seconds(60)) == .exited(0), "\(first.transcript)")
            var configuration = try JSON(parsing: Disk.read("\(scene.project.path)/loop.json"))
            configuration["project"] = "other"
            try scene.project.configure(configuration)
            try scene.project.replace("web/k8s/map.yaml", map("second"))
            for command in ["deploy", "rollback", "undeploy"] {
                let refused = try await scene.loopd(command, "--yes", "web")
                #expect(try await refused.end(limit: .seconds(60)) == .exited(1), "\(refused.transcript)")
                let failed = try await refused.event("failed")["summary"]?.string ?? ""
                let words = "service web in namespace \(scene.namespace) is deployed by project "
                #expect(failed.hasPrefix(words), "\(failed)")
                #expect(failed.hasSuffix(", this is other"), "\(failed)")
            }
            #expect(try await names("configmap", scene).contains("first"))
            #expect(!(try await names("configmap", scene).contains("second")))
            // A list of an earlier loopd says nothing of a project.
            let labels = ["configmap/loopd-inventory-web", "secret/loopd-release-web.1"]
            for object in labels { try await scene.kubectl(["label", object, "loopd.dev/project-"]) }
            let taken = try await scene.loopd("deploy", "--yes")
            #expect(try await taken.end(limit: .seconds(60)) == .exited(0), "\(taken.transcript)")
            #expect(lines(try await taken.event("diff")) == ["+ configmap/second", "- configmap/first"])
        }
    }

    @Test("watch --cleanup removes all of it when Ctrl-C comes, and the namespace that loopd has made")
    func cleanup() async throws {
        try await Scene.run { scene in
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try scene.project.configure(
                scene.configuration([
                    "web": [
                        "root": "web", "workload": "deployment/web", "dev": true,
                        "rules": [sync, ["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]]],
                    ]
                ]))
            try scene.project.write("web/app/a", "1")
            try await write(scene, replicas: 1)
            let loopd = try await scene.loopd("watch", "--cleanup")
            _ = try await loopd.event("connected", limit: .seconds(90))
            let other = try await scene.loopd("undeploy", "--yes")
            #expect(try await other.end() == .exited(1))
            let held = try await other.event("failed")["summary"]?.string ?? ""
            #expect(held.hasPrefix("deployment/web is synced by "), "\(held)")
            // A second one ends at once, and takes nothing from the first.
            let second = try await scene.loopd("watch", "--cleanup")
            #expect(try await second.end(limit: .seconds(60)) == .exited(1), "\(second.transcript)")
            #expect(!second.log.events().contains { $0["event"] == "removed" }, "\(second.transcript)")
            #expect(try await names("deployment", scene) == ["web"])
            let stopped = try await loopd.stop()
            #expect(stopped.status == .exited(130))
            let removed = loopd.log.events().filter { $0["event"] == "removed" }
            #expect(
                removed.compactMap { $0["objects"]?.array } == [
                    ["deployment/web"], [.string("namespace/\(scene.namespace)")],
                ], "\(loopd.transcript)")
            let space = try await scene.kubectl(["get", "namespace", scene.namespace], codes: [1], scoped: false)
            #expect(space.errorText.contains("NotFound"))
        }
    }

    @Test("watch --cleanup leaves a workload that another loopd has taken over, and says who")
    func cleanupAfterTakeOver() async throws {
        try await Scene.run { scene in
            let rules: JSON = [
                ["watch": ["app/**"], "sync": ["to": "/srv/app"]],
                ["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]],
            ]
            try scene.project.configure(
                scene.configuration(["web": ["root": "web", "workload": "deployment/web", "rules": rules]]))
            try scene.project.write("web/app/a", "1")
            try await write(scene, replicas: 1)
            let first = try await scene.loopd("watch", "--cleanup")
            _ = try await first.event("connected", limit: .seconds(90))
            let second = try await scene.loopd("watch", "--take-over")
            _ = try await second.event("connected", limit: .seconds(90))
            #expect(try await first.end(limit: .seconds(60)) == .exited(1), "\(first.transcript)")
            #expect(!first.log.events().contains { $0["event"] == "removed" }, "\(first.transcript)")
            let notice = try await first.event("notice") {
                $0["text"]?.string?.hasPrefix("what was deployed stays: deployment/web is synced by ") == true
            }
            #expect(notice.text.contains("\(second.child.pid)"), "\(notice.text)")
            #expect(try await names("deployment", scene) == ["web"])
            try await second.stop()
        }
    }

    @Test("the namespace that loopd has made stays as long as something of others is in it")
    func namespace() async throws {
        try await Scene.run { scene in
            try configure(scene, ["manifests": "k8s"])
            try scene.project.write("web/k8s/map.yaml", map("one"))
            let deploy = try await scene.loopd("deploy", "--yes")
            #expect(try await deploy.end(limit: .seconds(60)) == .exited(0), "\(deploy.transcript)")
            try await scene.kubectl(["create", "configmap", "theirs"])
            let first = try await scene.loopd("undeploy", "--yes")
            #expect(try await first.end(limit: .seconds(60)) == .exited(0), "\(first.transcript)")
            let words = "namespace/\(scene.namespace) stays: configmap/theirs is not loopd's"
            _ = try await first.event("notice") { $0["text"]?.string == words }
            #expect(try await first.event("removed")["objects"]?.array == ["configmap/one"])
            #expect(try await names("configmap", scene).contains("theirs"))
            try await scene.kubectl(["delete", "configmap", "theirs"])
            let second = try await scene.loopd("undeploy", "--yes")
            #expect(try await second.end(limit: .seconds(60)) == .exited(0), "\(second.transcript)")
            try await scene.kubectl(["get", "namespace", scene.namespace], codes: [1], scoped: false)
        }
    }

    @Test("what waits for an image that cannot be built is applied when it can, and a text in it names the image")
    func waits() async throws {
        try await Scene.run { scene in
            let base = try await TestImage.shell.name(on: scene.cluster)
            let files: JSON = ["from": "out", "to": "/srv/out"]
            let image: JSON = [
                "watch": ["src/**"], "build": ["cp", "src/in", "out"],
                "image": ["name": "web", "base": .string(base), "files": files],
            ]
            try scene.project.configure(
                scene.configuration(
                    ["web": ["root": "web", "rules": [image, ["deploy": ["manifests": "k8s"]]]]],
                    merging: ["registry": .string(scene.cluster.registry)]))
            try scene.project.folder("web/src")
            var manifest = try await Workload("web").manifest(on: scene.cluster)
            var own = manifest.at("spec", "template", "spec", "containers")?[0] ?? [:]
            (own["image"], own["imagePullPolicy"]) = ("web:dev", "Always")
            own["env"] = [["name": "RUNNER", "value": "${image:web}"]]
            manifest["spec"]?["template"]?["spec"]?["containers"] = [own]
            try scene.project.write("web/k8s/web.json", manifest.text)
            try scene.project.write("web/k8s/map.yaml", map("one"))
            let loopd = try await scene.loopd("watch")
            let words = "deployment/web waits for image web, which has not been built yet"
            _ = try await loopd.event("notice", limit: .seconds(60)) { $0["text"]?.string == words }
            #expect(try await loopd.event("deployed") { $0["service"] == "web" }["objects"]?.array == ["configmap/one"])

            let place = loopd.log.count
            try scene.project.write("web/src/in", "1")
            let reference = try await loopd.event("imageBuilt", from: place, limit: .seconds(60))["reference"]
            let applied = try await loopd.event("deployed", from: place, limit: .seconds(60))
            #expect(applied["objects"]?.array == ["deployment/web"])
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            let now = try await container(scene)
            #expect(now["image"] == reference && now["imagePullPolicy"] == "IfNotPresent")
            #expect(now["env"]?[0]?["value"] == reference)
            try await loopd.stop()
        }
    }
}
