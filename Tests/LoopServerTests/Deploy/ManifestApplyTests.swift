import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("Manifests and their inventory", .turn) struct ManifestApplyTests {
    private static func reference(
        _ kind: String, _ name: String, _ apiVersion: String = "v1", namespace: String? = "a"
    ) -> ObjectReference {
        ObjectReference(apiVersion: apiVersion, kind: kind, namespace: namespace, name: name)
    }

    @Test("what others need comes first")
    func order() {
        let objects = [
            Self.reference("Deployment", "web", "apps/v1"), Self.reference("ConfigMap", "b"),
            Self.reference("CustomResourceDefinition", "w", "apiextensions.k8s.io/v1", namespace: nil),
            Self.reference("ConfigMap", "a"), Self.reference("Namespace", "n", namespace: nil),
        ]
        #expect(
            objects.sorted().map(\.description) == [
                "namespace/n", "customresourcedefinition/w", "configmap/a", "configmap/b", "deployment/web",
            ])
    }

    @Test(
        "what has left the set goes, but no definition, nothing that was there before, and no data without a question",
        arguments: [
            ("ConfigMap", true, false, false, nil), ("ConfigMap", false, false, false, .foreign),
            ("ConfigMap", true, true, true, .found),
            ("CustomResourceDefinition", true, false, true, .definition), ("Namespace", true, true, true, .found),
            ("Namespace", true, false, true, nil), ("Namespace", true, false, false, .data),
            ("PersistentVolumeClaim", true, false, true, nil), ("PersistentVolumeClaim", true, false, false, .data),
            ("PersistentVolume", true, false, false, .data),
        ] as [(String, Bool, Bool, Bool, KeptLeftover.Reason?)])
    func leavers(kind: String, isOurs: Bool, isFound: Bool, prunesData: Bool, reason: KeptLeftover.Reason?) {
        let object = Self.reference(kind, "x")
        let found = KeptLeftover.Reason(object, isOurs: isOurs, isFound: isFound, prunesData: prunesData, doubt: nil)
        #expect(found == reason)
        if let found {
            // What may go later stays in the list.
            #expect(KeptLeftover(reference: object, reason: found).isRemembered == (found == .data))
        }
        #expect(KeptLeftover(reference: object, reason: .occupied("why")).isRemembered)
        let doubted = KeptLeftover.Reason(object, isOurs: true, isFound: false, prunesData: true, doubt: "why")
        #expect(doubted == .doubt("why"))
    }

    @Test(
        "who has the fields that conflict, from the server's own words",
        arguments: [
            (
                "Apply failed with 1 conflict: conflict with \"helm\" using apps/v1: .spec.replicas",
                "helm has .spec.replicas"
            ),
            (
                """
                Apply failed with 2 conflicts: conflicts with "kubectl-client-side-apply" using apps/v1:
                - .spec.replicas
                - .spec.template.spec.containers[name="web"].image
                """,
                "kubectl-client-side-apply has .spec.replicas, .spec.template.spec.containers[name=\"web\"].image"
            ),
            (
                """
                Apply failed with 2 conflicts: conflicts with "a" using v1:
                - .data.x
                conflicts with "b":
                - .data.y
                """, "a has .data.x; b has .data.y"
            ),
            ("the object has been modified", "the object has been modified"),
        ])
    func conflicts(message: String, words: String) { #expect(ApplyConflict.words(message) == words) }

    @Test(
        "what the server says of a Secret is told without the values in it",
        arguments: [
            (
                "failed to create typed patch object (ns/login; /v1, Kind=Secret): .stringData.password: expected "
                    + "string, got &value.valueUnstructured{Value:12345}",
                "failed to create typed patch object (ns/login; /v1, Kind=Secret): .stringData.password: expected string"
            ),
            (
                "Secret \"login\" is invalid: data[tls.crt]: Invalid value: \"12345\": must be, got nothing",
                "Secret \"login\" is invalid: data[tls.crt]"
            ),
            ("secrets \"login\" is forbidden", "secrets \"login\" is forbidden"),
        ])
    func secrets(message: String, words: String) {
        #expect(ManifestApply.words(message, about: Self.reference("Secret", "login")) == words)
        #expect(ManifestApply.words(message, about: Self.reference("ConfigMap", "login")) == message)
    }

    @Test("an object is loopd's as long as it has an Apply entry of its own")
    func owned() {
        func object(_ manager: String, _ operation: String) -> JSON {
            ["metadata": ["managedFields": [["manager": .string(manager), "operation": .string(operation)]]]]
        }
        #expect(ManifestApply.isOurs(object("loopd", "Apply")))
        #expect(!ManifestApply.isOurs(object("loopd", "Update")))
        #expect(!ManifestApply.isOurs(object("helm", "Apply")))
        #expect(!ManifestApply.isOurs([:]))
    }

    @Test(
        "an object that says nothing but its name is known as such",
        arguments: [
            (["metadata": ["name": "x", "namespace": "a"]], true), (["metadata": ["name": "x", "labels": [:]]], true),
            (["metadata": ["name": "x"], "data": [:], "spec": nil], true),
            (["metadata": ["name": "x", "labels": ["a": "b"]]], false),
            (["metadata": ["name": "x"], "type": "a"], false),
        ] as [(JSON, Bool)])
    func bare(fields: JSON, isBare: Bool) {
        var object: JSON = ["apiVersion": "v1", "kind": "ConfigMap"]
        for (key, value) in fields.object ?? JSONObject() { object[key] = value }
        #expect(ManifestApply.isBare(object) == isBare)
    }

    @Test("a file, a folder, a folder in a folder, a kluctl project, and nothing")
    func finds() throws {
        let folder = try ScratchTree()
        let path = folder.path
        #expect(throws: LoopFailure.self) { try Manifests.find(at: "\(path)/none") }
        try folder.write("one.json", "{}")
        try folder.write("plain/deployment.yaml", "apiVersion: apps/v1\nkind: Deployment\n")
        try folder.write("plain/deep/a.yml", "")
        try folder.write("plain/README.md", "")
        try folder.write("built/manifests/a.yaml", "")
        try folder.write("built/bin/tool.json", "")
        try folder.write("project/deployment.yaml", "deployments:\n- path: a\n")
        try folder.write("named/.kluctl.yaml", "")
        try folder.write("empty/x", "")
        #expect(try Manifests.find(at: "\(path)/one.json") == .files(["\(path)/one.json"]))
        #expect(
            try Manifests.find(at: "\(path)/plain")
                == .files(["\(path)/plain/deep/a.yml", "\(path)/plain/deployment.yaml"]))
        #expect(try Manifests.find(at: "\(path)/built") == .files(["\(path)/built/manifests/a.yaml"]))
        #expect(try Manifests.find(at: "\(path)/project") == .kluctl("\(path)/project"))
        #expect(try Manifests.find(at: "\(path)/named") == .kluctl("\(path)/named"))
        #expect(throws: LoopFailure.self) { try Manifests.find(at: "\(path)/empty") }
    }

    @Test("JSON is read here and YAML by kubectl; lists and several documents are taken apart")
    func reads() async throws {
        let folder = try ScratchTree()
        let map = { (name: String) in
            "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\", \"metadata\": {\"name\": \"\(name)\"}}"
        }
        try folder.write(
            "list.json", "{\"kind\": \"List\", \"apiVersion\": \"v1\", \"items\": [\(map("a")), \(map("b"))]}")
        try folder.write("array.json", "[\(map("c"))]")
        try folder.write(
            "two, with a comma.yaml",
            """
            apiVersion: v1
            kind: ConfigMap
            metadata: {name: d}
            data:
              text: |
                }
            ---
            apiVersion: example.org/v1
            kind: Widget
            metadata:
              name: e
            """)
        let files = ["list.json", "array.json", "two, with a comma.yaml"].map { "\(folder.path)/\($0)" }
        let objects = try await Manifests.objects(
            in: files, kubectl: try Kubectl.find(), leash: try BuildLaneTests.leash)
        #expect(objects.compactMap(ObjectReference.init).map(\.name) == ["a", "b", "c", "d", "e"])
        #expect(objects[3].at("data", "text")?.string == "}\n")
        try folder.write("nameless.json", "{\"apiVersion\": \"v1\", \"kind\": \"ConfigMap\"}")
        try folder.write("bad.yaml", "a: [")
        for file in ["nameless.json", "bad.yaml"] {
            await #expect(throws: LoopFailure.self) {
                try await Manifests.objects(
                    in: ["\(folder.path)/\(file)"], kubectl: try Kubectl.find(), leash: try BuildLaneTests.leash)
            }
        }
    }

    struct Status: Sendable {
        let kind: WorkloadKind
        let spec: JSON
        let status: JSON
        let isDone: Bool
    }

    static let statuses = [
        Status(kind: .deployment, spec: [:], status: [:], isDone: false),
        Status(
            kind: .deployment, spec: ["replicas": 2],
            status: ["observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2], isDone: true
        ),
        Status(
            kind: .deployment, spec: ["replicas": 2],
            status: ["observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 2],
            isDone: false),
        Status(
            kind: .deployment, spec: ["replicas": 2],
            status: ["observedGeneration": 2, "replicas": 3, "updatedReplicas": 2, "availableReplicas": 2],
            isDone: false),
        Status(kind: .deployment, spec: ["replicas": 0], status: ["observedGeneration": 2], isDone: true),
        Status(
            kind: .statefulset, spec: ["replicas": 2],
            status: ["observedGeneration": 2, "updatedReplicas": 1, "readyReplicas": 2], isDone: false),
        Status(
            kind: .statefulset, spec: ["replicas": 2, "updateStrategy": ["type": "OnDelete"]],
            status: ["observedGeneration": 2], isDone: true),
        Status(
            kind: .daemonset, spec: [:],
            status: [
                "observedGeneration": 2, "desiredNumberScheduled": 1, "updatedNumberScheduled": 1, "numberAvailable": 1,
            ], isDone: true),
    ]

    @Test("a workload is rolled out when its controller says so of its present generation", arguments: statuses)
    func rollout(example: Status) {
        let workload: JSON = ["metadata": ["generation": 2], "spec": example.spec, "status": example.status]
        #expect(Rollout.isDone(example.kind, workload) == example.isDone)
    }

    @Test("kluctl is called with the guarded context, a target or a discriminator")
    func kluctl() {
        let kluctl = KluctlCommand(program: "/bin/kluctl", context: "kind-dev", kubeconfig: "/k")
        #expect(
            kluctl.diff("/nix/store/p", .target("local")) == [
                "/bin/kluctl", "diff", "--project-dir", "/nix/store/p", "--context", "kind-dev", "-t", "local",
            ])
        #expect(
            kluctl.deploy("/nix/store/p", .discriminator("dev"), prunes: true) == [
                "/bin/kluctl", "deploy", "--project-dir", "/nix/store/p", "--context", "kind-dev", "--discriminator",
                "dev", "--yes", "--prune",
            ])
        #expect(kluctl.deploy("/nix/store/p", nil, prunes: false).last == "--yes")
        #expect(!KluctlCommand.canPrune("No discriminator configured. Orphan object detection will not work"))
        #expect(KluctlCommand.canPrune("Diff finished"))
        #expect(kluctl.environment?["KUBECONFIG"] == "/k")
        #expect(
            kluctl.delete("/p", .discriminator("dev"), dryRun: true) == [
                "/bin/kluctl", "delete", "--project-dir", "/p", "--context", "kind-dev", "--discriminator", "dev",
                "--dry-run",
            ])
        #expect(kluctl.delete("/p", nil, dryRun: false).last == "--yes")
    }

    @Test("what kluctl would delete is read off what it says")
    func kluctlDeletes() {
        let said = """
            ⚠ something
            The following objects will be deleted:
              shop/Deployment/web
              ClusterRole/system:web
            ✓ done
              not/this/one
            """
        let references = KluctlRemoval.references(in: said)
        #expect(references.map(\.description) == ["deployment/web", "clusterrole/system:web"])
        #expect(references.map(\.namespace) == ["shop", nil])
        #expect(KluctlRemoval.references(in: "nothing").isEmpty)
    }
}
