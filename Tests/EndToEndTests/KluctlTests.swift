import JSON
import Reactor
import TestCluster
import Testing

@Suite("kluctl projects, with a double of kluctl", .turn) struct KluctlTests {
    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func map(_ name: String, in namespace: String) -> JSON {
        [
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
        ]
    }

    private func notices(_ loopd: Loopd) -> [String] {
        loopd.log.events().filter { $0["event"] == "notice" }.compactMap { $0["text"]?.string }
    }

    @Test("undeploy lets kluctl delete what has its discriminator; rollback says that kluctl keeps nothing")
    func folder() async throws {
        try await Scene.run { scene in
            let kluctl = try KluctlDouble()
            try scene.project.configure(scene.configuration(["shop": ["rules": [["deploy": ["manifests": "k8s"]]]]]))
            try scene.project.write("k8s/.kluctl.yaml", "discriminator: \(scene.namespace)\n")
            let list: JSON = ["apiVersion": "v1", "kind": "List", "items": [map("one", in: scene.namespace)]]
            try scene.project.write("k8s/objects.json", list.text)
            let deploy = try await scene.loopd("deploy", "--yes", environment: kluctl.environment)
            #expect(try await deploy.end(limit: .seconds(60)) == .exited(0), "\(deploy.transcript)")
            try await scene.kubectl(["get", "configmap/one"])

            let back = try await scene.loopd("rollback", "--yes", "shop", environment: kluctl.environment)
            #expect(try await back.end(limit: .seconds(60)) == .exited(1))
            let failed = try await back.event("failed")
            #expect(failed["summary"]?.string == "kluctl deploys shop, and keeps nothing to go back to")
            #expect(failed["nextStep"]?.string == "check out what was there before, and `loopd deploy shop`")

            let shown = try await scene.loopd("undeploy", "--dry-run", environment: kluctl.environment)
            #expect(try await shown.end(limit: .seconds(60)) == .exited(0), "\(shown.transcript)")
            let leaving = lines(try await shown.event("diff"))
            #expect(leaving.contains("- kluctl project  with configmap/one in \(scene.namespace)"))
            try await scene.kubectl(["get", "configmap/one"])
            let gone = try await scene.loopd("undeploy", "--yes", environment: kluctl.environment)
            #expect(try await gone.end(limit: .seconds(60)) == .exited(0), "\(gone.transcript)")
            #expect(try await gone.event("removed")["objects"]?.array == ["kluctl project"])
            try await scene.kubectl(["get", "configmap/one"], codes: [1])
            let last = "delete --project-dir \(scene.project.path)/k8s --context \(scene.cluster.context) --yes"
            #expect(try kluctl.calls().suffix(2) == [last, scene.cluster.kubeconfig])
        }
    }

    @Test("without a discriminator, and for a target of what Nix builds, what stays is one line; without kluctl, too")
    func stays() async throws {
        try await Scene.run { scene in
            let kluctl = try KluctlDouble()
            let target: JSON = ["nix": ".#manifests", "kluctl": ["target": "local"]]
            try scene.project.configure(
                scene.configuration([
                    "shop": ["rules": [["deploy": ["manifests": "k8s"]]]],
                    "base": ["rules": [["watch": ["*.nix"], "deploy": target]]],
                ]))
            try scene.project.write("k8s/.kluctl.yaml", "targets: []\n")
            let loopd = try await scene.loopd("undeploy", "--yes", environment: kluctl.environment)
            #expect(try await loopd.end(limit: .seconds(60)) == .exited(0), "\(loopd.transcript)")
            #expect(
                notices(loopd).filter { $0.hasPrefix("what kluctl") } == [
                    "what kluctl has deployed for base stays: nothing is built to be removed; `kluctl delete --context "
                        + "\(scene.cluster.context) -t local` in what Nix builds removes it",
                    "what kluctl has deployed for shop stays: its project has no discriminator, by which kluctl would "
                        + "find it",
                ])
            let without = try await scene.loopd("undeploy", "--yes", "shop")
            #expect(try await without.end(limit: .seconds(60)) == .exited(1), "\(without.transcript)")
            #expect(
                try await without.event("failed")["summary"]?.string
                    == "kluctl deploys shop, and there is no kluctl in PATH")
        }
    }

    @Test("a discriminator of loop.json is enough: nothing is built")
    func discriminator() async throws {
        try await Scene.run { scene in
            let kluctl = try KluctlDouble()
            let deploy: JSON = ["nix": ".#manifests", "kluctl": ["discriminator": .string(scene.namespace)]]
            try scene.project.configure(
                scene.configuration(["shop": ["rules": [["watch": ["*.nix"], "deploy": deploy]]]]))
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["create", "configmap", "one"])
            try await scene.kubectl(["label", "configmap", "one", "kluctl.io/discriminator=\(scene.namespace)"])
            let gone = try await scene.loopd("undeploy", "--yes", environment: kluctl.environment)
            #expect(try await gone.end(limit: .seconds(60)) == .exited(0), "\(gone.transcript)")
            let shown = lines(try await gone.event("diff"))
            #expect(shown.contains("- kluctl project  with configmap/one in \(scene.namespace)"))
            try await scene.kubectl(["get", "configmap/one"], codes: [1])
        }
    }
}
