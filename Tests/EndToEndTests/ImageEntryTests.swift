import JSON
import Reactor
import TestCluster
import Testing

/// Images that come into a workload that others have deployed.
@Suite("Images in workloads of others", .turn) struct ImageEntryTests {
    /// A service without manifests, whose image is `image/**` on top of a test image.
    private func configure(_ scene: Scene, merging more: JSON = [:]) async throws {
        let base = try await TestImage.shell.name(on: scene.cluster)
        let service: JSON = [
            "workload": "deployment/app",
            "rules": [["watch": ["image/**"], "image": ["name": "app", "base": .string(base), "to": "/srv/image"]]],
        ]
        try scene.project.configure(
            scene.configuration(
                ["app": service.merged(with: more)], merging: ["registry": .string(scene.cluster.registry)]))
        try scene.project.write("image/a", "one")
    }

    /// Applies the workload as a tool does that knows whose fields are whose; fails where that is a conflict.
    private func apply(_ scene: Scene) async throws {
        let space: JSON = ["apiVersion": "v1", "kind": "Namespace", "metadata": ["name": .string(scene.namespace)]]
        try await scene.kubectl(["apply", "-f", "-"], input: space.bytes)
        let workload = Workload(container: ["command": ["/probe", "run"], "imagePullPolicy": "Always"])
        let manifest = try await workload.manifest(on: scene.cluster)
        try await scene.kubectl(
            ["apply", "--server-side", "--field-manager=team", "-f", "-"], input: manifest.bytes)
        try await scene.kubectl(["rollout", "status", "deployment/app", "--timeout=90s"])
    }

    private func list(_ kind: String, _ scene: Scene) async throws -> [JSON] {
        let list = try JSON(parsing: try await scene.kubectl(["get", kind, "-o", "json"]).standardOutput)
        return list["items"]?.array ?? []
    }

    private func untilRunning(_ image: String, _ scene: Scene) async throws {
        _ = try await scene.pods().until("one pod with \(image)", limit: .seconds(60)) { pods in
            pods.count == 1 && pods[0].isRunning && pods[0].json.at("spec", "containers")?[0]?["image"]?.string == image
        }
    }

    @Test(
        "an image comes in one rollout, also with dev mode, and afterwards nobody's server-side apply meets a conflict",
        arguments: [false, true])
    func enter(withDevMode isInDevMode: Bool) async throws {
        try await Scene.run { scene in
            try await apply(scene)
            try await configure(scene, merging: isInDevMode ? ["dev": [:]] : [:])
            let loopd = try await scene.loopd("watch")
            let reference = try await loopd.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? ""
            _ = try await loopd.event("rolledOut", limit: .seconds(60))
            if isInDevMode { _ = try await loopd.event("devMode", limit: .seconds(60)) { $0["change"] == "entered" } }
            try await untilRunning(reference, scene)
            #expect(try await list("replicasets", scene).count == 2, "\(loopd.transcript)")
            try await loopd.stop()
            try await apply(scene)
            try await untilRunning(try await TestImage.shell.name(on: scene.cluster), scene)
        }
    }

    @Test("one that is built while the workload is not there comes as soon as it is")
    func late() async throws {
        try await Scene.run { scene in
            try await apply(scene)
            try await configure(scene)
            let loopd = try await scene.loopd("watch")
            _ = try await loopd.event("rolledOut", limit: .seconds(60))
            try await scene.kubectl(["delete", "deployment/app"])
            let place = loopd.log.count
            try scene.project.write("image/a", "two")
            let reference = try await loopd.event("imageBuilt", from: place)["reference"]?.string ?? ""
            _ = try await loopd.event("failed", from: place) {
                $0["summary"]?.string?.contains("nothing runs app yet") == true
            }
            try await apply(scene)
            try await untilRunning(reference, scene)
            try await loopd.stop()
        }
    }
}
