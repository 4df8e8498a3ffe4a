import JSON
import Reactor
import TestCluster
import Testing

@Suite("What undeploy leaves alone", .turn) struct UndeployTests {
    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func names(_ kind: String, _ scene: Scene) async throws -> [String] {
        let output = try await scene.kubectl(["get", kind, "-o", "name"])
        return output.text.split(separator: "\n").map { String($0.split(separator: "/").last ?? "") }
    }

    private func map(_ name: String, _ value: String = "1") -> String {
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: \(name)\ndata:\n  a: \"\(value)\"\n"
    }

    private func notices(_ loopd: Loopd) -> [String] {
        loopd.log.events().filter { $0["event"] == "notice" }.compactMap { $0["text"]?.string }
    }

    private func removed(_ loopd: Loopd) -> [String] {
        loopd.log.events().filter { $0["event"] == "removed" }.flatMap { $0["objects"]?.array ?? [] }
            .compactMap(\.string)
    }

    private func managers(_ object: String, _ scene: Scene) async throws -> [String] {
        let output = try await scene.kubectl(["get", object, "-o", "json", "--show-managed-fields"])
        let entries = try JSON(parsing: output.standardOutput).at("metadata", "managedFields")?.array ?? []
        return entries.compactMap { $0["manager"]?.string }
    }

    /// Runs a command of loopd to its end, which is a good one.
    private func run(
        _ scene: Scene, _ command: String, _ argument: String = "--yes", of service: String? = nil,
        by helm: HelmDouble? = nil
    ) async throws -> Loopd {
        let environment = helm?.environment ?? [:]
        let loopd =
            if let service {
                try await scene.loopd(command, argument, service, environment: environment)
            } else {
                try await scene.loopd(command, argument, environment: environment)
            }
        #expect(try await loopd.end(limit: .seconds(60)) == .exited(0), "\(loopd.transcript)")
        return loopd
    }

