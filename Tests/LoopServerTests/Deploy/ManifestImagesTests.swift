import JSON
import Testing

@testable import LoopServer

@Suite("Images in manifests") struct ManifestImagesTests {
    private static let built = ManifestImages(
        [
            "web": "reg:5000/web:loopd-1", "ghcr.io/acme/api": "reg:5000/acme/api:loopd-2",
            "team/app": "reg:5000/app:loopd-3",
        ],
        known: ["worker"])

    private static func spec(_ image: String) -> JSON { ["containers": [["name": "main", "image": .string(image)]]] }

    private static func object(_ kind: String, _ spec: JSON) -> JSON {
        let template: JSON = ["spec": spec]
        let whole: JSON =
            switch kind {
            case "Pod": spec
            case "CronJob": ["jobTemplate": ["spec": ["template": template]]]
            default: ["template": template]
            }
        return ["apiVersion": "v1", "kind": .string(kind), "metadata": ["name": "x"], "spec": whole]
    }

    private static func container(_ object: JSON) -> JSON? { PodSpecPlace.spec(in: object)?["containers"]?[0] }

    @Test(
        "an image is replaced by its repository's name, whatever its tag",
        arguments: [
            ("web", "reg:5000/web:loopd-1"), ("web:dev", "reg:5000/web:loopd-1"),
            ("docker.io/library/web:1", "reg:5000/web:loopd-1"),
            ("index.docker.io/library/web", "reg:5000/web:loopd-1"),
            ("web@sha256:0123456789012345678901234567890123456789012345678901234567890123", "reg:5000/web:loopd-1"),
            ("ghcr.io/acme/api:1", "reg:5000/acme/api:loopd-2"), ("team/app", "reg:5000/app:loopd-3"),
            ("docker.io/team/app:2", "reg:5000/app:loopd-3"), ("${image:web}", "reg:5000/web:loopd-1"),
            ("ghcr.io/acme/web:1", "ghcr.io/acme/web:1"), ("acme/api", "acme/api"), ("webber", "webber"),
            ("localhost:5000/web", "localhost:5000/web"), ("app", "app"), ("", ""),
        ])
    func matches(image: String, expected: String) throws {
        let result = try Self.built.replaced(in: Self.object("Deployment", Self.spec(image)))
        let container = Self.container(result.value)
        #expect(container?["image"]?.string == expected)
        #expect((container?["imagePullPolicy"] == "IfNotPresent") == (image != expected))
        #expect(result.used.isEmpty == (image == expected))
    }

    @Test(
        "every kind with a pod template has its images replaced",
        arguments: [
            "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob",
        ])
    func kinds(kind: String) throws {
        let result = try Self.built.replaced(in: Self.object(kind, Self.spec("web")))
        #expect(Self.container(result.value)?["image"] == "reg:5000/web:loopd-1")
    }

    @Test("init containers too; another kind's text only where it asks for it")
    func places() throws {
        let spec: JSON = [
            "initContainers": [["name": "a", "image": "web"]], "containers": [["name": "b", "image": "x"]],
        ]
        let pods = try Self.built.replaced(in: Self.object("StatefulSet", spec)).value
        #expect(PodSpecPlace.spec(in: pods)?["initContainers"]?[0]?["image"] == "reg:5000/web:loopd-1")
        let widget: JSON = [
            "apiVersion": "example.org/v1", "kind": "Widget", "metadata": ["name": "w"],
            "spec": ["image": "web", "other": ["at ${image:web} and ${image:team/app}"]],
        ]
        let result = try Self.built.replaced(in: widget)
        #expect(result.value.at("spec", "image") == "web")
        #expect(result.value.at("spec", "other")?[0] == "at reg:5000/web:loopd-1 and reg:5000/app:loopd-3")
        #expect(result.used == ["web", "team/app"] && result.named == result.used)
    }

    @Test("a container whose image has not been built keeps the one that it runs; without one the object waits")
    func missing() throws {
        let manifest = Self.object("Deployment", Self.spec("worker:dev"))
        let waiting = try Self.built.replaced(in: manifest)
        #expect(waiting.missing == ["worker"])
        let live = Self.object("Deployment", Self.spec("reg:5000/worker:loopd-old"))
        let kept = try Self.built.replaced(in: manifest, running: live)
        #expect(kept.missing.isEmpty && kept.used == ["worker"])
        #expect(Self.container(kept.value)?["image"] == "reg:5000/worker:loopd-old")
        let text: JSON = [
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": ["name": "c"], "data": ["a": "${image:worker}"],
        ]
        #expect(try Self.built.replaced(in: text, running: text).missing == ["worker"])
        let reference = try #require(ObjectReference(manifest))
        #expect(
            ManifestImages.words(reference, waitsFor: ["worker"])
                == "deployment/x waits for image worker, which has not been built yet")
    }

    @Test(
        "a name that no rule builds is named with the nearest one; a shell's own braces stay",
        arguments: [
            ("${image:wbe}", nil), ("${image:0:5}", "${image:0:5}"), ("${image:-none}", "${image:-none}"),
            ("$${image:web}", "${image:web}"), ("${image:web", "${image:web"), ("${image:}", "${image:}"),
            ("a $${image:wbe} b", "a ${image:wbe} b"), ("$", "$"),
        ] as [(String, String?)])
    func texts(text: String, expected: String?) throws {
        guard let expected else {
            let failure = #expect(throws: LoopFailure.self) { try Self.built.expanded(text, in: "configmap/c") }
            #expect(failure?.failure.summary == "configmap/c: \(text) is no image that a rule builds")
            #expect(failure?.failure.nextStep == "did you mean ${image:web}?")
            return
        }
        #expect(try Self.built.expanded(text, in: "x").value == expected)
    }

    @Test("where no rule builds an image, nothing is touched")
    func none() throws {
        let object = Self.object("Deployment", Self.spec("${image:web}"))
        #expect(try ManifestImages().replaced(in: object) == .init(value: object))
    }
}
