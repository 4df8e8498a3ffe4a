import JSON
import Reactor
import TestCluster
import Testing

/// Images that docker, podman and buildah build from Dockerfiles, from a save to the pod that runs them.
@Suite("Images from Dockerfiles", .turn) struct EngineImageTests {
    @Test(
        "docker: a save is built, pushed and rolled out; a line that fails is named, and the next save heals it",
        .enabled(if: DockerDaemon.obstacle == nil, "\(DockerDaemon.obstacle ?? "")"))
    func docker() async throws {
        let docker = try await DockerDaemon.start()
        do {
            try await loop("docker", ["DOCKER_HOST": docker.host])
            await docker.stop()
        } catch {
            await docker.stop()
            throw error
        }
    }

    @Test(
        "podman: the same",
        .enabled(if: ContainerStorage.obstacle("podman") == nil, "\(ContainerStorage.obstacle("podman") ?? "")"))
    func podman() async throws { try await alone("podman") }

    @Test(
        "buildah: the same",
        .enabled(if: ContainerStorage.obstacle("buildah") == nil, "\(ContainerStorage.obstacle("buildah") ?? "")"))
    func buildah() async throws { try await alone("buildah") }

    private func alone(_ program: String) async throws {
        let storage = try ContainerStorage()
        do {
            try await loop(program, storage.environment)
            storage.remove()
        } catch {
            storage.remove()
            throw error
        }
    }

    private func loop(_ builder: String, _ environment: [String: String]) async throws {
        try await Scene.run { scene in
            let image: JSON = ["name": "app", "builder": .string(builder), "context": "image"]
            let rules: JSON = [
                ["watch": ["image/**"], "image": image], ["watch": ["app/**"], "sync": ["to": "/srv/app"]],
            ]
            try scene.project.configure(
                scene.configuration(
                    ["app": ["workload": "deployment/app", "manifests": ["app.json"], "rules": rules]],
                    merging: ["registry": .string(scene.cluster.registry)]))
            var manifest = try await Workload().manifest(on: scene.cluster)
            let container: JSON = ["name": "app", "image": "app:latest", "command": ["/probe", "run"]]
            manifest["spec"]?["template"]?["spec"]?["containers"] = [container]
            try scene.project.write("app.json", manifest.text)
            try scene.project.write("app/a", "1")
            let base = try await TestImage.shell.name(on: scene.cluster)
            try scene.project.write("image/word", "one")
            try scene.project.write("image/Dockerfile", "FROM \(base)\nENV COLOUR=blue\nCOPY word /word\n")
            let loopd = try await scene.loopd("watch", environment: environment)
            let first = try await built(scene, loopd, word: "one", from: 0)
            try await scene.untilEqual("app", "/srv/app", in: try await scene.running()[0].name)

            var place = loopd.log.count
            try scene.project.replace("image/Dockerfile", "FROM \(base)\nENV COLOUR=blue\nCOPY nothing /word\n")
            let failure = try await loopd.event("failed", from: place, limit: .seconds(60))
            #expect(failure["summary"]?.string?.contains("Dockerfile:3") == true, "\(failure.text)")
            place = loopd.log.count
            try scene.project.write("image/word", "two")
            try scene.project.replace("image/Dockerfile", "FROM \(base)\nENV COLOUR=blue\nCOPY word /word\n")
            let second = try await built(scene, loopd, word: "two", from: place)
            #expect(first != second)
            #expect(!loopd.log.events().contains { $0["reference"]?.string?.hasSuffix(":latest") == true })
            try await loopd.stop()
        }
    }

    /// The reference of the next image, once its pod has the word.
    private func built(_ scene: Scene, _ loopd: Loopd, word: String, from place: Int) async throws -> String {
        let event = try await loopd.event("imageBuilt", from: place, limit: .seconds(120))
        let reference = try #require(event["reference"]?.string)
        let pods = try await scene.pods().until("a pod of \(reference)", limit: .seconds(60)) { pods in
            pods.count == 1 && pods[0].isRunning
                && pods[0].json.at("spec", "containers")?[0]?["image"]?.string == reference
        }
        #expect(try await scene.text("/word", in: pods[0].name) == word)
        return reference
    }
}
