import JSON
import Reactor
import TestCluster
import Testing

@Suite("The environment of a service's pods", .turn) struct EnvironmentTests {
    /// What the image and the runtime set, and the API does not know.
    private static let runtime: Set<String> = ["PATH", "HOME", "HOSTNAME", "TERM", "SHLVL", "PWD", "container"]

    private func variable(_ name: String, _ source: JSON) -> JSON { ["name": .string(name), "valueFrom": source] }

    /// A pod whose variables come from everywhere.
    private var container: JSON {
        [
            "resources": ["requests": ["cpu": "50m", "memory": "16Mi"], "limits": ["cpu": "500m", "memory": "64Mi"]],
            "envFrom": [
                ["configMapRef": ["name": "settings"]], ["prefix": "S_", "secretRef": ["name": "login"]],
                ["configMapRef": ["name": "missing", "optional": true]],
            ],
            "env": [
                ["name": "PLAIN", "value": "it's \"quoted\" $HOME `x` \\n é"], ["name": "EMPTY", "value": ""],
                variable("POD", ["fieldRef": ["fieldPath": "metadata.name"]]),
                variable("SPACE", ["fieldRef": ["fieldPath": "metadata.namespace"]]),
                variable("UID", ["fieldRef": ["fieldPath": "metadata.uid"]]),
                variable("APP", ["fieldRef": ["fieldPath": "metadata.labels['app']"]]),
                variable("NODE", ["fieldRef": ["fieldPath": "spec.nodeName"]]),
                variable("ACCOUNT", ["fieldRef": ["fieldPath": "spec.serviceAccountName"]]),
                variable("IP", ["fieldRef": ["fieldPath": "status.podIP"]]),
                variable("HOST_IP", ["fieldRef": ["fieldPath": "status.hostIP"]]),
                variable("PASSWORD", ["secretKeyRef": ["name": "login", "key": "password"]]),
                variable("LEVEL", ["configMapKeyRef": ["name": "settings", "key": "level"]]),
                variable("NOT", ["configMapKeyRef": ["name": "settings", "key": "no", "optional": true]]),
                variable("CPU", ["resourceFieldRef": ["resource": "limits.cpu", "divisor": "1m"]]),
                // The container sets none: it is what the node has.
                variable("DISK", ["resourceFieldRef": ["resource": "limits.ephemeral-storage", "divisor": "1Mi"]]),
                variable("MEMORY", ["resourceFieldRef": ["resource": "requests.memory", "divisor": "1Mi"]]),
                ["name": "URL", "value": "http://$(POD):$(PASSWORD)@$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)/$(no)"],
                ["name": "ESCAPED", "value": "$$(POD) $(LATER)"], ["name": "LATER", "value": "$(LEVEL)$(LEVEL)"],
                ["name": "level", "value": "over the map"],
            ],
        ]
    }

    /// What the pods refer to.
    static func makeObjects(_ scene: Scene) async throws {
        let objects: [JSON] = [
            ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(scene.namespace)]],
            [
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"],
                "data": ["level": "debug", "text": "two\nlines\n", "some.key": "dotted"],
            ],
            [
                "apiVersion": "v1", "kind": "Secret", "metadata": ["name": "login"],
                "stringData": ["user": "me", "password": "p$$w'ord"],
            ],
            [
                "apiVersion": "v1", "kind": "Service", "metadata": ["name": "db"],
                "spec": ["selector": ["app": "db"], "ports": [["name": "pg", "port": 5432]]],
            ],
        ]
        try await scene.kubectl(["apply", "-f", "-"], input: objects.flatMap(\.bytes))
    }

    private func prepare(_ scene: Scene, replicas: Int = 1) async throws {
        try await EnvironmentTests.makeObjects(scene)
        try await scene.deploy(Workload(replicas: replicas, container: container))
        try scene.configure()
    }

    @Test("loopd env prints what the process in the pod has")
    func same() async throws {
        try await Scene.run { scene in
            try await prepare(scene)
            let pod = try await scene.running()[0].name
            var inPod: [String: String] = [:]
            for entry in try await scene.exec(pod, ["cat", "/proc/self/environ"]).text.split(separator: "\0") {
                let parts = entry.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
                if !EnvironmentTests.runtime.contains(parts[0]) { inPod[parts[0]] = parts.count > 1 ? parts[1] : "" }
            }
            let loopd = try await scene.loopd("env", "app")
            #expect(try await loopd.end() == .exited(0), "\(loopd.errorText)")
            #expect(loopd.errorText == "")
            var here: [String: String] = [:]
            for (name, value) in try JSON(parsing: Array(loopd.outputText.utf8)).object ?? JSONObject() {
                here[name] = value.string
            }
            #expect(here["S_password"] == "p$$w'ord" && here["DB_SERVICE_PORT_PG"] == "5432")
            #expect(here["DISK"].flatMap { Int($0) } ?? 0 > 0)
            for name in Set(inPod.keys).union(here.keys).sorted() { #expect(here[name] == inPod[name], "\(name)") }
        }
    }

    @Test("where no pod runs it prints what the template tells, and names what only a pod has")
    func template() async throws {
        try await Scene.run { scene in
            try await prepare(scene, replicas: 0)
            let loopd = try await scene.loopd("env", "app")
            #expect(try await loopd.end() == .exited(0), "\(loopd.errorText)")
            let here = try JSON(parsing: Array(loopd.outputText.utf8))
            #expect(here["PASSWORD"] == "p$$w'ord" && here["APP"] == "app" && here["POD"] == nil)
            #expect(loopd.errorText.contains("no pod of deployment/app runs: these are the variables of its template"))
            #expect(loopd.errorText.contains("POD is left out: only a running pod has metadata.name"))
        }
    }

    @Test("a Secret that is gone is one clear line, and exit code 1")
    func missing() async throws {
        try await Scene.run { scene in
            try await prepare(scene)
            _ = try await scene.running()
            try await scene.kubectl(["delete", "secret", "login"])
            let loopd = try await scene.loopd("env", "app")
            #expect(try await loopd.end() == .exited(1))
            #expect(loopd.outputText == "")
            #expect(
                loopd.errorText.hasPrefix(
                    "loopd: Secret \"login\", which the pod needs, is not in namespace \(scene.namespace)\n"),
                "\(loopd.errorText)")
        }
    }
}
