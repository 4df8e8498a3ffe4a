import HTTP
import JSON
import Testing

@testable import Playground

/// Server-side apply: who owns what, and what happens where owners disagree.
struct ApplyTests {
    private static let path = "/apis/apps/v1/namespaces/default/deployments/web"

    private static func deployment(_ containers: JSON, replicas: JSON? = nil, labels: JSON? = nil) -> JSON {
        var deployment: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"],
            "spec": [
                "selector": ["matchLabels": ["app": "web"]],
                "template": ["metadata": ["labels": ["app": "web"]], "spec": ["containers": containers]],
            ],
        ]
        deployment["spec"]?["replicas"] = replicas
        deployment["metadata"]?["labels"] = labels
        return deployment
    }

    private static func configMap(_ data: JSON) -> JSON {
        ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "settings"], "data": data]
    }

    private static let settings = "/api/v1/namespaces/default/configmaps/settings"

    @discardableResult
    private func apply(
        _ object: JSON, as manager: String, at path: String = ApplyTests.path, _ options: String = "",
        on api: RunningAPI
    ) async throws -> (status: Int, body: JSON) {
        let answer = try await api.request(
            "PATCH", "\(path)?fieldManager=\(manager)\(options)",
            headers: ["Content-Type": "application/apply-patch+yaml"], body: object)
        return (answer.status, answer.body)
    }

    private func fields(of manager: String, _ object: JSON?) -> JSON? {
        (object?.at("metadata", "managedFields")?.array ?? []).first { $0["manager"] == .string(manager) }?["fieldsV1"]
    }

    @Test("who applies nothing but a name owns nothing, and has no entry")
    func bare() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": "team"]]
            let (status, created) = try await apply(space, as: "one", at: "/api/v1/namespaces/team", on: api)
            #expect(status == 201)
            #expect(created.at("metadata", "managedFields") == nil)
            var labelled = space
            labelled["metadata"]?["labels"] = ["a": "b"]
            let (_, changed) = try await apply(labelled, as: "one", at: "/api/v1/namespaces/team", on: api)
            #expect(fields(of: "one", changed) == ["f:metadata": ["f:labels": ["f:a": [:]]]])
        }
    }

    @Test("an apply creates, and owns what it names and none of the defaults")
    func creates() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let container: JSON = [
                "name": "web", "image": "web:1", "ports": [["containerPort": 80]],
                "env": [["name": "A", "value": "1"]],
            ]
            let (status, created) = try await apply(Self.deployment([container]), as: "one", on: api)
            #expect(status == 201)
            #expect(created.at("spec", "replicas") == 1)
            let named: JSON = [
                "f:spec": [
                    "f:selector": [:],
                    "f:template": [
                        "f:metadata": ["f:labels": ["f:app": [:]]],
                        "f:spec": [
                            "f:containers": [
                                #"k:{"name":"web"}"#: [
                                    ".": [:], "f:env": [#"k:{"name":"A"}"#: [".": [:], "f:name": [:], "f:value": [:]]],
                                    "f:image": [:], "f:name": [:],
                                    "f:ports": [
                                        #"k:{"containerPort":80,"protocol":"TCP"}"#: [".": [:], "f:containerPort": [:]]
                                    ],
                                ]
                            ]
                        ],
                    ],
                ]
            ]
            let entry = created.at("metadata", "managedFields")?[0]
            #expect(entry?["fieldsV1"] == named)
            #expect(
                entry?.object?.keys
                    == ["manager", "operation", "apiVersion", "time", "fieldsType", "fieldsV1"])
            #expect(entry?["operation"] == "Apply")
        }
    }

    @Test("the same apply once more changes nothing")
    func repeats() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let object = Self.configMap(["a": "1"])
            let first = try await apply(object, as: "one", at: Self.settings, on: api)
            let second = try await apply(object, as: "one", at: Self.settings, on: api)
            #expect(second.status == 200)
            #expect(first.body == second.body)
        }
    }

    @Test("what a manager names no more goes, with its defaults; what another one owns too stays")
    func givesUp() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let web: JSON = ["name": "web", "image": "web:1"]
            let side: JSON = ["name": "side", "image": "side:1"]
            try await apply(
                Self.deployment([web, side], replicas: 3, labels: ["a": "1", "b": "1"]), as: "one", on: api)
            let shared = try await apply(
                Self.deployment([web], labels: ["b": "1"]), as: "two", on: api)
            #expect(shared.status == 200)
            let (status, left) = try await apply(Self.deployment([web]), as: "one", on: api)
            #expect(status == 200)
            #expect(left.at("metadata", "labels") == ["b": "1"])
            #expect(left.at("spec", "replicas") == 1)
            let containers = left.at("spec", "template", "spec", "containers")?.array ?? []
            #expect(containers.compactMap { $0["name"]?.string } == ["web"])
            #expect(fields(of: "two", left)?.at("f:metadata", "f:labels") == ["f:b": [:]])
        }
    }

    @Test("a field of another owner is a conflict, unless it is forced or set to what it is")
    func conflicts() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try await apply(Self.configMap(["a": "1", "b": "1"]), as: "one", at: Self.settings, on: api)
            let same = try await apply(Self.configMap(["a": "1"]), as: "two", at: Self.settings, on: api)
            #expect(same.status == 200)
            let one = try await apply(Self.configMap(["b": "2"]), as: "three", at: Self.settings, on: api)
            #expect(one.status == 409)
            #expect(one.body["message"] == #"Apply failed with 1 conflict: conflict with "one": .data.b"#)
            let many = try await apply(Self.configMap(["a": "2", "b": "2"]), as: "three", at: Self.settings, on: api)
            #expect(
                many.body["message"]?.string == """
                    Apply failed with 3 conflicts: conflicts with "one":
                    - .data.a
                    - .data.b
                    conflicts with "two":
                    - .data.a
                    """)
            #expect(many.body["reason"] == "Conflict")
            #expect(many.body.at("details", "causes")?.array?.count == 3)
            let (status, forced) = try await apply(
                Self.configMap(["a": "2"]), as: "three", at: Self.settings, "&force=true", on: api)
            #expect(status == 200)
            #expect(forced["data"] == ["a": "2", "b": "1"])
            #expect(fields(of: "one", forced)?["f:data"] == ["f:b": [:]])
            #expect(fields(of: "two", forced) == nil)
        }
    }

    @Test("a write takes the fields that it changes, and is named by its program where it names nobody")
    func updates() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try await apply(Self.configMap(["a": "1", "b": "1"]), as: "one", at: Self.settings, on: api)
            let patched = try await api.request(
                "PATCH", Self.settings,
                headers: ["Content-Type": "application/merge-patch+json", "User-Agent": "tool/v1 (linux)"],
                body: ["data": ["a": "2", "b": nil, "c": "1"]])
            #expect(fields(of: "tool", patched.body) == ["f:data": ["f:a": [:], "f:c": [:]]])
            #expect(fields(of: "one", patched.body) == nil)
            let conflict = try await apply(Self.configMap(["a": "1"]), as: "one", at: Self.settings, on: api)
            #expect(
                conflict.body["message"] == #"Apply failed with 1 conflict: conflict with "tool" using v1: .data.a"#)
        }
    }

    @Test("a replica count that was set through scale belongs to that view")
    func scales() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try await apply(Self.deployment([["name": "web", "image": "web:1"]], replicas: 1), as: "one", on: api)
            _ = try await api.request(
                "PATCH", "\(Self.path)/scale?fieldManager=scaler",
                headers: ["Content-Type": "application/merge-patch+json"], body: ["spec": ["replicas": 2]])
            let entry = try #require(
                api.store.get(.deployment, "default", "web")?.at("metadata", "managedFields")?.array?
                    .first { $0["manager"] == "scaler" })
            #expect(entry["subresource"] == "scale")
            #expect(entry["fieldsV1"] == ["f:spec": ["f:replicas": [:]]])
            let conflict = try await apply(
                Self.deployment([["name": "web", "image": "web:1"]], replicas: 3), as: "one", on: api)
            #expect(
                conflict.body["message"]
                    == .string(
                        #"Apply failed with 1 conflict: conflict with "scaler" with subresource "scale" using apps/v1: "#
                            + ".spec.replicas"))
        }
    }

    @Test("what controllers make is theirs, and its status the kubelet's, as recorded")
    func controllers() async throws {
        let lines = try #require(FileTree.read("\(Recording.folder)/watch/pods-during-rollout.jsonl"))
        let line = try #require(lines.split(separator: UInt8(ascii: "\n")).first)
        let pod = try #require(try JSON(parsing: Array(line))["object"])
        let set = try #require(try Fixture.json("objects/replicasets.json")["items"]?[0])
        try await RunningAPI.with(kubelet: false) { api in
            var template: JSON = ["metadata": ["labels": ["app": "app"]], "spec": pod["spec"] ?? [:]]
            for field in ["tolerations", "priority", "preemptionPolicy", "enableServiceLinks"] {
                template["spec"]?[field] = nil
            }
            let answer = try await api.request(
                "POST", "/apis/apps/v1/namespaces/default/deployments",
                body: [
                    "metadata": ["name": "app"],
                    "spec": ["selector": ["matchLabels": ["app": "app"]], "template": template],
                ])
            #expect(answer.status == 201)
            let pods = try api.store.watch(.pod)
            for try await _ in pods { break }
            func first(_ kind: ResourceKind) -> String? {
                Recording.owners(of: api.store.list(kind, "default").items.first).first
            }
            #expect(first(.pod) == Recording.owners(of: pod).first)
            // The recorded one has run before, and kept its revisions.
            let history = #","f:deployment.kubernetes.io/revision-history":{}"#
            #expect(first(.replicaSet) == Recording.owners(of: set).first?.replacing(history, with: ""))
        }
    }

    @Test("elements keep the order of who applies them, and others stay where they are")
    func order() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            func container(_ name: String) -> JSON { ["name": .string(name), "image": "x:1"] }
            func names(_ object: JSON) -> [String] {
                (object.at("spec", "template", "spec", "containers")?.array ?? []).compactMap { $0["name"]?.string }
            }
            try await apply(Self.deployment([container("a"), container("x")]), as: "one", on: api)
            let second = try await apply(
                Self.deployment([container("b"), container("a"), container("c")]), as: "two", on: api)
            #expect(names(second.body) == ["b", "a", "x", "c"])
            let third = try await apply(
                Self.deployment([container("c"), container("a"), container("b")]), as: "two", on: api)
            #expect(names(third.body) == ["x", "c", "a", "b"])
        }
    }

    @Test("an object keeps its name when the last field of its metadata is given up")
    func lastLabel() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            var labelled = Self.configMap(["a": "1"])
            labelled["metadata"] = ["labels": ["team": "a"]]
            try await apply(labelled, as: "one", at: Self.settings, on: api)
            let answer = try await apply(Self.configMap(["a": "1"]), as: "one", at: Self.settings, on: api)
            #expect(answer.status == 200, "\(answer.body.text)")
            #expect(answer.body.at("metadata", "labels") == nil)
            #expect(answer.body.at("metadata", "name") == "settings")
        }
    }

    @Test("one empty entry forgets all owners, an empty list none")
    func reset() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            try await apply(Self.configMap(["a": "1"]), as: "one", at: Self.settings, on: api)
            func write(_ managed: JSON) async throws -> JSON {
                try await api.request(
                    "PATCH", Self.settings, headers: ["Content-Type": "application/merge-patch+json"],
                    body: ["metadata": ["managedFields": managed]]
                ).body
            }
            #expect(fields(of: "one", try await write([])) != nil)
            #expect(try await write([[:]]).at("metadata", "managedFields") == nil)
        }
    }

    @Test("an apply that cannot be meant is refused", arguments: Refusal.all)
    func refusals(_ refusal: Refusal) async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let answer = try await api.request(
                "PATCH", "\(Self.settings)?\(refusal.query)",
                headers: ["Content-Type": "application/apply-patch+yaml"], body: refusal.body)
            #expect(answer.status == refusal.status)
            #expect(answer.body["message"]?.string == refusal.message)
        }
    }

    struct Refusal: Sendable {
        let query: String
        let body: JSON
        let status: Int
        let message: String

        static let all: [Refusal] = [
            Refusal(
                query: "", body: ApplyTests.configMap([:]), status: 422,
                message: "PatchOptions.meta.k8s.io \"\" is invalid: fieldManager: Required value: is required for "
                    + "apply patch"),
            Refusal(
                query: "fieldManager=one&dryRun=Some", body: ApplyTests.configMap([:]), status: 422,
                message: "PatchOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": supported "
                    + "values: \"All\""),
            Refusal(
                query: "fieldManager=one", body: ["apiVersion": "v1", "kind": "ConfigMap", "date": ["a": "1"]],
                status: 500,
                message: "failed to create typed patch object (/; v1, Kind=ConfigMap): .date: field not declared in "
                    + "schema"),
            Refusal(
                query: "fieldManager=one",
                body: ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "other"]], status: 400,
                message: "the name of the object (other) does not match the name on the URL (settings)"),
            Refusal(
                query: "fieldManager=one",
                body: ["apiVersion": "v1", "kind": "ConfigMap", "metadata": ["managedFields": [[:]]]], status: 400,
                message: "metadata.managedFields must be nil"),
            Refusal(
                query: "fieldManager=one", body: ["apiVersion": "v1", "kind": "Secret"], status: 400,
                message: "invalid object type: v1, Kind=Secret, expected v1, Kind=ConfigMap"),
        ]
    }

    @Test("a dry run tells what an apply would do, and stores nothing")
    func dryRun() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let created = try await apply(
                Self.configMap(["a": "1"]), as: "one", at: Self.settings, "&dryRun=All", on: api)
            #expect(created.status == 201)
            #expect(api.store.get(.configMap, "default", "settings") == nil)
            try await apply(Self.configMap(["a": "1"]), as: "one", at: Self.settings, on: api)
            let changed = try await apply(
                Self.configMap(["a": "2"]), as: "one", at: Self.settings, "&dryRun=All", on: api)
            #expect(changed.body["data"] == ["a": "2"])
            #expect(api.store.get(.configMap, "default", "settings")?["data"] == ["a": "1"])
        }
    }
}
