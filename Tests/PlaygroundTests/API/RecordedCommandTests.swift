import Glibc
import JSON
import Reactor
import Testing

@testable import Playground

/// Runs the recorded commands in their order with the real kubectl, and expects the recorded output.
@Suite(.enabled(if: RunningAPI.hasKubectl, "kubectl is not installed"), .timeLimit(.minutes(5)))
struct RecordedCommandTests {
    private static let demo = """
        {"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"demo","namespace":"demo"},\
        "spec":{"replicas":1,"selector":{"matchLabels":{"app":"demo"}},"template":{"metadata":{"labels":{"app":"demo"}},\
        "spec":{"automountServiceAccountToken":false,"containers":[{"command":["sh","-c","echo started; sleep 1000"],\
        "image":"localhost:5000/app:1","name":"c"}],"hostNetwork":true,"terminationGracePeriodSeconds":1}}}}
        """

    private func writeManifests(_ directory: String) throws {
        let changed = Self.demo.replacing("started", with: "again")
        try FileTree.write(Array(Self.demo.utf8), to: "\(directory)/demo.yaml")
        try FileTree.write(Array(changed.utf8), to: "\(directory)/demo2.yaml")
        try FileTree.write(
            Array(Self.demo.replacing("replicas", with: "replicsa").utf8), to: "\(directory)/bad.yaml")
    }

    /// Runs a recorded command, and compares what it says and how it ends.
    private func replay(_ name: String, on api: RunningAPI) async throws {
        let recording = try Recording(name)
        let pod = api.store.list(.pod, "demo").items.first?.at("metadata", "name")?.string ?? ""
        var arguments = recording.arguments.map { $0.hasPrefix("demo-") ? pod : $0 }
        if recording.arguments.first == "patch", let patch = recording.arguments.last {
            arguments[arguments.count - 1] = patch
        }
        let output = try await api.kubectl(arguments)
        #expect(output.status == .exited(recording.exitCode), "\(name): \(output.errorText)")
        let (said, recorded) = (Recording.normal(output.text), Recording.normal(recording.output))
        if name == "get-all" {
            // ReplicaSets are listed by name, and the names' hashes are not Kubernetes' own.
            #expect(said.split(separator: "\n").sorted() == recorded.split(separator: "\n").sorted(), "\(name)")
        } else {
            #expect(said == recorded, "\(name)")
        }
        #expect(Recording.normal(output.errorText) == Recording.normal(recording.errorOutput), "\(name)")
    }

    /// Expects the owners of the fields that the recorded command left behind, but for the controllers, who follow later.
    private func expectOwners(_ name: String, on api: RunningAPI) throws {
        func owners(_ object: JSON?) -> [String] {
            Recording.owners(of: object).filter { !$0.contains("kube-controller-manager") }.sorted()
        }
        let recording = try Recording(name)
        let recorded = owners(recording.lastObject)
        #expect(!recorded.isEmpty, "\(name)")
        #expect(owners(api.store.get(.deployment, "demo", "demo")) == recorded, "\(name)")
    }

    /// Waits until the rollout is over and the old pods are gone.
    private func settle(_ api: RunningAPI, replicas: Int64 = 1) async throws {
        try await api.wait(for: .deployment, "demo", "demo") { demo in
            let status = demo?["status"]
            return status?["observedGeneration"] == demo?.at("metadata", "generation")
                && status?["replicas"]?.integer == replicas && status?["availableReplicas"]?.integer == replicas
                && status?["updatedReplicas"]?.integer == replicas && status?["terminatingReplicas"] == 0
        }
    }

    @Test("kubectl says on the playground what it says on a real cluster")
    func recordedSession() async throws {
        try await RunningAPI.with { api in
            try writeManifests(api.directory)
            try await replay("create-namespace", on: api)
            try await api.kubectl("config", "set-context", "--current", "--namespace", "demo")
            try await replay("apply-create", on: api)
            try expectOwners("apply-create", on: api)
            try await settle(api)
            try await replay("rollout-status", on: api)
            try await replay("apply-unchanged", on: api)
            try await replay("apply-change", on: api)
            try await settle(api)
            for name in [
                "rollout-status-again", "get-pods", "get-pods-wide", "get-all", "get-deploy-json", "describe-deploy",
                "describe-pod", "patch-strategic",
            ] {
                try await replay(name, on: api)
            }
            try await settle(api)
            for name in ["patch-merge", "patch-json", "set-image", "rollout-restart"] {
                try await replay(name, on: api)
                try expectOwners(name, on: api)
                try await settle(api)
            }
            try await replay("scale", on: api)
            try await settle(api, replicas: 2)
            try await replay("apply-server-side", on: api)
            try expectOwners("apply-server-side", on: api)
            try await settle(api)
            try await replay("apply-server-side-conflict", on: api)
            for name in ["wait", "apply-unknown-field", "diff", "dry-run-server", "delete"] {
                try await replay(name, on: api)
            }
        }
    }

