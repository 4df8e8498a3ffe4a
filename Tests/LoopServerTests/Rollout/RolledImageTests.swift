import JSON
import Testing

@testable import LoopServer

@Suite("The container of an image")
struct RolledImageTests {
    /// A Deployment whose pods have these containers: `name=image`.
    static func deployment(_ containers: [String], initial: [String] = [], annotations: JSON = [:]) -> JSON {
        func list(_ texts: [String]) -> JSON {
            .array(
                texts.map { text in
                    let parts = text.split(separator: "=").map { JSON.string(String($0)) }
                    return ["name": parts[0], "image": parts[1], "imagePullPolicy": "Always"]
                })
        }
        var workload = DevFixture.deployment()
        workload.podSpec = ["containers": list(containers), "initContainers": list(initial)]
        workload["spec"]?["template"]?["metadata"]?["annotations"] = annotations
        return workload
    }

    static func image(_ name: String = "web", container: String? = nil) -> RolledImage {
        RolledImage(kind: .deployment, name: "app", image: name, container: container)
    }

    @Test(
        "the named one, else the only or default one, else the one that runs the image",
        arguments: [
            ("a", ["a=x:1", "b=web:1"], [], nil, "a"), ("i", ["a=x:1"], ["i=web:1"], nil, "i"),
            (nil, ["a=x:1"], ["i=web:1"], nil, "a"), (nil, ["a=x:1", "b=web:1"], [], "a", "a"),
            (nil, ["a=x:1", "b=web:1"], [], nil, "b"), (nil, ["a=x:1", "b=y:1"], ["i=web:1"], nil, "i"),
            (nil, ["a=x:1", "b=localhost:5000/web:loopd-0123456789abcdef"], [], nil, "b"),
            (nil, ["a=x:1", "b=ghcr.io/acme/web:loopd-0123456789abcdef"], [], nil, "b"),
        ] as [(String?, [String], [String], String?, String)])
    func choice(
        _ named: String?, _ containers: [String], _ initial: [String], _ usual: String?, _ expected: String
    ) throws {
        let annotations: JSON = usual.map { ["kubectl.kubernetes.io/default-container": .string($0)] } ?? [:]
        let workload = Self.deployment(containers, initial: initial, annotations: annotations)
        #expect(try Self.image(container: named).place(in: workload).container == expected)
    }

    @Test(
        "where there is none, what there is instead is said",
        arguments: [
            ("c", ["a=x:1", "b=y:1"], "container \"c\" is not in deployment/app, but a, b"),
            (nil, ["a=x:1", "b=y:1"], "deployment/app has several containers (a, b): which one runs web?"),
            (nil, ["a=web:1", "b=web:2"], "deployment/app has several containers (a, b): which one runs web?"),
            // Another registry's image of that name is another image.
            (
                nil, ["a=x:1", "b=quay.io/other/web:1"],
                "deployment/app has several containers (a, b): which one runs web?"
            ),
        ] as [(String?, [String], String)])
    func missing(_ named: String?, _ containers: [String], _ words: String) throws {
        let workload = Self.deployment(containers)
        let failure = #expect(throws: LoopFailure.self) {
            try Self.image(container: named).place(in: workload)
        }
        #expect(failure?.failure.summary == words)
        #expect(failure?.failure.nextStep?.contains("\"container\"") == true)
    }

    @Test("the patch sets the image and the pull policy of loopd's own, and nothing else")
    func patch() throws {
        let workload = Self.deployment(["a=x:1", "b=web:1"])
        let own = "localhost:5000/web:loopd-0123456789abcdef"
        let image = Self.image(container: "b")
        let patch = try #require(try image.patch(workload, to: own))
        #expect(
            patch == [
                ["op": "replace", "path": "/metadata/resourceVersion", "value": "7"],
                ["op": "replace", "path": "/spec/template/spec/containers/1/image", "value": .string(own)],
                ["op": "add", "path": "/spec/template/spec/containers/1/imagePullPolicy", "value": "IfNotPresent"],
            ])
        let changed = try image.set(own, in: workload)
        #expect(try image.patch(changed, to: own) == nil)
        #expect(changed.podSpec["containers"]?[0] == workload.podSpec["containers"]?[0])
        // Whose tag may get another content one day keeps its policy.
        let foreign = try #require(try image.patch(workload, to: "web:2"))
        #expect(foreign.array?.count == 2)
    }

    @Test("of a bare pod it is in the pod itself")
    func pod() throws {
        let pod: JSON = [
            "metadata": ["name": "p", "resourceVersion": "1"],
            "spec": ["containers": [["name": "c", "image": "x:1"]]],
        ]
        let image = RolledImage(kind: .pod, name: "p", image: "web")
        #expect(image.workload == "pod/p")
        #expect(try image.set("web:2", in: pod).at("spec", "containers")?[0]?["image"] == "web:2")
        #expect(try image.patch(pod, to: "web:2")?[1]?["path"] == "/spec/containers/0/image")
    }
}
