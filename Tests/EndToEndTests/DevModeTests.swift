import Glibc
import JSON
import Reactor
import Synchronization
import TestCluster
import Testing

@Suite("Dev mode", .turn) struct DevModeTests {
    private static let program = "/.loopd/bin/helper"

    // MARK: - In and out

    struct Kind: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let workload: Workload
        /// Where a rule syncs to, and whether that becomes a volume.
        var isSeeded = false
    }

    /// What Pod Security `restricted` asks for.
    private static let restricted: JSON = [
        "runAsNonRoot": true, "runAsUser": 1000, "allowPrivilegeEscalation": false,
        "capabilities": ["drop": ["ALL"]], "seccompProfile": ["type": "RuntimeDefault"],
        "readOnlyRootFilesystem": true,
    ]

    @Test(
        "what is saved lands in a workload in dev mode, and afterwards its spec is what it was",
        arguments: [
            Kind(testDescription: "a shell image", workload: Workload()),
            Kind(testDescription: "a scratch image", workload: Workload(image: .scratch)),
            Kind(
                testDescription: "user 1000, read-only root",
                workload: Workload(container: ["securityContext": restricted]),
                isSeeded: true),
            Kind(
                testDescription: "the image's own user",
                workload: Workload(
                    image: .nonRoot,
                    container: ["livenessProbe": ["exec": ["command": ["/probe", "show", "/etc/passwd"]]]]),
                isSeeded: true),
            Kind(testDescription: "a StatefulSet", workload: Workload(kind: "StatefulSet")),
            Kind(testDescription: "a DaemonSet", workload: Workload(kind: "DaemonSet")),
        ])
    func wholeWay(_ kind: Kind) async throws {
        try await Scene.run { scene in
            try await scene.deploy(kind.workload)
            let reference = "\(kind.workload.kind.lowercased())/app"
            let before = try await scene.object(reference)
            try scene.configureDevMode(reference)
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let entered = try await loopd.event("devMode")
            #expect(entered["change"] == "entered")
            #expect(entered["milliseconds"] != nil)
            let inside = try await scene.object(reference)
            #expect(
                inside.container["command"]?.array?.prefix(2) == [.string(DevModeTests.program), "supervise"])
            #expect((inside.podSpec["initContainers"] != nil) == kind.isSeeded)
            let pod = try await scene.running()[0].name
            try await scene.untilEqual("app", "/srv/app", in: pod)
            try scene.project.write("app/b", "2")
            try await scene.untilEqual("app", "/srv/app", in: pod)

            try await loopd.stop()
            _ = try await loopd.event("devMode") { $0["change"] == "restored" }
            try await scene.expectUntouched(reference, before)
            try await scene.kubectl(["rollout", "status", reference, "--timeout=60s"])
        }
    }

    @Test("under Pod Security restricted and a quota the pods are taken, and a policy that refuses them is named")
    func policies() async throws {
        try await Scene.run { scene in
            let resources: JSON = [
                "limits": ["cpu": "100m", "memory": "64Mi"], "requests": ["cpu": "10m", "memory": "32Mi"],
            ]
            let workload = Workload(container: ["securityContext": DevModeTests.restricted, "resources": resources])
            try await scene.deploy(workload)
            try await scene.kubectl(
                ["label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce=restricted"], scoped: false)
            let quota: JSON = [
                "apiVersion": "v1", "kind": "ResourceQuota", "metadata": ["name": "q"],
                "spec": ["hard": ["pods": "2", "limits.cpu": "200m", "limits.memory": "128Mi", "requests.cpu": "20m"]],
            ]
            try await scene.kubectl(["apply", "-f", "-"], input: quota.bytes)
            let before = try await scene.object("deployment/app")
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            try await scene.untilEqual("app", "/srv/app", in: try await scene.running()[0].name)
            try await loopd.stop()
            try await scene.expectUntouched("deployment/app", before)
        }
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try await scene.kubectl(
                ["label", "namespace", scene.namespace, "pod-security.kubernetes.io/enforce=restricted"], scoped: false)
            let before = try await scene.object("deployment/app")
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let failed = try await loopd.event("failed")
            #expect(failed["summary"]?.string == "dev mode: Pod Security refuses its pods; nothing was changed")
            try await scene.untilEqual("app", "/srv/app", in: try await scene.running()[0].name)
            #expect(try await scene.object("deployment/app")["spec"] == before["spec"])
        }
    }

    // MARK: - After a kill

    @Test("kill -9 of loopd, then restore: the spec is what it was, but for the scale that somebody changed")
    func killed() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            var before = try await scene.object("deployment/app")
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            loopd.child.signal(SIGKILL)
            _ = try await loopd.end()
            let status = try await scene.loopd("status")
            _ = try await status.end()
            let shown = try JSON(parsing: status.outputText)["services"]?[0]?["devMode"]
            #expect(shown?["container"] == "app")
            #expect(shown?["lost"] == [])
            try await scene.kubectl(["scale", "deployment/app", "--replicas=2"])
            let restore = try await scene.loopd("restore")
            #expect(try await restore.end() == .exited(0), "\(restore.transcript)")
            let entry = try JSON(parsing: restore.outputText)["workloads"]?[0]
            #expect(entry?["target"] == "deployment/app")
            #expect(entry?["restored"] == true)
            before["spec"]?["replicas"] = 2
            try await scene.expectUntouched("deployment/app", before)
            // There is nothing left to do.
            let again = try await scene.loopd("restore", "--all")
            #expect(try await again.end() == .exited(0))
            #expect(try JSON(parsing: again.outputText)["workloads"] == [])
        }
    }

    @Test("the next session takes up what a killed one left, without a rollout; restore leaves a living one alone")
    func takenUp() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            let before = try await scene.object("deployment/app")
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let first = try await scene.watching()
            first.child.signal(SIGKILL)
            _ = try await first.end()
            let left = try await scene.object("deployment/app")
            let second = try await scene.watching()
            #expect(try await second.event("devMode")["change"] == "takenUp")
            #expect(try await scene.object("deployment/app")["spec"] == left["spec"])
            #expect(try await scene.replicaSets() == 2)
            let refused = try await scene.loopd("restore")
            #expect(try await refused.end() == .exited(1))
            #expect(refused.outputText.contains("--take-over"), "\(refused.outputText)")
            try await second.stop()
            try await scene.expectUntouched("deployment/app", before)
        }
    }

    @Test("restore takes dev mode from a living session when it is told to, and that one puts nothing back")
    func takenAway() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            let before = try await scene.object("deployment/app")
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let restore = try await scene.loopd("restore", "--take-over")
            #expect(try await restore.end() == .exited(0), "\(restore.transcript)")
            #expect(try await loopd.end() == .exited(1), "\(loopd.transcript)")
            let after = try await scene.object("deployment/app")
            #expect(after["spec"] == before["spec"])
        }
    }

    // MARK: - Files in /

    @Test(
        "a binary in / of a scratch image, as user 1000 with a read-only root, is replaced and started again in place")
    func rootFile() async throws {
        try await Scene.run { scene in
            try await scene.deploy(
                Workload(image: .scratch, container: ["securityContext": DevModeTests.restricted]))
            let before = try await scene.object("deployment/app")
            let build: JSON = [
                "sh", "-c", .string("{ cat \(Built.probe); cat src/text; } >new && chmod 755 new && mv new tool"),
            ]
            let rule: JSON = [
                "watch": ["src/**"], "build": build, "sideload": ["from": "tool", "to": "/probe"],
                "then": [["restart": "process"]],
            ]
            try scene.project.configure(
                scene.configuration(["app": ["workload": "deployment/app", "dev": true, "rules": [rule]]]))
            try scene.project.write(".gitignore", "new\ntool\n")
            try scene.project.write("src/text", "one")
            let loopd = try await scene.watching()
            let pod = try await scene.running()[0]
            let command = try await scene.object("deployment/app").container["command"]?.array
            #expect(command?.suffix(2) == ["/.loopd/root/probe", "run"])
            var place = 0
            for text in ["two", "six"] {
                try scene.project.write("src/text", text)
                let restarted = try await loopd.event("restarted", from: place, limit: .seconds(60))
                place = loopd.log.count
                #expect(restarted["pod"]?.string == pod.name)
            }
            let content = try await scene.text("/.loopd/root/probe", in: pod.name)
            #expect(content?.hasSuffix("six") == true)
            let now = try await scene.running()[0]
            #expect(now.containerID == pod.containerID && now.restarts == 0)
            try await loopd.stop()
            try await scene.expectUntouched("deployment/app", before)
        }
    }

    // MARK: - With others

    @Test("who takes it back is named, and it is rolled out again; after the third time it is left alone")
    func foreign() async throws {
        try await Scene.run { scene in
            let workload = Workload(container: ["command": ["/probe"], "args": ["run"]])
            try await scene.deploy(workload)
            try scene.configureDevMode()
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()

            var place = loopd.log.count
            let manifest = try await workload.manifest(on: scene.cluster)
            try await scene.kubectl(
                ["apply", "--server-side", "--force-conflicts", "--field-manager=argo", "-f", "-"],
                input: manifest.bytes)
            let first = try await loopd.event("devMode", from: place, limit: .seconds(60))
            #expect(first["change"] == "reverted")
            #expect(first["by"] == "argo")
            _ = try await loopd.event("devMode", from: place, limit: .seconds(60)) { $0["change"] == "entered" }

            place = loopd.log.count
            let patch: JSON = [
                "spec": ["template": ["spec": ["containers": [["name": "app", "command": ["/probe"]]]]]]
            ]
            let helm = ["patch", "deployment/app", "--type=strategic", "--field-manager=helm", "-p", patch.text]
            try await scene.kubectl(helm)
            let second = try await loopd.event("devMode", from: place, limit: .seconds(60))
            #expect(second["by"] == "helm")
            _ = try await loopd.event("devMode", from: place, limit: .seconds(60)) { $0["change"] == "entered" }

            place = loopd.log.count
            // Neither the scale nor a label is a way out of dev mode.
            try await scene.kubectl(["label", "deployment/app", "team=a"])
            try await scene.kubectl(helm)
            let third = try await loopd.event("failed", from: place, limit: .seconds(60))
            #expect(third["summary"]?.string?.contains("helm took it back a third time") == true, "\(third)")
            #expect(loopd.log.events(from: place).allSatisfy { $0["event"] != "devMode" })
            try await loopd.stop()
            let left = try await scene.object("deployment/app")
            #expect(left.container["command"] == ["/probe"])
            #expect(left.podSpec["volumes"] == nil)
        }
    }

    @Test(
        "loopd's own apply and dev mode are one rollout, a second start is none, and a later apply finds the original")
    func ownApply() async throws {
        try await Scene.run { scene in
            let manifest = try await Workload(container: ["command": ["/probe", "run"]]).manifest(on: scene.cluster)
            try scene.project.write("k8s/app.json", manifest.text)
            let settings: JSON = ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"]]
            try scene.project.write("k8s/settings.json", settings.text)
            try scene.configureDevMode(manifests: ["k8s"])
            try scene.project.write("app/a", "1")
            let first = try await scene.watching()
            #expect(try await first.event("devMode")["change"] == "entered")
            #expect(try await scene.replicaSets() == 1)
            first.child.signal(SIGKILL)
            _ = try await first.end()
            let second = try await scene.watching()
            #expect(try await second.event("devMode")["change"] == "takenUp")
            #expect(try await second.event("deployed")["objects"] == [])
            #expect(try await scene.replicaSets() == 1)
            try await second.stop()
            let left = try await scene.object("deployment/app")
            #expect(left.container["command"] == ["/probe", "run"])
            let output = try await scene.kubectl(["apply", "-f", "-"], input: manifest.bytes)
            #expect(output.text.hasSuffix(" unchanged\n"), "\(output.text)")
        }
    }

    @Test("pods under OnDelete are replaced on the way in and on the way out")
    func onDelete() async throws {
        try await Scene.run { scene in
            var manifest = try await Workload(kind: "DaemonSet").manifest(on: scene.cluster)
            manifest["spec"]?["updateStrategy"] = ["type": "OnDelete"]
            try scene.project.write("k8s/app.json", manifest.text)
            try await scene.deploy(Workload("other"))
            try await scene.kubectl(["apply", "-f", "-"], input: manifest.bytes)
            let before = try await scene.object("daemonset/app")
            try scene.configureDevMode("daemonset/app")
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            #expect(try await loopd.event("devMode")["change"] == "entered")
            try await loopd.stop()
            try await scene.expectUntouched("daemonset/app", before)
            try await scene.untilNoPodHasHelper()
        }
    }
}

