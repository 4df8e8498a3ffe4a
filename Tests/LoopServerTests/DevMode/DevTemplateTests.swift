import JSON
@testable import LoopServer
import Testing

@Suite("Dev mode's template") struct DevTemplateTests {
    private static let supervise = ["/.loopd/bin/helper", "supervise", "--patience", "10", "--"]

    // MARK: - The command

    struct CommandCase: Sendable, CustomTestStringConvertible {
        var command: JSON?
        var arguments: JSON?
        var dev = DevMode()
        let result: [String]
        var testDescription: String { "\(result)" }
    }

    private static func dev(_ command: [String]?, _ arguments: [String]?) -> DevMode {
        var dev = DevMode()
        (dev.command, dev.arguments) = (command, arguments)
        return dev
    }

    @Test(
        "the helper runs what the container would",
        arguments: [
            CommandCase(command: ["app", "$(PORT)"], result: ["app", "$(PORT)"]),
            CommandCase(command: ["app"], arguments: ["a", "b"], result: ["app", "a", "b"]),
            CommandCase(arguments: ["a"], result: ["/entry", "a"]),
            CommandCase(result: ["/entry", "run", "$$(NOT)", "$HOME"]),
            CommandCase(command: ["app"], arguments: ["a"], dev: dev(["other"], nil), result: ["other"]),
            CommandCase(command: ["app"], arguments: ["a"], dev: dev(["other"], ["x"]), result: ["other", "x"]),
            CommandCase(command: ["app"], arguments: ["a"], dev: dev(nil, ["x"]), result: ["app", "x"]),
            CommandCase(arguments: ["a"], dev: dev(nil, []), result: ["/entry"]),
        ])
    func command(_ test: CommandCase) throws {
        var workload = DevFixture.deployment(command: test.command)
        workload.podSpec.change("app", in: "containers") { $0["args"] = test.arguments }
        let image = ImageConfiguration(entrypoint: ["/entry"], command: ["run", "$(NOT)", "$HOME"])
        let template = try DevFixture.template(workload, DevFixture.inputs(test.dev, image: image))
        let container = try #require(template.spec.named("app", in: "containers"))
        #expect(container["command"]?.words == DevTemplateTests.supervise + test.result)
        #expect(container["args"] == nil)
    }

    @Test("words of an image are escaped so that the kubelet makes of them what they were")
    func escaping() {
        let words = ["$(A)", "$$(A)", "$$", "a$", "$x", "$$x", "$$$", "(a)", ""]
        #expect(ImageConfiguration.escaped(words).map(expanded) == words)
    }

    /// As the kubelet reads a word without any variable that it knows.
    private func expanded(_ word: String) -> String {
        var result = ""
        var rest = Array(word)[...]
        while let character = rest.popFirst() {
            guard character == "$", let next = rest.first else {
                result.append(character)
                continue
            }
            if next == "$" {
                rest.removeFirst()
                result.append("$")
            } else if next == "(", rest.contains(")") {
                return "a variable"
            } else {
                result.append(character)
            }
        }
        return result
    }

