import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("Manifests that cannot be read", .turn) struct ManifestReadingTests {
    private func failure(_ files: [String: String], _ places: (String) -> [ManifestSources.Place]) async throws
        -> LoopEvent.Failure?
    {
        let folder = try ScratchTree()
        for (name, text) in files { try folder.write(name, text) }
        let leash = try BuildLaneTests.leash
        do {
            _ = try await ManifestSources(places(folder.path), project: folder.path).objects(
                kubectl: try Kubectl.find(), leash: leash)
            return nil
        } catch let failure as LoopFailure {
            return failure.failure
        }
    }

    private static let good = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n"

    @Test("a YAML file is named with the line in the whole file")
    func yaml() async throws {
        let text = "# first\n" + Self.good + "---\n# only a comment\n---\n" + Self.good + "  bad: : x\n"
        let failure = try await failure(["k8s/a.yaml": Self.good, "k8s/b.yaml": text]) { [.files("\($0)/k8s")] }
        #expect(failure?.summary == "k8s/b.yaml:13: mapping values are not allowed in this context")
    }

    @Test("an object without a kind is named by its file, and what is in it is not repeated")
    func kindless() async throws {
        let failure = try await failure(["a.yaml": "apiVersion: v1\nmetadata:\n  name: hunter2\n"]) {
            [.files("\($0)/a.yaml")]
        }
        #expect(failure?.summary == "a.yaml: Object 'Kind' is missing")
    }

    @Test("a kustomization that fails says which file of it, or what is wrong with itself")
    func kustomizations() async throws {
        let missing = try await failure(["o/kustomization.yaml": "resources: [gone.yaml]\n"]) {
            [.kustomization("\($0)/o")]
        }
        #expect(missing?.summary == "o: gone.yaml is not there")
        let bad = try await failure([
            "o/kustomization.yaml": "resources: [a.yaml]\n", "o/a.yaml": Self.good + "   x: y\n",
        ]) { [.files("\($0)/o")] }
        #expect(bad?.summary == "o: a.yaml: line 5: mapping values are not allowed in this context")
        let unknown = try await failure(["o/kustomization.yaml": "resource: [a.yaml]\n"]) {
            [.kustomization("\($0)/o")]
        }
        #expect(unknown?.summary == "o: invalid Kustomization: json: unknown field \"resource\"")
    }

    @Test("files and folders, kustomizations among them, are one set; a file of comments adds nothing")
    func reads() async throws {
        let folder = try ScratchTree()
        try folder.write("a.yaml", Self.good)
        try folder.write("empty.yaml", "# nothing\n---\n")
        try folder.write("o/kustomization.yaml", "configMapGenerator:\n- name: made\n  literals: [a=b]\n")
        let sources = ManifestSources(
            [.files("\(folder.path)/a.yaml"), .files("\(folder.path)/empty.yaml"), .files("\(folder.path)/o")],
            project: folder.path)
        let objects = try await sources.objects(
            kubectl: try Kubectl.find(), leash: try BuildLaneTests.leash)
        let names = objects.compactMap { $0.at("metadata", "name")?.string }
        #expect(names.count == 2 && names[0] == "a" && names[1].hasPrefix("made-"))
        let reference = ObjectReference(apiVersion: "v1", kind: "ConfigMap", namespace: "x", name: "a")
        #expect(sources.origin(of: reference) == "a.yaml")
    }

    @Test(
        "where an object stands, as far as a file's lines tell",
        arguments: [
            ("kind: Widget\nmetadata:\n  name: w\n", true), ("{kind: Widget, metadata: {name: w}}", true),
            ("{\"kind\": \"Widget\", \"metadata\": {\"name\": \"w\"}}", true),
            ("kind: Widget\nmetadata:\n  name: other\n", false), ("kind: Widget\n---\nname: w\n", false),
        ])
    func origins(text: String, isThere: Bool) {
        let reference = ObjectReference(apiVersion: "e/v1", kind: "Widget", namespace: nil, name: "w")
        #expect(ManifestSources.mentions(text, reference) == isThere)
    }

    @Test("which Secrets a pod reads")
    func consumers() {
        let spec: JSON = [
            "volumes": [
                ["name": "a", "secret": ["secretName": "mounted"]],
                [
                    "name": "b",
                    "projected": ["sources": [["secret": ["name": "projected"]], ["configMap": ["name": "c"]]]],
                ],
            ],
            "imagePullSecrets": [["name": "pull"]],
            "initContainers": [["name": "i", "envFrom": [["secretRef": ["name": "all"]]]]],
            "containers": [
                ["name": "c", "env": [["name": "X", "valueFrom": ["secretKeyRef": ["name": "one", "key": "k"]]]]]
            ],
        ]
        #expect(SecretConsumers.secrets(in: spec) == ["mounted", "projected", "all", "one"])
        let workload: JSON = ["kind": "Deployment", "spec": ["template": ["spec": spec]]]
        #expect(SecretConsumers.workloads(among: [workload], reading: ["one"]).count == 1)
        #expect(SecretConsumers.workloads(among: [workload], reading: ["pull"]).isEmpty)
        #expect(
            SopsSecrets.secrets(of: ["spec": ["secretTemplates": [["name": "a"], ["name": "b"], [:]]]]) == ["a", "b"])
    }

    @Test("the templates that a workload had, the newest first")
    func templates() {
        func revision(_ number: Int64, _ image: String, owner: String = "u") -> JSON {
            [
                "metadata": [
                    "ownerReferences": [["controller": true, "uid": .string(owner)]],
                    "annotations": ["deployment.kubernetes.io/revision": .string("\(number)")],
                ],
                "spec": ["template": ["spec": ["containers": [["name": "c", "image": .string(image)]]]]],
            ]
        }
        let workload: JSON = ["metadata": ["uid": "u"]]
        let templates = EarlierTemplates.templates(
            of: workload, among: [revision(9, "old"), revision(10, "new"), revision(11, "other", owner: "v")])
        #expect(
            templates.compactMap { EarlierTemplates.image(of: "c", "containers", in: $0.template) } == ["new", "old"])
    }
}
