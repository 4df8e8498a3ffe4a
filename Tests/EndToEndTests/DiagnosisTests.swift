import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Why a workload does not get ready", .turn) struct DiagnosisTests {
    /// A workload that does not get ready, what is said about it, and what mends it.
    struct Broken: Sendable {
        let name: String
        /// What the only failure about it must say.
        let says: [String]
        var container: JSON = [:]
        var pod: JSON = [:]
        /// What mends it, merged into the container and the pod.
        var mended: JSON = [:]
        var mendedPod: JSON = [:]
    }

    private static func shell(_ line: String) -> JSON { ["command": ["sh", "-c", .string(line)]] }

    private static func broken(_ image: JSON, registry: String) -> [Broken] {
        let runs: JSON = ["command": ["/probe", "run"]]
        return [
            Broken(
                name: "crash", says: ["exited with code 3", "boom: cannot open config"],
                container: shell("echo starting; echo boom: cannot open config >&2; exit 3"), mended: runs),
            Broken(
                name: "done", says: ["exited with code 0, although it is to keep running", "in the foreground"],
                container: shell("echo done"), mended: runs),
            Broken(
                name: "noimage", says: ["\(registry)/no/such:dev", "has no such image or tag", "was it pushed"],
                container: ["image": .string("\(registry)/no/such:dev")], mended: ["image": image]),
            Broken(
                name: "unreachable", says: ["registry.invalid:5000/web:1", "does not reach registry.invalid:5000"],
                container: ["image": "registry.invalid:5000/web:1"], mended: ["image": image]),
            Broken(
                name: "noconfig", says: ["there is no ConfigMap \"missing-config\"", "create it in namespace"],
                container: ["envFrom": [["configMapRef": ["name": "missing-config"]]]], mended: ["envFrom": nil]),
            Broken(
                name: "nokey", says: ["Secret \"login\" has no key \"TOKEN\"", "lists the keys"],
                container: [
                    "env": [["name": "TOKEN", "valueFrom": ["secretKeyRef": ["name": "login", "key": "TOKEN"]]]]
                ], mended: ["env": nil]),
            Broken(
                name: "novolume", says: ["volume \"settings\" cannot be mounted: there is no ConfigMap \"missing\""],
                pod: ["volumes": [["name": "settings", "configMap": ["name": "missing"]]]],
                mendedPod: ["volumes": nil]),
            Broken(
                name: "unready", says: ["its readiness probe fails (it runs sh)", "not yet: no database"],
                container: [
                    "readinessProbe": [
                        "exec": ["command": ["sh", "-c", "echo not yet: no database; exit 1"]], "periodSeconds": 1,
                    ]
                ], mended: ["readinessProbe": ["exec": ["command": ["true"]], "periodSeconds": 1]]),
            Broken(
                name: "sick", says: ["is killed because its liveness probe fails", "deadlocked"],
                container: [
                    "livenessProbe": [
                        "exec": ["command": ["sh", "-c", "echo deadlocked; exit 1"]], "periodSeconds": 1,
                        "failureThreshold": 1,
                    ]
                ], mended: ["livenessProbe": nil]),
            Broken(
                name: "nocommand", says: ["there is no \"/no/such/binary\" in the image", "correct the command"],
                container: ["command": ["/no/such/binary", "--password=hunter2"]], mended: runs),
            Broken(
                name: "initial", says: ["init container \"migrate\" exited with code 1", "migration failed: no table"],
                pod: [
                    "initContainers": [
                        [
                            "name": "migrate", "image": image, "imagePullPolicy": "IfNotPresent",
                            "command": ["sh", "-c", "echo migration failed: no table; exit 1"],
                        ]
                    ]
                ], mendedPod: ["initContainers": nil]),
            Broken(
                name: "large", says: ["no node takes it", "Insufficient cpu", "it asks for cpu 6400"],
                container: ["resources": ["requests": ["cpu": "6400"]]], mended: ["resources": nil]),
            Broken(
                name: "noclaim", says: ["there is no PersistentVolumeClaim \"data\"", "correct claimName"],
                pod: ["volumes": [["name": "data", "persistentVolumeClaim": ["claimName": "data"]]]],
                mendedPod: ["volumes": nil]),
        ]
    }

    private static let flake = """
        {
          outputs = { self }:
            let \(PrivateStore.write) in {
              manifests = write "manifests.json" (builtins.readFile ./items.json);
            };
        }
        """

    /// Puts a set of objects under a rule that deploys it.
    private func prepare(_ scene: Scene, _ items: [JSON]) throws {
        let rule: JSON = ["watch": ["*.nix", "*.json"], "deploy": ["nix": ".#manifests"]]
        try scene.project.configure(scene.configuration(["platform": ["root": "nix", "rules": [rule]]]))
        try scene.project.write("nix/flake.nix", Self.flake)
        try write(scene, items)
    }

    private func write(_ scene: Scene, _ items: [JSON]) throws {
        let list: JSON = ["apiVersion": "v1", "kind": "List", "items": .array(items)]
        try scene.project.write("nix/items.json", list.text)
    }

    private func text(_ failure: JSON) -> String {
        let details = (failure["details"]?.array ?? []).compactMap(\.string)
        return ([failure["summary"]?.string ?? ""] + details + [failure["nextStep"]?.string ?? ""])
            .joined(separator: "\n")
    }

    @Test("every cause is told while the rollout still fails, once and for itself; what is mended rolls out")
    func states() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            let image = JSON.string(try await TestImage.shell.name(on: scene.cluster))
            let broken = Self.broken(image, registry: scene.cluster.registry)
            let login: JSON = [
                "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "login"],
                "stringData": ["PASSWORD": "hunter2"],
            ]
            func items(mended: Bool) async throws -> [JSON] {
                var items = [login]
                for one in broken {
                    let workload = Workload(
                        one.name, container: mended ? one.container.merged(with: one.mended) : one.container,
                        pod: mended ? one.pod.merged(with: one.mendedPod) : one.pod)
                    items.append(try await workload.manifest(on: scene.cluster))
                }
                return items
            }
            try prepare(scene, try await items(mended: false))
            let loopd = try await scene.loopd("watch", environment: store.environment)
            _ = try await loopd.event("deployed", limit: .seconds(90))
            for one in broken {
                let failure = try await loopd.event("failed", limit: .seconds(60)) {
                    $0["summary"]?.string?.hasPrefix("\(one.name)-") == true
                }
                for words in one.says { #expect(text(failure).contains(words), "\(one.name): \(text(failure))") }
                #expect(failure["nextStep"]?.string?.isEmpty == false, "\(text(failure))")
            }
            let failures = loopd.log.events().filter { $0["event"] == "failed" }
            for one in broken {
                let about = failures.filter { $0["summary"]?.string?.hasPrefix("\(one.name)-") == true }
                #expect(about.count == 1, "\(about.map(text))")
            }
            #expect(failures.count == broken.count, "\(failures.map(text))")
            #expect(!loopd.log.events().contains { $0["event"] == "rolledOut" })
            #expect(!loopd.outputText.contains("hunter2"))

            let place = loopd.log.count
            try write(scene, try await items(mended: true))
            let rolled = try await loopd.event("rolledOut", from: place, limit: .seconds(120))
            #expect(rolled["workloads"]?.array?.count == broken.count)
            let late = loopd.log.events(from: place).filter { $0["event"] == "failed" }
            #expect(late.isEmpty, "\(late.map(text))")
        }
    }

    @Test("a pod that a quota refuses, and a pod that Pod Security refuses")
    func refusals() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            let quota: JSON = [
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "few"],
                "spec": ["hard": ["pods": "0"]],
            ]
            let web = try await Workload("web").manifest(on: scene.cluster)
            try prepare(scene, [quota, web])
            let space: JSON = [
                "apiVersion": "v1", "kind": "Namespace",
                "metadata": [
                    "name": .string(scene.namespace), "labels": ["pod-security.kubernetes.io/enforce": "restricted"],
                ],
            ]
            try await scene.kubectl(["apply", "-f", "-"], input: space.bytes)
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let security = try await loopd.event("failed", limit: .seconds(90))
            #expect(text(security).contains("no pod of deployment/web can be created"), "\(text(security))")
            #expect(text(security).contains("Pod Security \"restricted\" refuses it"), "\(text(security))")
            #expect(text(security).contains("\nrunAsNonRoot != true ("), "\(text(security))")

            // What the quota refuses comes to light when Pod Security does not refuse it before.
            let place = loopd.log.count
            try await scene.kubectl(
                ["label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce-"], scoped: false)
            let few = try await loopd.event("failed", from: place, limit: .seconds(60))
            #expect(text(few).contains("ResourceQuota \"few\" is used up"), "\(text(few))")
            #expect(text(few).contains("requested: pods=1, used: pods=0, limited: pods=0"), "\(text(few))")

            // Healed from outside, the same rollout goes on.
            try await scene.kubectl(["delete", "resourcequota", "few"])
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
        }
    }

    @Test("watch and status tell why a StatefulSet has too few pods, although that was said before they came")
    func earlierRefusal() async throws {
        try await Scene.run { scene in
            try scene.configure("statefulset/app")
            let quota: JSON = [
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "few"],
                "spec": ["hard": ["pods": "0"]],
            ]
            try await scene.kubectl(["create", "namespace", scene.namespace], scoped: false)
            try await scene.kubectl(["apply", "-f", "-"], input: quota.bytes)
            try await scene.deploy(Workload(kind: "StatefulSet", replicas: 2), wait: false)
            let refusals = ["get", "events", "--field-selector", "reason=FailedCreate", "-o", "name"]
            try await within(.seconds(60), "a refused pod") {
                while try await scene.kubectl(refusals).standardOutput.isEmpty { try Task.checkCancellation() }
            }
            let cause = "no pod of statefulset/app can be created: ResourceQuota \"few\" is used up"
            let loopd = try await scene.loopd("watch")
            let failure = try await loopd.event("failed", limit: .seconds(60))
            #expect(failure["summary"]?.string == "no pod to sync into: \(cause)", "\(text(failure))")
            @Sendable func status() async throws -> String {
                let status = try await scene.loopd("status")
                _ = try await status.end()
                return status.outputText
            }
            // Without quotation marks, which JSON escapes.
            let start = "no pod of statefulset/app can be created: ResourceQuota"
            #expect(try await status().contains(start))
            // One of two is too few as well.
            let place = loopd.log.count
            let one: JSON = ["spec": ["hard": ["pods": "1"]]]
            try await scene.kubectl(["patch", "resourcequota", "few", "--type=merge", "-p", one.text])
            _ = try await loopd.event("connected", from: place, limit: .seconds(60))
            try await within(.seconds(60), "status tells of the second pod") {
                while try await !status().contains(start) { try Task.checkCancellation() }
            }
            try await loopd.stop()
        }
    }

    @Test("a program that needs more memory than its limit", .enabled(if: Ability.limitsMemory))
    func memory() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            var greedy = Workload("greedy")
            greedy.container = ["command": ["dd", "if=/dev/zero", "of=/dev/null", "bs=200M", "count=1"]]
            greedy.container["resources"] = ["limits": ["memory": "24Mi"]]
            try prepare(scene, [try await greedy.manifest(on: scene.cluster)])
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let failure = try await loopd.event("failed", limit: .seconds(90))
            #expect(
                text(failure).contains("was killed for using more memory than its limit of 24Mi"), "\(text(failure))")
            let place = loopd.log.count
            greedy.container = [:]
            try write(scene, [try await greedy.manifest(on: scene.cluster)])
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(90))
        }
    }

    @Test("watch tells why there is no pod to sync into, and that a reached one is not ready, until it is")
    func watching() async throws {
        try await Scene.run { scene in
            try scene.configure()
            try scene.project.write("app/a", "1")
            try await scene.deploy(Workload(container: ["command": ["/no/such/binary"]]), wait: false)
            let loopd = try await scene.loopd("watch")
            let absent = try await loopd.event("failed", limit: .seconds(60))
            #expect(absent["service"]?.string == "app")
            #expect(absent["summary"]?.string?.hasPrefix("no pod to sync into: app-") == true)
            #expect(text(absent).contains("there is no \"/no/such/binary\" in the image"), "\(text(absent))")
            var place = loopd.log.count
            let probe: JSON = ["exec": ["command": ["sh", "-c", "echo no file; test -e /srv/app/ready"]]]
            try await scene.deploy(
                Workload(container: ["readinessProbe": probe.merged(with: ["periodSeconds": 1])]), wait: false)
            let unready = try await loopd.event("failed", from: place, limit: .seconds(60)) {
                $0["summary"]?.string?.contains("readiness") == true
            }
            #expect(unready["summary"]?.string?.hasPrefix("app-") == true)
            #expect(text(unready).contains("\nno file\n"), "\(text(unready))")
            place = loopd.log.count
            try scene.project.write("app/ready", "1")
            _ = try await loopd.event("notice", from: place, limit: .seconds(60)) {
                $0["text"]?.string == "the pods of deployment/app are ready"
            }
        }
    }

    @Test("status tells the probe's answer of a pod that is not ready, and why there is no pod")
    func status() async throws {
        try await Scene.run { scene in
            try scene.configure()
            try await scene.deploy(
                Workload(container: [
                    "readinessProbe": ["exec": ["command": ["sh", "-c", "echo not yet; exit 1"]], "periodSeconds": 1]
                ]), wait: false)
            let failure = "its readiness probe fails"
            try await within(.seconds(60), "status tells of the probe") {
                while true {
                    let output = try await scene.loopd("status")
                    _ = try await output.end()
                    if output.outputText.contains(failure) { return }
                    try Task.checkCancellation()
                }
            }
        }
    }
}

extension Ability {
    /// Whether containers of the playground are held to their limits.
    static var limitsMemory: Bool {
        if !isPlayground { return true }
        let controllers = (try? Disk.read("/sys/fs/cgroup/cgroup.controllers")) ?? []
        return String(decoding: controllers, as: UTF8.self).split { $0 == " " || $0 == "\n" }.contains("memory")
            || access("/sys/fs/cgroup/memory/cgroup.procs", F_OK) == 0
    }
}