    @Test("kubectl get -w shows a pod, and each of its changes")
    func watch() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            _ = try api.store.create(.pod, ["metadata": ["name": "one"], "spec": ["nodeName": "elsewhere"]])
            let child = try await Child.spawn(
                Launch(
                    ["kubectl", "get", "pods", "-w", "--no-headers"],
                    environment: ["KUBECONFIG": api.address.kubeconfig, "HOME": api.directory, "PATH": path()]))
            let output = try #require(child.standardOutput)
            var text = try await read(output, until: "\n")
            #expect(text.hasPrefix("one "))
            try api.store.modify(.pod, "default", "one") { $0["status"] = ["phase": "Running"] }
            text = try await read(output, until: "Running")
            #expect(text.contains("Running"))
            await child.terminate(grace: .seconds(5))
        }
    }

    @Test("kubectl creates what it sends as protobuf")
    func protobuf() async throws {
        try await RunningAPI.with { api in
            try await api.kubectl("create", "configmap", "settings", "--from-literal=a=b")
            #expect(api.store.get(.configMap, "default", "settings")?["data"] == ["a": "b"])
            try await api.kubectl("create", "secret", "generic", "keys", "--from-literal=a=b")
            let secret = api.store.get(.secret, "default", "keys")
            #expect(secret?["data"] == ["a": "Yg=="])
            #expect(secret?["type"] == "Opaque")
            try await api.kubectl("create", "serviceaccount", "robot")
            #expect(api.store.get(.serviceAccount, "default", "robot") != nil)
            try await api.kubectl("create", "deployment", "web", "--image=web:1", "--port=80", "--replicas=2")
            let spec = api.store.get(.deployment, "default", "web")?["spec"]
            #expect(spec?["replicas"] == 2)
            #expect(spec?.at("strategy", "type") == "RollingUpdate")
            #expect(spec?.at("template", "spec", "containers")?[0]?["ports"]?[0]?["containerPort"] == 80)
        }
    }

    @Test("a kind that the playground does not serve is refused by name")
    func refusal() async throws {
        try await RunningAPI.with { api in
            let manifest = #"{"apiVersion":"batch/v1","kind":"CronJob","metadata":{"name":"db"},"spec":{}}"#
            let output = try await api.kubectl("apply", "-f", "-", input: manifest)
            #expect(output.status == .exited(1))
            #expect(output.errorText.contains("the playground does not serve CronJob objects yet"))
            let claims = try await api.kubectl("get", "pvc")
            #expect(claims.errorText.contains("does not serve PersistentVolumeClaim objects yet"))
        }
    }

    @Test("kubectl diff --server-side shows what an apply would change, and changes nothing")
    func serverSideDiff() async throws {
        try await RunningAPI.with { api in
            try writeManifests(api.directory)
            try await api.kubectl("create", "ns", "demo")
            try await api.kubectl("apply", "--server-side", "-f", "demo.yaml")
            try await settle(api)
            let before = api.store.get(.deployment, "demo", "demo")
            let same = try await api.kubectl("diff", "--server-side", "-f", "demo.yaml")
            #expect(same.status == .exited(0), "\(same.text)\(same.errorText)")
            let diff = try await api.kubectl("diff", "--server-side", "-f", "demo2.yaml")
            #expect(diff.status == .exited(1))
            let changes = diff.text.split(separator: "\n").filter { $0.contains("echo") }
            #expect(
                changes == ["-        - echo started; sleep 1000", "+        - echo again; sleep 1000"], "\(diff.text)")
            #expect(api.store.get(.deployment, "demo", "demo") == before)
        }
    }

    @Test("a rollout is undone to its earlier template")
    func undo() async throws {
        try await RunningAPI.with { api in
            try writeManifests(api.directory)
            try await api.kubectl("create", "ns", "demo")
            try await api.kubectl("apply", "-f", "demo.yaml")
            try await settle(api)
            try await api.kubectl("apply", "-f", "demo2.yaml")
            try await settle(api)
            let output = try await api.kubectl("rollout", "undo", "deploy/demo", "-n", "demo")
            #expect(output.text == "deployment.apps/demo rolled back\n")
            try await settle(api)
            let demo = api.store.get(.deployment, "demo", "demo")
            let command = demo?.at("spec", "template", "spec", "containers")?[0]?["command"]?[2]
            #expect(command == "echo started; sleep 1000")
            #expect(demo?.at("metadata", "annotations", Rollout.revision) == "3")
            let history = try await api.kubectl("rollout", "history", "deploy/demo", "-n", "demo")
            #expect(history.text.contains("2 ") && history.text.contains("3 ") && !history.text.contains("1 "))
        }
    }

    private func path() -> String { String(cString: getenv("PATH")) }

    private func read(_ stream: Reactor.Stream, until mark: String) async throws -> String {
        var text = ""
        while !text.contains(mark) {
            let chunk = try await stream.read()
            if chunk.isEmpty { break }
            text += String(decoding: chunk, as: UTF8.self)
        }
        return text
    }

    @Test("a List is applied object by object", .enabled(if: RunningAPI.hasKubectl))
    func appliesLists() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let item: JSON = [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"], "data": ["x": "1"],
            ]
            let list: JSON = ["apiVersion": "v1", "kind": "List", "items": [item]]
            for word in ["created", "unchanged"] {
                let output = try await api.kubectl("apply", "-f", "-", input: list.text)
                #expect(output.text == "configmap/settings \(word)\n", "\(output.errorText)")
            }
        }
    }
}