extension JSON {
    fileprivate var podSpec: JSON { at("spec", "template", "spec") ?? .null }
    fileprivate var container: JSON { podSpec["containers"]?[0] ?? .null }
}

extension Scene {
    /// A `loop.json` with one service in dev mode that syncs `app/**` to `/srv/app`.
    fileprivate func configureDevMode(_ workload: String = "deployment/app", manifests: JSON? = nil) throws {
        var service: JSON = [
            "workload": .string(workload), "dev": true,
            "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
        ]
        service["manifests"] = manifests
        try project.configure(configuration(["app": service]))
        try project.folder("app")
    }

    func object(_ reference: String) async throws -> JSON {
        try JSON(parsing: try await kubectl(["get", reference, "-o", "json", "--show-managed-fields"]).standardOutput)
    }

    /// The revisions of the one Deployment that there is.
    fileprivate func replicaSets() async throws -> Int {
        let list = try JSON(parsing: try await kubectl(["get", "replicasets", "-o", "json"]).standardOutput)
        return list["items"]?.array?.count ?? 0
    }

    /// Nothing of dev mode is left in a workload, and in the namespace.
    func expectUntouched(_ reference: String, _ before: JSON) async throws {
        #expect(try await object(reference)["spec"] == before["spec"])
        // What was sent last may arrive when loopd is gone already.
        let last = Mutex<[String]>([])
        try await within(.seconds(30), "nothing is left", state: { last.withLock { "\($0)" } }) { [self] in
            while true {
                let left = try await leftovers(reference)
                if left.isEmpty { return }
                last.withLock { $0 = left }
                try Task.checkCancellation()
            }
        }
    }

    private func leftovers(_ reference: String) async throws -> [String] {
        let metadata = try await object(reference)["metadata"] ?? .null
        let annotations = (metadata["annotations"]?.object?.keys ?? []).filter { $0.hasPrefix("loopd.dev/") }
        let managers = (metadata["managedFields"]?.array ?? []).compactMap { $0["manager"]?.string }
        let maps = try await kubectl(["get", "configmaps", "-l", "app.kubernetes.io/managed-by=loopd", "-o", "name"])
        return annotations + managers.filter { $0 == "loopd" } + maps.text.split(separator: "\n").map(String.init)
    }

    /// Waits until the pods of the workload are the original's.
    fileprivate func untilNoPodHasHelper() async throws {
        try await within(.seconds(60), "pods without helper") { [self] in
            while true {
                let list = try JSON(
                    parsing: try await kubectl(["get", "pods", "-l", "app=app", "-o", "json"]).standardOutput)
                let pods = list["items"]?.array ?? []
                let old = pods.filter { $0.at("spec", "containers")?[0]?["command"] != nil }
                if !pods.isEmpty, old.isEmpty { return }
                try Task.checkCancellation()
            }
        }
    }
}
