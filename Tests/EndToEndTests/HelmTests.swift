import JSON
import Reactor
import TestCluster
import Testing

@Suite("Charts, with a double of helm", .turn) struct HelmTests {
    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func chart(_ scene: Scene, replicas: Int64 = 1, image: String? = nil, more: [JSON] = []) async throws {
        var manifest = try await Workload("web").manifest(on: scene.cluster)
        manifest["spec"]?["replicas"] = .integer(replicas)
        if let image {
            var container = manifest.at("spec", "template", "spec", "containers")?[0] ?? [:]
            container["image"] = .string(image)
            manifest["spec"]?["template"]?["spec"]?["containers"] = [container]
        }
        let map: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"],
            "data": ["level": "@level@", "runner": "@runner@"],
        ]
        let text = ([manifest, map] + more).map { "---\n# Source: web\n\($0.text)\n" }.joined()
        try scene.project.replace("chart/manifest.yaml", text)
    }

    private func configure(_ scene: Scene, service: JSON = [:], rules: [JSON] = [], merging more: JSON = [:]) throws {
        let helm: JSON = [
            "chart": "./chart", "release": "web", "valuesFiles": ["values.dev.yaml"], "set": ["level": "debug"],
        ]
        let rule: JSON = ["watch": ["chart/**", "values.dev.yaml"], "deploy": ["helm": helm]]
        let own: JSON = ["rules": .array(rules + [rule])]
        try scene.project.configure(scene.configuration(["web": own.merged(with: service)], merging: more))
        try scene.project.folder("chart")
        try scene.project.write("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")
        try scene.project.write("values.dev.yaml", "runner: none\n")
    }

    private func workload(_ scene: Scene) async throws -> JSON {
        try JSON(parsing: try await scene.kubectl(["get", "deployment/web", "-o", "json"]).standardOutput)
    }

    @Test(
        "a chart: installed at the start, upgraded at a change with a diff, rolled back, uninstalled",
        arguments: ["v3.21.4", "v4.2.4"])
    func release(version: String) async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble(version: version)
            try configure(scene)
            try await chart(scene)
            let loopd = try await scene.loopd("watch", environment: helm.environment)
            #expect(
                lines(try await loopd.event("diff", limit: .seconds(60))) == [
                    "+ configmap/settings", "+ deployment/web",
                ])
            #expect(try await loopd.event("rolledOut", limit: .seconds(60))["workloads"]?.array == ["deployment/web"])
            let level = try await scene.kubectl(["get", "configmap/settings", "-o", "jsonpath={.data.level}"])
            #expect(level.text == "debug")
            let upgrade = try #require(try helm.calls("upgrade").last)
            #expect(upgrade.contains("--skip-crds") && !upgrade.contains("--wait"))
            #expect(upgrade.contains("--kube-context") && upgrade.contains(scene.cluster.context))

            var place = loopd.log.count
            try await chart(scene, replicas: 2)
            #expect(lines(try await loopd.event("diff", from: place)) == ["~ deployment/web  spec.replicas 1 → 2"])
            #expect(
                try await loopd.event("deployed", from: place)["objects"]?.array == ["release/web revision 2"])
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            // The same rendering is no upgrade.
            place = loopd.log.count
            try scene.project.replace("values.dev.yaml", "# a comment\nrunner: none\n")
            #expect(try await loopd.event("deployed", from: place)["objects"]?.array == [])

            place = loopd.log.count
            try helm.fail("cannot patch \"web\" with kind Deployment: field is immutable")
            try await chart(scene, replicas: 1)
            let failed = try await loopd.event("failed", from: place)
            #expect(
                failed["summary"]?.string
                    == "helm upgrade of release web failed: cannot patch \"web\" with kind Deployment: field is immutable"
            )
            place = loopd.log.count
            try helm.setStatus("pending-upgrade")
            try scene.project.replace("values.dev.yaml", "runner: other\n")
            let pending = try await loopd.event("failed", from: place)
            #expect(pending["summary"]?.string == "release web is pending-upgrade: helm changes nothing")
            #expect(pending["nextStep"]?.string?.contains("`helm rollback web -n \(scene.namespace)`") == true)
            try helm.setStatus("deployed")
            try helm.fail(nil)
            try await loopd.stop()

            let back = try await scene.loopd("rollback", "--yes", "web", environment: helm.environment)
            #expect(try await back.end(limit: .seconds(60)) == .exited(0), "\(back.transcript)")
            #expect(try await back.event("rolledBack")["to"]?.string == "revision 1 of release web")
            #expect(try await workload(scene).at("spec", "replicas") == 1)
            let gone = try await scene.loopd("undeploy", "--yes", environment: helm.environment)
            #expect(try await gone.end(limit: .seconds(60)) == .exited(0), "\(gone.transcript)")
            #expect(try await gone.event("removed")["objects"]?.array == ["release/web"])
            try await scene.kubectl(["get", "deployment/web"], codes: [1])
        }
    }

    /// A hook of an upgrade: a bare object, which is there once it has run.
    private func hook(_ name: String, _ text: String, moments: String = "pre-upgrade,pre-install") -> JSON {
        [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(name), "annotations": ["helm.sh/hook": .string(moments)]],
            "data": ["text": .string(text)],
        ]
    }

    @Test("a change of a hook alone is an upgrade, that of a test is none, nor is the revision's number in its name")
    func hooks() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            try configure(scene)
            try await chart(scene)
            let tests = hook("check", "1", moments: "test").text
            try scene.project.write("chart/hooks.yaml", hook("migrate-@revision@", "1").text + "\n" + tests + "\n")
            let loopd = try await scene.loopd("watch", environment: helm.environment)
            #expect(
                lines(try await loopd.event("diff", limit: .seconds(60))) == [
                    "+ configmap/settings", "+ deployment/web", "+ hook/configmap/migrate-1",
                ])
            _ = try await loopd.event("rolledOut", limit: .seconds(60))
            var place = loopd.log.count
            let other = hook("check", "2", moments: "test").text
            try scene.project.replace(
                "chart/hooks.yaml", hook("migrate-@revision@", "1").text + "\n" + other + "\n")
            #expect(try await loopd.event("deployed", from: place)["objects"]?.array == [])

            place = loopd.log.count
            try scene.project.replace("chart/hooks.yaml", hook("migrate-@revision@", "2").text + "\n")
            #expect(
                lines(try await loopd.event("diff", from: place)) == ["~ hook/configmap/migrate-2  data.text 1 → 2"])
            #expect(
                try await loopd.event("deployed", from: place)["objects"]?.array == ["release/web revision 2"])
            let text = try await scene.kubectl(["get", "configmap/migrate-2", "-o", "jsonpath={.data.text}"])
            #expect(text.text == "2")
            try await loopd.stop()
        }
    }

    @Test("an image in a hook is replaced by Helm 4; Helm 3 keeps it, which is told", arguments: ["v3.21.4", "v4.2.4"])
    func hookImages(version: String) async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble(version: version)
            let base = try await TestImage.shell.name(on: scene.cluster)
            let image: JSON = [
                "watch": ["image/**"], "image": ["name": "web", "base": .string(base), "to": "/srv/image"],
            ]
            try configure(
                scene, service: ["workload": "deployment/web"], rules: [image],
                merging: ["registry": .string(scene.cluster.registry)])
            try scene.project.write("image/a", "one")
            try await chart(scene, image: "web:dev")
            let job: JSON = [
                "apiVersion": "batch/v1", "kind": "Job",
                "metadata": ["name": "migrate", "annotations": ["helm.sh/hook": "pre-upgrade,pre-install"]],
                "spec": [
                    "template": [
                        "spec": ["restartPolicy": "Never", "containers": [["name": "migrate", "image": "web:dev"]]]
                    ]
                ],
            ]
            try scene.project.write("chart/hooks.yaml", job.text + "\n")
            let loopd = try await scene.loopd("deploy", "--yes", environment: helm.environment)
            #expect(try await loopd.end(limit: .seconds(120)) == .exited(0), "\(loopd.transcript)")
            let built = try await loopd.event("imageBuilt")["reference"]?.string ?? "none"
            let runs = try await scene.kubectl([
                "get", "job/migrate", "-o", "jsonpath={.spec.template.spec.containers[0].image}",
            ]).text
            let notices = loopd.log.events().compactMap { $0["text"]?.string }
            let told = notices.contains(
                "hook/job/migrate names image web, which a post-renderer of Helm 3 does not reach: "
                    + "use ${image:web} in values")
            #expect(runs == (version.hasPrefix("v4") ? built : "web:dev"))
            #expect(told == version.hasPrefix("v3"))
        }
    }

    @Test("rollback to a revision that was applied in dev mode leaves no dev mode behind")
    func rollbackToDevMode() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try configure(scene, service: ["workload": "deployment/web", "dev": true], rules: [sync])
            try scene.project.write("app/a", "1")
            try await chart(scene)
            let watch = try await scene.loopd("watch", environment: helm.environment)
            _ = try await watch.event("connected", limit: .seconds(90))
            try await watch.stop()
            try await chart(scene, replicas: 2)
            let deploy = try await scene.loopd("deploy", "--yes", environment: helm.environment)
            #expect(try await deploy.end(limit: .seconds(90)) == .exited(0), "\(deploy.transcript)")

            let back = try await scene.loopd("rollback", "--yes", "web", environment: helm.environment)
            #expect(try await back.end(limit: .seconds(90)) == .exited(0), "\(back.transcript)")
            #expect(lines(try await back.event("diff")) == ["~ deployment/web  spec.replicas 2 → 1"])
            #expect(try await back.event("rolledBack")["to"]?.string == "revision 1 of release web")
            let now = try await workload(scene)
            #expect(now.at("spec", "replicas") == 1)
            #expect(now.at("metadata", "annotations")?["loopd.dev/dev-mode"] == nil)
            let spec = now.at("spec", "template", "spec")
            #expect(spec?["volumes"] == nil && spec?["containers"]?[0]?["command"] == nil)
            let maps = try await scene.kubectl(["get", "configmaps", "-o", "name"])
            #expect(!maps.text.contains("loopd-helper-"))
        }
    }

    @Test("dev mode is carried into the release, so that an upgrade is one rollout and nobody takes it back")
    func devMode() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try configure(scene, service: ["workload": "deployment/web", "dev": true], rules: [sync])
            try scene.project.write("app/a", "1")
            try await chart(scene)
            let loopd = try await scene.loopd("watch", environment: helm.environment)
            _ = try await loopd.event("connected", limit: .seconds(90))
            let sets = try JSON(parsing: try await scene.kubectl(["get", "replicasets", "-o", "json"]).standardOutput)
            #expect(sets["items"]?.array?.count == 1)
            let place = loopd.log.count
            try await chart(scene, replicas: 2)
            #expect(lines(try await loopd.event("diff", from: place)) == ["~ deployment/web  spec.replicas 1 → 2"])
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            let container = try await workload(scene).at("spec", "template", "spec", "containers")?[0]
            #expect(container?["command"]?[0] == "/.loopd/bin/helper")
            #expect(!loopd.log.events().contains { $0["change"] == "reverted" })
            try await loopd.stop()
            let left = try await workload(scene).at("spec", "template", "spec")
            #expect(left?["volumes"] == nil && left?["containers"]?[0]?["command"] == nil)
        }
    }

    @Test("images in a chart and in its values are loopd's own, and a new one is another revision")
    func images() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            let base = try await TestImage.shell.name(on: scene.cluster)
            let image: JSON = [
                "watch": ["image/**"], "image": ["name": "web", "base": .string(base), "to": "/srv/image"],
            ]
            try configure(
                scene, service: ["workload": "deployment/web"], rules: [image],
                merging: ["registry": .string(scene.cluster.registry)])
            try scene.project.write("values.dev.yaml", "runner: ${image:web}\n")
            try scene.project.write("image/a", "one")
            try await chart(scene, image: "web:dev")
            let loopd = try await scene.loopd("watch", environment: helm.environment)
            let built = try await loopd.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? "none"
            _ = try await loopd.event("rolledOut", limit: .seconds(60))
            let container = try await workload(scene).at("spec", "template", "spec", "containers")?[0]
            #expect(container?["image"]?.string == built && container?["imagePullPolicy"] == "IfNotPresent")
            let runner = try await scene.kubectl(["get", "configmap/settings", "-o", "jsonpath={.data.runner}"])
            #expect(runner.text == built)

            let place = loopd.log.count
            try scene.project.write("image/a", "two")
            let next = try await loopd.event("imageBuilt", from: place)["reference"]?.string ?? "none"
            let deployed = try await loopd.event("deployed", from: place, limit: .seconds(60)) { event in
                event["objects"]?.array == ["release/web revision 2"]
            }
            #expect(deployed["service"] == "web")
            let after = try await scene.kubectl(["get", "configmap/settings", "-o", "jsonpath={.data.runner}"])
            #expect(after.text == next && next != built)
            try await loopd.stop()
        }
    }

    @Test("without helm, and with an image that no rule builds, there is one clear line")
    func obstacles() async throws {
        try await Scene.run { scene in
            try configure(scene)
            try await chart(scene)
            let without = try await scene.loopd("deploy", "--yes")
            if variable("PATH")?.split(separator: ":").contains(where: { (try? Disk.read("\($0)/helm")) != nil })
                != true
            {
                #expect(try await without.end() == .exited(1))
                #expect(
                    try await without.event("failed")["summary"]?.string
                        == "release web needs helm, and there is none in PATH")
            }
        }
    }
}