    @Test("a command that nobody knows is one line that says what to do")
    func unknownCommand() throws {
        let error = try #require(throws: LoopFailure.self) {
            try DevFixture.template(DevFixture.deployment(command: nil), DevFixture.inputs(image: nil))
        }
        #expect(error.failure.summary == "dev mode: nobody knows what image registry/app:1 runs")
        #expect(error.failure.nextStep?.contains("\"command\"") == true)
    }

    @Test("of several containers the named one, the usual one, or none")
    func containers() throws {
        var workload = DevFixture.deployment(pod: [
            "initContainers": [["name": "side", "image": "s", "command": ["s"], "restartPolicy": "Always"]]
        ])
        workload.podSpec.append(["name": "proxy", "image": "p", "command": ["p"]], to: "containers")
        #expect(throws: LoopFailure.self) { try DevFixture.template(workload, DevFixture.inputs()) }
        #expect(throws: LoopFailure.self) { try DevFixture.template(workload, DevFixture.inputs(container: "nosuch")) }
        #expect(try DevFixture.template(workload, DevFixture.inputs(container: "proxy")).container == "proxy")
        let sidecar = try DevFixture.template(workload, DevFixture.inputs(container: "side"))
        #expect(
            sidecar.spec.named("side", in: "initContainers")?["command"]?.words == DevTemplateTests.supervise + ["s"])
        workload["spec"]?["template"]?["metadata"]?["annotations"] = [
            "kubectl.kubernetes.io/default-container": "proxy"
        ]
        #expect(try DevFixture.template(workload, DevFixture.inputs()).container == "proxy")
    }

    @Test("a container that runs the helper already, without a record, is not wrapped twice")
    func withoutRecord() throws {
        var workload = try DevFixture.enter(DevFixture.deployment(), DevFixture.inputs())
        workload["metadata"]?["annotations"] = nil
        #expect(throws: LoopFailure.self) { try DevFixture.template(workload, DevFixture.inputs()) }
    }

    // MARK: - Volumes and variables

    @Test("volumes of the same names are left alone")
    func takenNames() throws {
        let volumes: JSON = [["name": "loopd-helper", "emptyDir": [:]], ["name": "loopd-state", "emptyDir": [:]]]
        let template = try DevFixture.template(
            DevFixture.deployment(pod: ["volumes": volumes]), DevFixture.inputs())
        #expect(template.spec["volumes"]?.array?.prefix(2) == volumes.array?[...])
        #expect(
            template.spec.named("loopd-helper-2", in: "volumes")?.at("configMap", "name")
                == "loopd-helper-0123456789abcdef")
        let mounts = template.spec.named("app", in: "containers")?["volumeMounts"]?.array
        #expect(mounts?.map { $0["name"]?.string } == ["loopd-helper-2", "loopd-state-2"])
    }

    @Test("dev's variables and folder are on top of the container's own")
    func environment() throws {
        var dev = DevMode()
        dev.environment = ["A": "1", "NEW": "2"]
        dev.workingDirectory = "/srv"
        let own: JSON = [
            ["name": "A", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]], ["name": "B", "value": "b"],
        ]
        let workload = DevFixture.deployment(container: ["env": own])
        let container = try DevFixture.template(workload, DevFixture.inputs(dev)).spec.named("app", in: "containers")
        #expect(
            container?["env"] == [
                ["name": "A", "value": "1"], ["name": "B", "value": "b"], ["name": "NEW", "value": "2"],
            ])
        #expect(container?["workingDir"] == "/srv")
    }

    // MARK: - Seeded volumes

    struct SeedCase: Sendable, CustomTestStringConvertible {
        let testDescription: String
        var container: JSON = [:]
        var pod: JSON = [:]
        var user = ""
        var destinations = ["/srv/app"]
        let seeded: [String]
    }

    @Test(
        "destinations that the service's user cannot write become volumes",
        arguments: [
            SeedCase(testDescription: "root writes its image", seeded: []),
            SeedCase(
                testDescription: "read-only root", container: ["securityContext": ["readOnlyRootFilesystem": true]],
                seeded: ["/srv/app"]),
            SeedCase(testDescription: "the image's user", user: "1000:1000", seeded: ["/srv/app"]),
            SeedCase(testDescription: "the image's root", user: "root:root", seeded: []),
            SeedCase(
                testDescription: "the pod's user", pod: ["securityContext": ["runAsUser": 1000]], seeded: ["/srv/app"]),
            SeedCase(
                testDescription: "the container's user counts more",
                container: ["securityContext": ["runAsUser": 0]], pod: ["securityContext": ["runAsUser": 1000]],
                user: "5", seeded: []),
            SeedCase(
                testDescription: "nested ones share a volume", user: "1",
                destinations: ["/srv/app/static", "/srv/app", "/srv/apple"], seeded: ["/srv/app", "/srv/apple"]),
            SeedCase(
                testDescription: "a volume of its own",
                container: ["volumeMounts": [["name": "v", "mountPath": "/srv"]]],
                pod: ["volumes": [["name": "v", "emptyDir": [:]]]], user: "1", seeded: []),
            SeedCase(
                testDescription: "a claim by subPath",
                container: ["volumeMounts": [["name": "v", "mountPath": "/srv/app", "subPath": "x"]]],
                pod: ["volumes": [["name": "v", "persistentVolumeClaim": ["claimName": "c"]]]], user: "1", seeded: []),
            SeedCase(
                testDescription: "a read-only mount",
                container: ["volumeMounts": [["name": "v", "mountPath": "/srv/app", "readOnly": true]]],
                pod: ["volumes": [["name": "v", "emptyDir": [:]]]], user: "1", seeded: ["/srv/app"]),
            SeedCase(
                testDescription: "a ConfigMap", container: ["volumeMounts": [["name": "v", "mountPath": "/srv"]]],
                pod: ["volumes": [["name": "v", "configMap": ["name": "c"]]]], user: "1", seeded: ["/srv/app"]),
        ])
    func seeded(_ test: SeedCase) throws {
        let workload = DevFixture.deployment(container: test.container, pod: test.pod)
        let inputs = DevFixture.inputs(
            destinations: test.destinations, image: ImageConfiguration(user: test.user))
        let spec = try DevFixture.template(workload, inputs).spec
        let mounts = spec.named("app", in: "containers")?["volumeMounts"]?.array ?? []
        let seeds = mounts.filter { $0["name"]?.string?.hasPrefix("loopd-seed") == true }
        #expect(seeds.compactMap { $0["mountPath"]?.string }.sorted() == test.seeded)
        #expect(
            (spec["initContainers"]?.array ?? []).map { $0["command"]?.words }
                == test.seeded.map { ["/.loopd/bin/helper", "seed", $0, "/.loopd/seed"] })
    }

    @Test("an init container that seeds takes what policies and quotas look at from the service, and comes first")
    func seeder() throws {
        let security: JSON = ["runAsUser": 1000, "capabilities": ["drop": ["ALL"]], "readOnlyRootFilesystem": true]
        let resources: JSON = ["limits": ["cpu": "1", "memory": "64Mi"]]
        let workload = DevFixture.deployment(
            container: ["securityContext": security, "resources": resources],
            pod: ["initContainers": [["name": "first", "image": "x"]]])
        let spec = try DevFixture.template(workload, DevFixture.inputs(destinations: ["/srv"])).spec
        let names = spec["initContainers"]?.array?.compactMap { $0["name"]?.string }
        #expect(names == ["loopd-seed", "first"])
        let seeder = try #require(spec["initContainers"]?[0])
        #expect(seeder["image"] == "registry/app:1")
        #expect(seeder["securityContext"] == security)
        #expect(seeder["resources"] == resources)
        #expect(seeder["imagePullPolicy"] == "IfNotPresent")
        let mounts = seeder["volumeMounts"]?.array?.compactMap { $0["mountPath"]?.string }
        #expect(mounts == ["/.loopd/bin", "/.loopd/seed"])
    }

    @Test("a file in / lies in a volume of its own, and the command names it there")
    func rootFile() throws {
        let workload = DevFixture.deployment(
            container: ["securityContext": ["runAsUser": 1000]], command: ["/server", "--listen", "/server.sock"])
        let inputs = DevFixture.inputs(destinations: ["/"], rootFiles: ["/server"])
        let template = try DevFixture.template(workload, inputs)
        let container = try #require(template.spec.named("app", in: "containers"))
        #expect(
            container["command"]?.words
                == DevTemplateTests.supervise + ["/.loopd/root/server", "--listen", "/server.sock"])
        #expect(template.details.isEmpty)
        let seeder = try #require(template.spec["initContainers"]?[0])
        #expect(seeder["command"]?.words == ["/.loopd/bin/helper", "seed", "/server", "/.loopd/seed"])
        var status = ContainerState(container, .null)
        #expect(status.root == "/.loopd/root")
        status = ContainerState(DevFixture.deployment().podSpec["containers"]?[0] ?? .null, .null)
        #expect(status.root == nil)
    }
}
