import JSON
import Testing

@testable import LoopServer

@Suite("The variables of a container", .turn)
struct PodEnvironmentTests {
    private static func service(_ name: String, _ address: JSON, ports: JSON, namespace: String = "d") -> JSON {
        [
            "metadata": ["name": .string(name), "namespace": .string(namespace)],
            "spec": ["clusterIP": address, "ports": ports],
        ]
    }

    @Test("literals refer to what was set before them, and to themselves as they were")
    func literals() async throws {
        try await EnvironmentFixture.with { fixture in
            let environment = try await fixture.environment([
                "env": [
                    ["name": "LATE", "value": "$(A)"], ["name": "A", "value": "1"], ["name": "B", "value": "$(A)$(A)"],
                    ["name": "ESCAPED", "value": "$$(A)"], ["name": "A", "value": "$(A)2"],
                    ["name": "C", "value": "$(A)"],
                    ["name": "EMPTY"],
                ]
            ])
            #expect(
                environment.dictionary == [
                    "LATE": "$(A)", "A": "12", "B": "11", "ESCAPED": "$(A)", "C": "12", "EMPTY": "",
                ])
            #expect(environment.variables.map(\.name) == ["LATE", "A", "B", "ESCAPED", "C", "EMPTY"])
        }
    }

    @Test("what comes later wins: Services, then envFrom in its order, then env")
    func precedence() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.put("services", Self.service("db", "10.1.0.1", ports: [["port": 5432]]))
            fixture.configMap("one", ["DB_SERVICE_HOST": "map", "X": "one", "Y": "one", "Z": "one"])
            fixture.configMap("two", ["X": "two", "Y": "two"])
            fixture.secret("three", ["X": "three"])
            let environment = try await fixture.environment([
                "envFrom": [
                    ["configMapRef": ["name": "one"]], ["configMapRef": ["name": "two"]],
                    ["secretRef": ["name": "three"]],
                ],
                "env": [
                    ["name": "Z", "value": "env"],
                    ["name": "URL", "value": "$(DB_SERVICE_HOST):$(DB_SERVICE_PORT)/$(X)"],
                ],
            ])
            let found = environment.dictionary
            #expect(found["DB_SERVICE_HOST"] == "map" && found["DB_SERVICE_PORT"] == "5432")
            #expect(found["X"] == "three" && found["Y"] == "two" && found["Z"] == "env")
            #expect(found["URL"] == "map:5432/three")
            #expect(environment.secretNames == ["X", "URL"])
        }
    }

    @Test("Services have the variables that the kubelet gives them, headless ones have none")
    func services() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.put(
                "services",
                Self.service(
                    "my-db", "10.1.0.1",
                    ports: [
                        ["name": "pg-main", "port": 5432, "protocol": "TCP"],
                        ["name": "x", "port": 53, "protocol": "UDP"],
                    ]))
            fixture.api.put("services", Self.service("headless", "None", ports: [["port": 1]]))
            fixture.api.put("services", Self.service("outside", "", ports: [["port": 1]]))
            fixture.api.put("services", Self.service("six", "fd00::1", ports: [["port": 80]]))
            let found = try await fixture.environment([:]).dictionary
            #expect(
                found == [
                    "MY_DB_SERVICE_HOST": "10.1.0.1", "MY_DB_SERVICE_PORT": "5432",
                    "MY_DB_SERVICE_PORT_PG_MAIN": "5432",
                    "MY_DB_SERVICE_PORT_X": "53", "MY_DB_PORT": "tcp://10.1.0.1:5432",
                    "MY_DB_PORT_5432_TCP": "tcp://10.1.0.1:5432", "MY_DB_PORT_5432_TCP_PROTO": "tcp",
                    "MY_DB_PORT_5432_TCP_PORT": "5432", "MY_DB_PORT_5432_TCP_ADDR": "10.1.0.1",
                    "MY_DB_PORT_53_UDP": "udp://10.1.0.1:53", "MY_DB_PORT_53_UDP_PROTO": "udp",
                    "MY_DB_PORT_53_UDP_PORT": "53", "MY_DB_PORT_53_UDP_ADDR": "10.1.0.1",
                    "SIX_SERVICE_HOST": "fd00::1", "SIX_SERVICE_PORT": "80", "SIX_PORT": "tcp://[fd00::1]:80",
                    "SIX_PORT_80_TCP": "tcp://[fd00::1]:80", "SIX_PORT_80_TCP_PROTO": "tcp",
                    "SIX_PORT_80_TCP_PORT": "80", "SIX_PORT_80_TCP_ADDR": "fd00::1",
                ])
        }
    }

    @Test("without links the API's own Service is the only one")
    func withoutLinks() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.put("services", Self.service("db", "10.1.0.1", ports: [["port": 5432]]))
            fixture.api.put(
                "services",
                Self.service("kubernetes", "10.1.0.9", ports: [["name": "https", "port": 443]], namespace: "default"))
            let found = try await fixture.environment([:], spec: ["enableServiceLinks": false]).dictionary
            #expect(found["KUBERNETES_SERVICE_HOST"] == "10.1.0.9")
            #expect(found["KUBERNETES_SERVICE_PORT_HTTPS"] == "443")
            #expect(found["DB_SERVICE_HOST"] == nil)
        }
    }

    @Test("Services that may not be seen are left out, and that is said")
    func forbiddenServices() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.set { state in
                state.refusals["GET services"] = [(403, "services is forbidden")]
                state.refusals["GET services/kubernetes"] = [(403, "services \"kubernetes\" is forbidden")]
            }
            let environment = try await fixture.environment(["env": [["name": "A", "value": "1"]]])
            #expect(environment.dictionary == ["A": "1"])
            #expect(environment.notices.count == 2)
            #expect(environment.notices.contains { $0.hasPrefix("KUBERNETES_SERVICE_HOST and the like are left out") })
        }
    }

    @Test("envFrom puts its prefix before each name, takes text only, and skips what is no name")
    func envFrom() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "1", "b.c-d": "2", "9": "3"], binary: ["bin": "AAAA"])
            fixture.secret("s", ["k=v": "x", "p": "4"])
            let environment = try await fixture.environment([
                "envFrom": [
                    ["prefix": "P_", "configMapRef": ["name": "m"]], ["secretRef": ["name": "s"]],
                    ["configMapRef": ["name": "missing", "optional": true]],
                    ["secretRef": ["name": "missing", "optional": true]],
                ]
            ])
            #expect(environment.dictionary == ["P_a": "1", "P_b.c-d": "2", "P_9": "3", "p": "4"])
            #expect(environment.secretNames == ["p"])
        }
    }

    @Test("a key is taken from a ConfigMap and a Secret; an optional one that is missing leaves what was there")
    func keys() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "from map", "X": "kept"])
            fixture.secret("s", ["pw": EnvironmentFixture.marker])
            let environment = try await fixture.environment([
                "envFrom": [["configMapRef": ["name": "m"]]],
                "env": [
                    ["name": "A", "valueFrom": ["configMapKeyRef": ["name": "m", "key": "a"]]],
                    ["name": "PW", "valueFrom": ["secretKeyRef": ["name": "s", "key": "pw"]]],
                    ["name": "URL", "value": "u:$(PW)@h"],
                    ["name": "X", "valueFrom": ["configMapKeyRef": ["name": "m", "key": "no", "optional": true]]],
                    ["name": "N", "valueFrom": ["secretKeyRef": ["name": "none", "key": "no", "optional": true]]],
                ],
            ])
            #expect(
                environment.dictionary == [
                    "a": "from map", "X": "kept", "A": "from map", "PW": EnvironmentFixture.marker,
                    "URL": "u:\(EnvironmentFixture.marker)@h",
                ])
            #expect(environment.secretNames == ["PW", "URL"])
        }
    }

    @Test("each ConfigMap and Secret is read once")
    func once() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "1"])
            let entry: JSON = ["configMapRef": ["name": "m"]]
            let pod = EnvironmentFixture.pod(
                ["envFrom": [entry, entry], "volumeMounts": [["name": "v", "mountPath": "/v"]]],
                volumes: [["name": "v", "configMap": ["name": "m"]]])
            _ = try await fixture.references(pod, files: true)
            #expect(fixture.asked.filter { $0.hasSuffix("configmaps/m") }.count == 1)
        }
    }

    private static let failures: [(container: JSON, summary: String)] = [
        (
            ["envFrom": [["configMapRef": ["name": "no"]]]],
            "ConfigMap \"no\", which the pod needs, is not in namespace d"
        ),
        (["envFrom": [["secretRef": ["name": "no"]]]], "Secret \"no\", which the pod needs, is not in namespace d"),
        (
            ["env": [["name": "A", "valueFrom": ["configMapKeyRef": ["name": "m", "key": "no"]]]]],
            "ConfigMap \"m\" in namespace d has no key \"no\", which the pod needs"
        ),
        (
            ["env": [["name": "A", "valueFrom": ["secretKeyRef": ["name": "s", "key": "no"]]]]],
            "Secret \"s\" in namespace d has no key \"no\", which the pod needs"
        ),
        (
            ["env": [["name": "A", "valueFrom": ["fieldRef": ["fieldPath": "spec.whatever"]]]]],
            "the pod refers to the field spec.whatever, which loopd does not know"
        ),
    ]

    @Test("what is missing and must not be is named", arguments: failures)
    func missing(container: JSON, summary: String) async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "1"])
            fixture.secret("s", ["a": EnvironmentFixture.marker])
            #expect(await fixture.failure(container)?.summary == summary)
        }
    }

    @Test("a Secret that may not be read is one failure that names the right")
    func forbidden() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.set {
                $0.refusals["GET secrets/s"] = [(403, "secrets \"s\" is forbidden: User \"u\" cannot get")]
            }
            let failure = await fixture.failure(["envFrom": [["secretRef": ["name": "s", "optional": true]]]])
            #expect(
                failure?.summary
                    == "Secret \"s\" of the pod may not be read: secrets \"s\" is forbidden: User \"u\" cannot get")
            #expect(failure?.nextStep?.contains("`get` secrets in namespace d") == true)
        }
    }

    private static let fields: [(path: String, value: String)] = [
        ("metadata.name", "web-1"), ("metadata.namespace", "d"), ("metadata.uid", "uid-1"),
        ("metadata.labels['app']", "web"), ("metadata.labels['b/c']", "x\"y\n"), ("metadata.labels['no']", ""),
        ("metadata.annotations['note']", "héllo"), ("spec.nodeName", "node-1"), ("spec.serviceAccountName", "robot"),
        ("status.podIP", "10.0.0.7"), ("status.podIPs", "10.0.0.7,fd00::7"), ("status.hostIP", "192.168.0.2"),
        ("status.hostIPs", "192.168.0.2"), ("metadata.labels", "app=\"web\"\nb/c=\"x\\\"y\\n\""),
        ("metadata.annotations", "note=\"héllo\""),
    ]

    @Test("a field of the pod is its value", arguments: fields)
    func field(path: String, value: String) throws {
        let references = try PodReferences(pod: EnvironmentFixture.pod(), container: "c", namespace: "d")
        #expect(try references.field(path) == value)
    }

    @Test("of a template what only a pod has is left out, and named")
    func template() async throws {
        try await EnvironmentFixture.with { fixture in
            func entry(_ name: String, _ path: String) -> JSON {
                ["name": .string(name), "valueFrom": ["fieldRef": ["fieldPath": .string(path)]]]
            }
            let environment = try await fixture.environment(
                [
                    "env": [
                        entry("IP", "status.podIP"), entry("APP", "metadata.labels['app']"),
                        entry("NS", "metadata.namespace"),
                    ]
                ],
                isTemplate: true)
            #expect(environment.dictionary == ["APP": "web", "NS": "d"])
            #expect(environment.notices == ["IP is left out: only a running pod has status.podIP"])
        }
    }

    private static let amounts: [(resource: String, divisor: JSON, value: String)] = [
        ("requests.cpu", "0", "1"), ("requests.cpu", "1m", "250"), ("limits.cpu", "1", "2"),
        ("limits.cpu", "1m", "1500"),
        ("limits.memory", "0", "134217728"), ("limits.memory", "1Mi", "128"), ("limits.memory", "1M", "135"),
        ("requests.memory", "1Ki", "0"), ("limits.ephemeral-storage", "1Gi", "10"),
        ("requests.ephemeral-storage", 1, "0"),
    ]

    @Test("a resource is divided and rounded up; a limit that is not set is what the node has", arguments: amounts)
    func resource(resource: String, divisor: JSON, value: String) async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.put(
                "nodes",
                ["metadata": ["name": "node-1"], "status": ["allocatable": ["ephemeral-storage": "10Gi", "cpu": "8"]]])
            let reference: JSON = ["resource": .string(resource), "divisor": divisor]
            let environment = try await fixture.environment([
                "resources": ["requests": ["cpu": "250m"], "limits": ["cpu": "1500m", "memory": "128Mi"]],
                "env": [["name": "A", "valueFrom": ["resourceFieldRef": reference]]],
            ])
            #expect(environment["A"] == value)
        }
    }

    @Test("where the node may not be looked at, a limit that is not set is left out and named")
    func unseenNode() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.api.set { $0.refusals["GET nodes/node-1"] = [(403, "nodes is forbidden")] }
            let environment = try await fixture.environment([
                "env": [["name": "A", "valueFrom": ["resourceFieldRef": ["resource": "limits.memory"]]]]
            ])
            #expect(environment.dictionary == [:])
            #expect(
                environment.notices == [
                    "A is left out: the container sets no limits.memory, and its node may not be looked at"
                ])
        }
    }

    @Test("variables on top refer to what is below them, not to each other")
    func onTop() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.secret("s", ["PW": EnvironmentFixture.marker])
            var environment = try await fixture.environment([
                "envFrom": [["secretRef": ["name": "s"]]], "env": [["name": "A", "value": "pod"]],
            ])
            environment.merge(["A": "$(A)+", "B": "$(A) $(PW)", "C": "$$(A) $(no)"])
            #expect(
                environment.dictionary == [
                    "PW": EnvironmentFixture.marker, "A": "pod+", "B": "pod \(EnvironmentFixture.marker)",
                    "C": "$(A) $(no)",
                ])
            #expect(environment.secretNames == ["PW", "B"])
        }
    }

    @Test("a value that no process can get is left out and named")
    func zeroByte() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.secret("s", ["A": "x\0\(EnvironmentFixture.marker)", "B": "fine"])
            let environment = try await fixture.environment(["envFrom": [["secretRef": ["name": "s"]]]])
            #expect(environment.dictionary == ["B": "fine"] && environment["B"] == "fine")
            #expect(environment.notices == ["left out, because their values have NUL bytes: A"])
        }
    }

    @Test("a container that the pod does not have is named")
    func container() throws {
        #expect(throws: LoopFailure.self) {
            try PodReferences(pod: EnvironmentFixture.pod(), container: "other", namespace: "d")
        }
    }
}
