import JSON
@testable import LoopServer
import Testing

/// Workloads in the recorded form, and dev mode for them.
enum DevFixture {
    static func workload(_ file: String) throws -> JSON { try Recording.json(file) }

    /// A Deployment as the API server completes it.
    static func deployment(container more: JSON = [:], pod: JSON = [:], command: JSON? = ["app", "--serve"]) -> JSON {
        var container: JSON = [
            "name": "app", "image": "registry/app:1", "resources": [:], "imagePullPolicy": "IfNotPresent",
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
        ]
        container["command"] = command
        for (key, value) in more.object ?? JSONObject() { container[key] = value }
        var spec: JSON = [
            "containers": [container], "restartPolicy": "Always", "dnsPolicy": "ClusterFirst",
            "securityContext": [:], "schedulerName": "default-scheduler",
        ]
        for (key, value) in pod.object ?? JSONObject() { spec[key] = value }
        return [
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": ["name": "app", "namespace": "d", "uid": "u1", "resourceVersion": "7", "generation": 1],
            "spec": [
                "replicas": 2, "selector": ["matchLabels": ["app": "app"]],
                "template": ["metadata": ["labels": ["app": "app"]], "spec": spec],
            ],
        ]
    }

    static func inputs(
        _ dev: DevMode = DevMode(), container: String? = nil, destinations: [String] = [], rootFiles: [String]? = [],
        image: ImageConfiguration? = ImageConfiguration(entrypoint: ["/entry"], command: ["run"])
    ) -> DevTemplate.Inputs {
        DevTemplate.Inputs(
            container: container, dev: dev, destinations: destinations, rootFiles: rootFiles,
            program: "loopd-helper-0123456789abcdef", image: image)
    }

    /// How the image "web" gets into the Deployment "app".
    static func rollout(
        _ client: KubeClient, _ emit: @escaping @Sendable (LoopEvent.Kind) -> Void
    ) -> ImageRollout {
        ImageRollout(
            RolledImage(kind: .deployment, name: "app", image: "web"), recreate: false, dev: nil, client: client,
            namespace: "d", emit: emit)
    }

    static func template(_ workload: JSON, _ inputs: DevTemplate.Inputs) throws -> DevTemplate {
        try DevTemplate(workload.at("spec", "template") ?? .null, inputs)
    }

    /// The workload in dev mode, with the record in its annotation.
    static func enter(_ workload: JSON, _ inputs: DevTemplate.Inputs) throws -> JSON {
        let template = try template(workload, inputs)
        let record = DevRecord(
            container: template.container, image: template.image, program: inputs.program, changes: template.changes,
            holder: "alice@laptop", since: 1000)
        return DevWorkload.entered(workload, template, record)
    }

    /// Takes it out again, by nothing but what is in it.
    static func leave(_ workload: JSON) throws -> JSON {
        DevWorkload.undone(workload, try #require(DevRecord(of: workload)))
    }
}

extension JSON {
    /// The pod spec of a workload's template.
    var podSpec: JSON {
        get { at("spec", "template", "spec") ?? .null }
        set { self["spec"]?["template"]?["spec"] = newValue }
    }

    /// The element of a list by its name.
    func named(_ name: String, in list: String) -> JSON? {
        self[list]?.array?.first { $0["name"]?.string == name }
    }

    /// Changes an element of a list by its name.
    mutating func change(_ name: String, in list: String, _ body: (inout JSON) -> Void) {
        guard var elements = self[list]?.array, let index = elements.firstIndex(where: { $0["name"]?.string == name })
        else { return }
        body(&elements[index])
        self[list] = .array(elements)
    }

    mutating func append(_ element: JSON, to list: String) {
        self[list] = .array((self[list]?.array ?? []) + [element])
    }

    /// The words of a list of strings.
    var words: [String] { array?.compactMap(\.string) ?? [] }
}
