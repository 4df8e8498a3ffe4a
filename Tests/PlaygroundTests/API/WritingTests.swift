import HTTP
import JSON
import Testing

@testable import Playground

struct WritingTests {
    private static let path = "/apis/apps/v1/namespaces/default/deployments"

    private static func deployment(_ change: (inout JSON) -> Void = { _ in }) -> JSON {
        var object: JSON = [
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": ["name": "web"],
            "spec": [
                "replicas": 0, "selector": ["matchLabels": ["app": "web"]],
                "template": [
                    "metadata": ["labels": ["app": "web"]],
                    "spec": ["containers": [["name": "c", "image": "web:1"]]],
                ],
            ],
        ]
        change(&object)
        return object
    }

    @Test("a new object is what the recordings show, defaults included")
    func defaults() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let recorded = try JSON(
                parsing: try #require(FileTree.read("\(Recording.folder)/kubectl-1.32/apply-create.json")))
            let exchange = try #require(recorded["requests"]?.array?.last)
            var sent = try JSON(parsing: try #require(exchange["body"]?.string))
            sent["metadata"]?["namespace"] = "default"
            let expected = try JSON(parsing: try #require(exchange["response"]?.string))
            let answer = try await api.request("POST", Self.path, body: sent)
            #expect(answer.status == 201)
            for field in ["kind", "apiVersion", "spec", "status"] {
                #expect(answer.body[field] == expected[field], "\(field)")
            }
            #expect(answer.body.object?.keys == expected.object?.keys)
            #expect(answer.body["spec"]?.text == expected["spec"]?.text)
        }
    }

    @Test("unknown and duplicate fields are refused, warned about or ignored, as the client asks")
    func fieldValidation() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let object = Self.deployment { $0["spec"]?["replicsa"] = 1 }
            let strict = try await api.request("POST", "\(Self.path)?fieldValidation=Strict", body: object)
            #expect(strict.status == 400)
            #expect(
                strict.body["message"] == """
                    Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: \
                    unknown field "spec.replicsa"
                    """)
            let warned = try await api.request("POST", "\(Self.path)?dryRun=All", body: object)
            #expect(warned.status == 201)
            #expect(warned.headers["Warning"] == #"299 - "unknown field \"spec.replicsa\"""#)
            let ignored = try await api.request("POST", "\(Self.path)?fieldValidation=Ignore&dryRun=All", body: object)
            #expect(ignored.status == 201)
            #expect(ignored.headers["Warning"] == nil)
            #expect(ignored.body["spec"]?["replicsa"] == nil)
            #expect(api.store.get(.deployment, "default", "web") == nil)
        }
    }

    @Test("a dry run of any verb answers as the verb does, and changes nothing")
    func dryRuns() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let object: JSON = ["metadata": ["name": "one"], "data": ["a": "1"]]
            let path = "/api/v1/namespaces/default/configmaps"
            let created = try await api.request("POST", path, body: object)
            #expect(created.status == 201)
            let before = api.store.get(.configMap, "default", "one")
            let version = api.store.currentVersion
            let changed: JSON = ["metadata": ["name": "one"], "data": ["a": "2"]]
            let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
            let updated = try await api.request("PUT", "\(path)/one?dryRun=All", body: changed)
            #expect(updated.body["data"] == ["a": "2"])
            let patched = try await api.request("PATCH", "\(path)/one?dryRun=All", headers: merge, body: changed)
            #expect(patched.body["data"] == ["a": "2"])
            for target in ["\(path)/one?dryRun=All", "\(path)?dryRun=All"] {
                #expect(try await api.request("DELETE", target).status == 200)
            }
            let deleted = try await api.request("DELETE", "\(path)/one", body: ["dryRun": ["All"]])
            #expect(deleted.status == 200)
            #expect(api.store.get(.configMap, "default", "one") == before)
            #expect(api.store.currentVersion == version)
            for (method, options, target) in [
                ("POST", "CreateOptions", path), ("PUT", "UpdateOptions", "\(path)/one"),
                ("PATCH", "PatchOptions", "\(path)/one"), ("DELETE", "DeleteOptions", "\(path)/one"),
            ] {
                let refused = try await api.request(method, "\(target)?dryRun=Some", headers: merge, body: changed)
                #expect(refused.status == 422)
                #expect(
                    refused.body["message"]?.string
                        == "\(options).meta.k8s.io \"\" is invalid: dryRun: Unsupported value: \"Some\": supported "
                        + "values: \"All\"")
            }
        }
    }

    @Test(
        "keys that come twice are found",
        arguments: [
            (#"{"a":1,"b":{"c":[{"d":1,"d":2}]},"a":2}"#, ["b.c[0].d", "a"]), (#"{"a":[1,2,"x"],"b":{}}"#, []),
            (#"{"\u0061":1,"a":2}"#, ["a"]),
        ])
    func duplicates(_ text: String, _ found: [String]) {
        #expect(DuplicateKeys.find(in: Array(text.utf8)) == found)
    }

    /// A mistake in a Deployment, and what the API says of it.
    struct Mistake: Sendable, CustomTestStringConvertible {
        let message: String
        let change: @Sendable (inout JSON) -> Void
        var testDescription: String { message }
    }

    private static let mistakes = [
        Mistake(message: #"Deployment.apps "web" is invalid: spec.selector: Required value"#) {
            $0["spec"]?["selector"] = nil
        },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.template.metadata.labels: Invalid value: {"app":"api"}: `selector` does not match template `labels`"#
        ) { $0["spec"]?["template"]?["metadata"]?["labels"]?["app"] = "api" },
        Mistake(message: #"Deployment.apps "web" is invalid: spec.template.spec.containers[0].name: Required value"#) {
            $0["spec"]?["template"]?["spec"]?["containers"] = [["image": "x"]]
        },
        Mistake(message: #"Deployment.apps "web" is invalid: spec.template.spec.containers: Required value"#) {
            $0["spec"]?["template"]?["spec"]?["containers"] = []
        },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data""#
        ) {
            $0["spec"]?["template"]?["spec"]?["containers"] = [
                ["name": "c", "image": "x", "volumeMounts": [["name": "data", "mountPath": "/data"]]]
            ]
        },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0"#
        ) {
            $0["spec"]?["replicas"] = -1
        },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#
        ) { $0["spec"]?["template"]?["spec"]?["restartPolicy"] = "Never" },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxSurge: Invalid value: -1: must be greater than or equal to 0"#
        ) { $0["spec"]?["strategy"] = ["rollingUpdate": ["maxSurge": -1]] },
        Mistake(
            message:
                #"Deployment.apps "web" is invalid: spec.strategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%"#
        ) { $0["spec"]?["strategy"] = ["rollingUpdate": ["maxUnavailable": "101%"]] },
        Mistake(
            message:
                #"Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"#
        ) { $0["spec"]?["replicas"] = "two" },
    ]

    @Test("mistakes are named in Kubernetes' words")
    func validation() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            for mistake in Self.mistakes {
                let answer = try await api.request("POST", Self.path, body: Self.deployment(mistake.change))
                #expect(answer.status == 422 || answer.status == 400)
                #expect(answer.body["message"]?.string == mistake.message)
            }
            let bad = try await api.request("POST", "/api/v1/namespaces", body: ["metadata": ["name": "Not_Good"]])
            #expect(bad.status == 422)
            #expect(bad.body["message"]?.string?.contains("a lowercase RFC 1123 label must consist of") == true)
        }
    }

    @Test("a selector is immutable, and so is most of a pod")
    func immutable() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            _ = try await api.request("POST", Self.path, body: Self.deployment())
            let merge: HTTPHeaders = ["Content-Type": "application/merge-patch+json"]
            let patched = try await api.request(
                "PATCH", "\(Self.path)/web", headers: merge,
                body: [
                    "spec": [
                        "selector": ["matchLabels": ["app": "x"]], "template": ["metadata": ["labels": ["app": "x"]]],
                    ]
                ])
            #expect(patched.status == 422)
            #expect(patched.body["message"]?.string?.hasSuffix("field is immutable") == true)
            let pods = "/api/v1/namespaces/default/pods"
            _ = try await api.request(
                "POST", pods,
                body: ["metadata": ["name": "p"], "spec": ["containers": [["name": "c", "image": "x:1"]]]])
            let image = try await api.request(
                "PATCH", "\(pods)/p", headers: ["Content-Type": "application/strategic-merge-patch+json"],
                body: ["spec": ["containers": [["name": "c", "image": "x:2"]]]])
            #expect(image.status == 200)
            #expect(image.body.at("spec", "containers")?[0]?["image"] == "x:2")
            let host = try await api.request(
                "PATCH", "\(pods)/p", headers: merge, body: ["spec": ["hostNetwork": true]])
            #expect(host.status == 422)
            #expect(host.body["message"]?.string?.contains("pod updates may not change fields other than") == true)
        }
    }

    @Test("ephemeral containers are added, and never changed or removed")
    func ephemeralContainers() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            let pods = "/api/v1/namespaces/default/pods"
            _ = try await api.request(
                "POST", pods,
                body: ["metadata": ["name": "p"], "spec": ["containers": [["name": "c", "image": "x:1"]]]])
            let strategic: HTTPHeaders = ["Content-Type": "application/strategic-merge-patch+json"]
            func patch(_ container: JSON) async throws -> (status: Int, body: JSON, headers: HTTPHeaders) {
                try await api.request(
                    "PATCH", "\(pods)/p/ephemeralcontainers", headers: strategic,
                    body: ["spec": ["ephemeralContainers": [container]]])
            }
            let added = try await patch(["name": "helper", "image": "h:1", "targetContainerName": "c"])
            #expect(added.status == 200)
            #expect(added.body.at("spec", "ephemeralContainers")?[0]?["terminationMessagePolicy"] == "File")
            #expect(try await patch(["name": "helper", "image": "h:2"]).status == 422)
            #expect(try await patch(["name": "helper", "$patch": "delete"]).status == 422)
            #expect(try await patch(["name": "other", "image": "h:1", "targetContainerName": "nosuch"]).status == 422)
        }
    }

    @Test("scale reads and writes the number of replicas alone")
    func scale() async throws {
        try await RunningAPI.with(kubelet: false) { api in
            _ = try await api.request("POST", Self.path, body: Self.deployment())
            let scaled = try await api.request(
                "PATCH", "\(Self.path)/web/scale", headers: ["Content-Type": "application/merge-patch+json"],
                body: ["spec": ["replicas": 3]])
            #expect(scaled.status == 200)
            #expect(scaled.body["kind"] == "Scale")
            #expect(scaled.body.at("status", "selector") == "app=web")
            #expect(api.store.get(.deployment, "default", "web")?.at("spec", "replicas") == 3)
        }
    }
}