    @Test("objects that were there before stay, however often they are deployed, and loopd lets go of them")
    func found() async throws {
        try await Scene.run { scene in
            let base: JSON = [
                "manifests": ["base"], "rules": [["watch": ["base/**"], "sync": ["to": "/x"]]], "selector": "a=b",
            ]
            let web: JSON = ["root": "web", "rules": [["deploy": ["manifests": "k8s"]]]]
            try scene.project.configure(scene.configuration(["base": base, "web": web]))
            try scene.project.write("base/maps.yaml", map("base-new") + "---\n" + map("base-theirs", "2"))
            try scene.project.write("web/k8s/maps.yaml", map("new") + "---\n" + map("theirs", "2"))
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            for name in ["theirs", "base-theirs"] {
                try await scene.kubectl(["create", "configmap", name, "--from-literal=b=1"])
            }
            let stays: Set = [
                "configmap/theirs stays: it was there before", "configmap/base-theirs stays: it was there before",
            ]
            for _ in 0..<2 {
                _ = try await run(scene, "deploy")
                // A second one does not take them for its own.
                _ = try await run(scene, "deploy")
                #expect(try await managers("configmap/theirs", scene).contains("loopd"))
                let gone = try await run(scene, "undeploy")
                #expect(Set(removed(gone)) == ["configmap/base-new", "configmap/new"])
                #expect(stays.isSubset(of: notices(gone)), "\(gone.transcript)")
                #expect(
                    try await names("configmap", scene).filter { $0 != "kube-root-ca.crt" }
                        == ["base-theirs", "theirs"])
                #expect(try await managers("configmap/theirs", scene) == ["kubectl-create"])
            }
            // Deleted by somebody and made again they are loopd's.
            _ = try await run(scene, "deploy")
            try await scene.kubectl(["delete", "configmap", "theirs", "base-theirs"])
            _ = try await run(scene, "deploy")
            let gone = try await run(scene, "undeploy")
            #expect(removed(gone).count == 4, "\(gone.transcript)")
        }
    }

    @Test("what was there before and leaves the manifests stays, and is still known when it comes back")
    func leaves() async throws {
        try await Scene.run { scene in
            try scene.project.configure(
                scene.configuration(["web": ["root": "web", "rules": [["deploy": ["manifests": "k8s"]]]]]))
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["create", "configmap", "theirs"])
            try scene.project.write("web/k8s/maps.yaml", map("new") + "---\n" + map("theirs"))
            _ = try await run(scene, "deploy")
            try scene.project.replace("web/k8s/maps.yaml", map("new", "2"))
            let left = try await run(scene, "deploy")
            #expect(
                notices(left) == ["configmap/theirs has left the manifests and stays: it was there before"],
                "\(left.transcript)")
            let same = try await run(scene, "deploy")
            #expect(notices(same).isEmpty, "\(same.transcript)")
            try scene.project.replace("web/k8s/maps.yaml", map("new", "2") + "---\n" + map("theirs", "3"))
            _ = try await run(scene, "deploy")
            let gone = try await run(scene, "undeploy")
            #expect(removed(gone) == ["configmap/new"], "\(gone.transcript)")
            #expect(try await names("configmap", scene).contains("theirs"))
        }
    }

    @Test("a session whose list is lost, and a service that gets another name, still know what is loopd's")
    func renames() async throws {
        try await Scene.run { scene in
            func configure(_ name: String) throws {
                let service: JSON = [
                    "root": "web", "manifests": ["base"], "rules": [["deploy": ["manifests": "k8s"]]],
                    "selector": "a=b",
                ]
                try scene.project.configure(scene.configuration([name: service]))
            }
            try configure("web")
            try scene.project.write("web/base/map.yaml", map("base"))
            try scene.project.write("web/k8s/maps.yaml", map("new") + "---\n" + map("theirs"))
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["create", "configmap", "theirs"])
            _ = try await run(scene, "deploy")
            try configure("shop")
            let renamed = try await run(scene, "deploy")
            #expect(
                notices(renamed).contains(
                    "service web is not in loop.json any more, and still in the cluster: `loopd undeploy web` removes it"
                ), "\(renamed.transcript)")
            let former = try await run(scene, "undeploy", of: "web")
            #expect(
                Set(["base", "new"].map { "configmap/\($0) stays: service shop has it, too" })
                    .isSubset(of: notices(former)), "\(former.transcript)")
            #expect(removed(former).isEmpty)
            let gone = try await run(scene, "undeploy")
            #expect(Set(removed(gone)) == ["configmap/base", "configmap/new"], "\(gone.transcript)")
            #expect(try await names("configmap", scene).filter { $0 != "kube-root-ca.crt" } == ["theirs"])

            try scene.project.replace("web/k8s/maps.yaml", map("new"))
            _ = try await run(scene, "deploy")
            try await scene.kubectl(["delete", "configmap/loopd-inventory-shop"])
            try scene.project.replace("web/k8s/maps.yaml", map("new", "2"))
            _ = try await run(scene, "deploy")
            let again = try await run(scene, "undeploy")
            #expect(Set(removed(again)) == ["configmap/base", "configmap/new"], "\(again.transcript)")
        }
    }

    @Test("a service that is in loop.json no more is told of, and goes with the others")
    func removedService() async throws {
        try await Scene.run { scene in
            let web: JSON = ["root": "web", "rules": [["deploy": ["manifests": "k8s"]]]]
            let old: JSON = ["root": "old", "rules": [["deploy": ["manifests": "k8s"]]]]
            try scene.project.configure(scene.configuration(["web": web, "old": old]))
            try scene.project.write("web/k8s/map.yaml", map("web"))
            try scene.project.write("old/k8s/map.yaml", map("old"))
            _ = try await run(scene, "deploy")
            try scene.project.configure(scene.configuration(["web": web]))

            let watch = try await scene.loopd("watch", "--cleanup")
            let words =
                "service old is not in loop.json any more, and still in the cluster: `loopd undeploy old` removes it"
            _ = try await watch.event("notice") { $0["text"]?.string == words }
            _ = try await watch.event("deployed") { $0["service"] == "web" }
            let place = watch.log.count
            try scene.project.replace("web/k8s/map.yaml", map("web", "2"))
            _ = try await watch.event("deployed", from: place)
            try await watch.stop()
            #expect(removed(watch) == ["configmap/web"], "\(watch.transcript)")
            #expect(
                notices(watch).contains(
                    "namespace/\(scene.namespace) stays: what was deployed for service old is in it"),
                "\(watch.transcript)")

            let unknown = try await scene.loopd("undeploy", "--yes", "wbe")
            #expect(try await unknown.end() == .exited(1))
            let failed = try await unknown.event("failed")
            #expect(failed["summary"] == "loop.json has no service \"wbe\", and nothing of one is deployed")
            #expect(failed["nextStep"] == "did you mean \"web\"?")
            let named = try await scene.loopd("undeploy", "--dry-run", "old")
            #expect(try await named.end() == .exited(0), "\(named.transcript)")
            #expect(lines(try await named.event("diff")) == ["- configmap/old"])
            let shown = try await run(scene, "undeploy", "--dry-run").event("diff")
            #expect(lines(shown).first == "- configmap/old")
            let gone = try await run(scene, "undeploy")
            #expect(
                notices(gone).contains("service old is not in loop.json any more: what was deployed for it goes, too"))
            let event = try await gone.event("removed")
            #expect(event["service"] == "old" && event["objects"]?.array == ["configmap/old"])
            try await scene.kubectl(["get", "namespace", scene.namespace], codes: [1], scoped: false)
        }
    }

    @Test("a service that is in loop.json no more stays while another loopd watches its workload")
    func heldService() async throws {
        try await Scene.run { scene in
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            let old: JSON = [
                "root": "old", "workload": "deployment/old",
                "rules": [sync, ["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]]],
            ]
            let web: JSON = ["root": "web", "rules": [["deploy": ["manifests": "k8s"]]]]
            try scene.project.configure(scene.configuration(["old": old]))
            try scene.project.write("old/app/a", "1")
            try scene.project.write("old/k8s/old.json", try await Workload("old").manifest(on: scene.cluster).text)
            try scene.project.write("web/k8s/map.yaml", map("web"))
            let watch = try await scene.loopd("watch")
            _ = try await watch.event("connected", limit: .seconds(90))
            try scene.project.configure(scene.configuration(["web": web]))
            let refused = try await scene.loopd("undeploy", "--yes")
            #expect(try await refused.end(limit: .seconds(60)) == .exited(1), "\(refused.transcript)")
            let summary = try await refused.event("failed")["summary"]?.string ?? ""
            #expect(summary.hasPrefix("deployment/old is synced by "), "\(summary)")
            #expect(try await names("deployment", scene) == ["old"])
            try await watch.stop()
            let gone = try await run(scene, "undeploy")
            #expect(removed(gone) == ["deployment/old", "namespace/\(scene.namespace)"], "\(gone.transcript)")
        }
    }

    @Test("a namespace in the manifests is loopd's where it has made it, and stays while anything of others is in it")
    func namespaces() async throws {
        try await Scene.run { scene in
            let team = "\(scene.namespace)-team"
            func remove() async throws {
                try await scene.kubectl(["delete", "namespace", team, "--wait=false"], codes: [0, 1], scoped: false)
            }
            do {
                let web: JSON = ["root": "web", "rules": [["deploy": ["manifests": "k8s"]]]]
                try scene.project.configure(scene.configuration(["web": web]))
                let spaces = [team, scene.namespace].map {
                    "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: \($0)\n"
                }
                try scene.project.write("web/k8s/spaces.yaml", spaces.joined(separator: "---\n"))
                _ = try await run(scene, "deploy")
                // Nothing is to be done twice, though there is nothing in it but a name.
                let same = try await run(scene, "deploy").event("deployed")
                #expect(same["objects"]?.array == [])
                try await scene.kubectl(["create", "quota", "theirs", "--hard=pods=9"])
                try await scene.kubectl(["create", "configmap", "default", "-n", team], scoped: false)
                try scene.project.replace("web/k8s/spaces.yaml", spaces[1])
                let left = try await run(scene, "deploy")
                #expect(
                    notices(left) == [
                        "namespace/\(team) has left the manifests and stays: configmap/default is not loopd's"
                    ], "\(left.transcript)")
                let first = try await run(scene, "undeploy")
                let stays: Set = [
                    "namespace/\(team) stays: configmap/default is not loopd's",
                    "namespace/\(scene.namespace) stays: resourcequota/theirs is not loopd's",
                ]
                #expect(Set(notices(first)) == stays, "\(first.transcript)")
                #expect(removed(first).isEmpty)

                try await scene.kubectl(["delete", "quota", "theirs"])
                try await remove()
                try await scene.kubectl(["wait", "--for=delete", "namespace/\(team)", "--timeout=60s"], scoped: false)
                try scene.project.replace("web/k8s/spaces.yaml", spaces.joined(separator: "---\n"))
                _ = try await run(scene, "deploy")
                let second = try await run(scene, "undeploy")
                #expect(
                    Set(removed(second)) == ["namespace/\(team)", "namespace/\(scene.namespace)"],
                    "\(second.transcript)")
            } catch {
                try await remove()
                throw error
            }
            try await remove()
        }
    }

    private func configureChart(_ scene: Scene, hasRule: Bool = true, service: String = "web") throws {
        let rule: JSON = ["watch": ["chart/**"], "deploy": ["helm": ["chart": "./chart", "release": "web"]]]
        let other: JSON = ["watch": ["k8s/**"], "deploy": ["manifests": "k8s"]]
        try scene.project.configure(scene.configuration([service: ["rules": [hasRule ? rule : other]]]))
        try scene.project.write("chart/Chart.yaml", "apiVersion: v2\nname: web\nversion: 1.0.0\n")
        try scene.project.write("chart/manifest.yaml", map("settings"))
        try scene.project.write("k8s/map.yaml", map("plain"))
    }

    @Test("a release that was there before is upgraded, and stays; one that loopd has installed goes")
    func releases() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            try configureChart(scene)
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["create", "configmap", "settings"])
            try helm.install(map("settings", "0"))
            _ = try await run(scene, "deploy", by: helm)
            let kept = try await run(scene, "undeploy", by: helm)
            #expect(notices(kept).contains("release/web stays: it was there before"), "\(kept.transcript)")
            #expect(try helm.calls("uninstall").isEmpty)
            #expect(try await names("configmap", scene).contains("settings"))

            try helm.uninstall()
            _ = try await run(scene, "deploy", by: helm)
            try scene.project.replace("chart/manifest.yaml", map("settings", "2"))
            _ = try await run(scene, "deploy", by: helm)
            let gone = try await run(scene, "undeploy", by: helm)
            #expect(removed(gone) == ["release/web"], "\(gone.transcript)")
            #expect(try helm.calls("uninstall").count == 1)
        }
    }

    @Test("a release of a service that gets another name stays with it, and goes with it")
    func renamedRelease() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            try configureChart(scene)
            _ = try await run(scene, "deploy", by: helm)
            try configureChart(scene, service: "shop")
            _ = try await run(scene, "deploy", by: helm)
            let all = try await run(scene, "undeploy", "--dry-run", by: helm)
            #expect(!notices(all).contains("release/web stays: it was there before"), "\(all.transcript)")
            let former = try await run(scene, "undeploy", of: "web", by: helm)
            #expect(notices(former).contains("release/web stays: service shop has it, too"), "\(former.transcript)")
            #expect(try helm.calls("uninstall").isEmpty)
            let gone = try await run(scene, "undeploy", by: helm)
            #expect(removed(gone) == ["release/web", "namespace/\(scene.namespace)"], "\(gone.transcript)")
        }
    }

    @Test("a namespace goes after the releases of the other services that are in it")
    func namespaceLast() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            try configureChart(scene)
            let chart: JSON = ["watch": ["chart/**"], "deploy": ["helm": ["chart": "./chart", "release": "web"]]]
            let zone: JSON = ["root": "zone", "rules": [["deploy": ["manifests": "k8s"]]]]
            try scene.project.configure(scene.configuration(["web": ["rules": [chart]], "zone": zone]))
            try scene.project.write(
                "zone/k8s/space.yaml", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: \(scene.namespace)\n")
            _ = try await run(scene, "deploy", by: helm)
            let gone = try await run(scene, "undeploy", by: helm)
            #expect(removed(gone) == ["release/web", "namespace/\(scene.namespace)"], "\(gone.transcript)")
        }
    }

    @Test("a release whose rule has left loop.json goes, too")
    func formerRelease() async throws {
        try await Scene.run { scene in
            let helm = try HelmDouble()
            try configureChart(scene)
            _ = try await run(scene, "deploy", by: helm)
            try configureChart(scene, hasRule: false)
            _ = try await run(scene, "deploy", by: helm)
            let gone = try await run(scene, "undeploy", by: helm)
            #expect(
                Set(removed(gone)) == ["release/web", "configmap/plain", "namespace/\(scene.namespace)"],
                "\(gone.transcript)")
        }
    }
}
