import JSON
import Reactor
import TestCluster
import Testing

/// Images that loopd appends by itself, from a save to the pod that runs them.
@Suite("Appended images", .turn) struct ImageTests {
    /// The registry of the cluster, as `loop.json` names it.
    private func registry(_ scene: Scene) -> JSON { ["registry": .string(scene.cluster.registry)] }

    /// Writes a service whose image is `image/**` on top of a test image, with `more` rules after it.
    private func configure(_ scene: Scene, merging image: JSON = [:], rules more: [JSON] = []) async throws {
        let base = try await TestImage.shell.name(on: scene.cluster)
        let own: JSON = ["name": "app", "base": .string(base), "to": "/srv/image"]
        let rule: JSON = ["watch": ["image/**"], "image": own.merged(with: image)]
        try scene.project.configure(
            scene.configuration(
                ["app": ["workload": "deployment/app", "manifests": ["app.json"], "rules": .array([rule] + more)]],
                merging: registry(scene)))
        var manifest = try await Workload().manifest(on: scene.cluster)
        // As people write it; loopd knows what it is called now.
        var container = try #require(manifest.containers[0])
        (container["image"], container["imagePullPolicy"]) = ("app", nil)
        manifest["spec"]?["template"]?["spec"]?["containers"] = [container]
        try scene.project.write("app.json", manifest.text)
    }

    private func container(_ scene: Scene) async throws -> JSON {
        let text = try await scene.kubectl(["get", "deployment/app", "-o", "json"]).standardOutput
        return try #require(try JSON(parsing: text).containers[0])
    }

    private func revisions(_ scene: Scene) async throws -> Int {
        let list = try JSON(parsing: try await scene.kubectl(["get", "replicasets", "-o", "json"]).standardOutput)
        return list["items"]?.array?.count ?? 0
    }

    private func pod(_ scene: Scene, image: String) async throws -> Pod {
        let pods = try await scene.pods().until("one pod with \(image)", limit: .seconds(60)) { pods in
            pods.count == 1 && pods[0].isRunning && pods[0].json.at("spec", "containers")?[0]?["image"]?.string == image
        }
        return pods[0]
    }

    @Test("a save becomes a layer, a tag by its content and one rollout; the same content does nothing")
    func save() async throws {
        try await Scene.run { scene in
            try await configure(scene, merging: ["alias": "dev"])
            try scene.project.write("image/a", "one")
            let loopd = try await scene.loopd("watch")
            let first = try await loopd.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? ""
            #expect(first.hasPrefix("\(scene.cluster.registry)/app:loopd-"))
            var running = try await pod(scene, image: first)
            #expect(try await scene.text("/srv/image/a", in: running.name) == "one")
            #expect(try await container(scene)["imagePullPolicy"] == "IfNotPresent")
            #expect(try await revisions(scene) == 1)

            var place = loopd.log.count
            try scene.project.write("image/a", "two")
            let second = try await loopd.event("imageBuilt", from: place)
            let reference = second["reference"]?.string ?? ""
            #expect(reference != first)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            running = try await pod(scene, image: reference)
            #expect(try await scene.text("/srv/image/a", in: running.name) == "two")
            #expect(try await revisions(scene) == 2)

            place = loopd.log.count
            try scene.project.replace("image/a", "two")
            let third = try await loopd.event("imageBuilt", from: place)
            #expect(third["unchanged"] == true)
            #expect(third["bytesSent"]?.integer == 0)
            #expect(third["reference"]?.string == reference)
            // Whatever a rollout would be of, it would be there before the next image is.
            place = loopd.log.count
            try scene.project.write("image/a", "one")
            #expect(try await loopd.event("imageBuilt", from: place)["reference"]?.string == first)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(60))
            // A template that was there before is that revision again.
            #expect(try await revisions(scene) == 2)
            try await loopd.stop()
        }
    }

    @Test("of an image split by rule only the layer that changed travels")
    func layers() async throws {
        try await Scene.run { scene in
            let code: JSON = ["watch": ["code/**"], "image": ["name": "app", "builder": "append", "to": "/srv/code"]]
            try await configure(scene, rules: [code])
            for number in 0..<1000 {
                try scene.project.write("image/f\(number)", "\(number)" + String(repeating: "x", count: 500))
            }
            try scene.project.write("code/main", "one")
            let loopd = try await scene.loopd("watch")
            let first = try await loopd.event("imageBuilt", limit: .seconds(60))
            #expect(first["bytesSent"]?.integer ?? 0 > 1_000_000)
            let place = loopd.log.count
            try scene.project.write("code/main", "two")
            let second = try await loopd.event("imageBuilt", from: place)
            // The layer of one small file, and the image's configuration.
            #expect(second["bytesSent"]?.integer ?? .max < 16384, "\(second.text)")
            let running = try await pod(scene, image: second["reference"]?.string ?? "")
            #expect(try await scene.text("/srv/code/main", in: running.name) == "two")
            #expect(try await scene.text("/srv/image/f7", in: running.name)?.hasPrefix("7x") == true)
            try await loopd.stop()
        }
    }

    @Test("a batch with synced and image files is one image, and the new pod gets what that does not contain")
    func both() async throws {
        try await Scene.run { scene in
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try await configure(scene, rules: [sync])
            try scene.project.write("image/a", "one")
            try scene.project.write("app/b", "one")
            let loopd = try await scene.loopd("watch")
            _ = try await loopd.event("connected", limit: .seconds(60))
            let place = loopd.log.count
            try scene.project.write("image/a", "two")
            try scene.project.write("app/b", "two")
            let built = try await loopd.event("imageBuilt", from: place)
            let running = try await pod(scene, image: built["reference"]?.string ?? "")
            try await loopd.connected(to: running.name, from: place)
            try await scene.untilEqual("app", "/srv/app", in: running.name)
            #expect(try await scene.text("/srv/image/a", in: running.name) == "two")
            #expect(loopd.log.events()[place...].count { $0["event"] == "imageBuilt" } == 1)
            // A pod that comes up from an image older than the files here is brought up to date.
            try scene.project.write("app/b", "three")
            try await scene.untilEqual("app", "/srv/app", in: running.name)
            let later = loopd.log.count
            try await scene.kubectl(["delete", "pod", running.name, "--wait=false"])
            let next = try await scene.pods().until("another pod", limit: .seconds(60)) { pods in
                pods.contains { $0.isRunning && $0.name != running.name }
            }.first { $0.isRunning && $0.name != running.name }
            let name = try #require(next?.name)
            try await loopd.connected(to: name, from: later)
            try await scene.untilEqual("app", "/srv/app", in: name)
            try await loopd.stop()
        }
    }

    @Test("one cause is told once, however often it happens, where an image is rolled out and files are synced")
    func cause() async throws {
        try await Scene.run { scene in
            let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
            try await configure(scene, rules: [sync])
            let manifest = scene.project.path + "/app.json"
            let text = String(decoding: try Disk.read(manifest), as: UTF8.self)
            var object = try JSON(parsing: text)
            var container = try #require(object.containers[0])
            container["command"] = ["sh", "/srv/image/start"]
            object["spec"]?["template"]?["spec"]?["containers"] = [container]
            try scene.project.write("app.json", object.text)
            try scene.project.write("app/a", "one")
            try scene.project.write("image/start", "echo up; exec sleep 1000")
            let loopd = try await scene.loopd("watch")
            _ = try await loopd.event("connected", limit: .seconds(60))
            let place = loopd.log.count
            try scene.project.write("image/start", "echo up; sleep 1; echo boom: no table >&2; exit 3")
            _ = try await loopd.event("failed", from: place, limit: .seconds(60)) {
                $0["summary"]?.string?.contains("exited with code 3") == true
            }
            // It is ready for a moment in each run, which is no recovery.
            _ = try await scene.pods().until("a third crash", limit: .seconds(90)) { pods in
                pods.contains { pod in
                    (pod.json.at("status", "containerStatuses")?[0]?["restartCount"]?.integer ?? 0) >= 2
                        && pod.json.at("status", "containerStatuses")?[0]?["state"]?["running"] == nil
                }
            }
            let fixed = loopd.log.count
            try scene.project.write("image/start", "echo up again; exec sleep 1000")
            _ = try await loopd.event("rolledOut", from: fixed, limit: .seconds(60))
            let causes = loopd.log.events(from: place).filter { $0["event"] == "failed" }
            #expect(causes.count == 1, "\(loopd.transcript)")
            let recoveries = loopd.log.events()[place..<fixed].filter {
                $0["text"]?.string?.hasSuffix("are ready") == true
            }
            #expect(recoveries.isEmpty, "\(recoveries)")
            try await loopd.stop()
        }
    }

    @Test("of five saves during a build at most two builds and images come to their end, and the last content runs")
    func saves() async throws {
        try await Scene.run { scene in
            let base = try await TestImage.shell.name(on: scene.cluster)
            try await configure(scene)
            var configuration = scene.configuration([:], merging: registry(scene))
            configuration["services"] = [
                "app": [
                    "workload": "deployment/app", "manifests": ["app.json"],
                    "rules": [
                        [
                            "watch": ["src/**"], "build": ["sh", "-c", "cat src/a >out.new; sleep 1; mv out.new out"],
                            "image": [
                                "name": "app", "base": .string(base), "files": ["from": "out", "to": "/srv/out"],
                            ],
                        ]
                    ],
                ]
            ]
            try scene.project.configure(configuration)
            try scene.project.write("src/a", "0")
            let loopd = try await scene.loopd("watch")
            let first = try await loopd.event("imageBuilt", limit: .seconds(60))
            _ = try await pod(scene, image: first["reference"]?.string ?? "")
            let place = loopd.log.count
            try scene.project.write("src/a", "1")
            _ = try await loopd.event("building", from: place)
            for number in 2...5 { try scene.project.write("src/a", "\(number)") }
            let last = try await within(.seconds(60), "the last image", state: { loopd.transcript }) {
                while true {
                    let since = loopd.log.events(from: place)
                    let names = since.map { $0["event"]?.string ?? "" }
                    // What began last has come to its end: all saves are made before the first build can be done.
                    if let image = names.lastIndex(of: "imageBuilt"), image > names.lastIndex(of: "building") ?? -1 {
                        return since[image]
                    }
                    _ = await loopd.log.first(from: place + since.count) { _ in true }
                    try Task.checkCancellation()
                }
            }
            let running = try await pod(scene, image: last["reference"]?.string ?? "")
            #expect(try await scene.text("/srv/out", in: running.name) == "5")
            let since = loopd.log.events(from: place)
            #expect(since.count { $0["event"] == "built" } <= 2, "\(loopd.transcript)")
            #expect(since.count { $0["event"] == "imageBuilt" } <= 2, "\(loopd.transcript)")
            try await loopd.stop()
        }
    }

    @Test("what cannot be built is one clear line, and the next save is built")
    func failures() async throws {
        try await Scene.run { scene in
            try await configure(scene, merging: ["base": .string("\(scene.cluster.registry)/loopd-e2e/nothing:1")])
            try scene.project.write("image/a", "one")
            let loopd = try await scene.loopd("watch", "--no-deploy")
            let failure = try await loopd.event("failed", limit: .seconds(60))
            #expect(failure["summary"]?.string?.contains("loopd-e2e/nothing:1") == true, "\(failure.text)")
            try await loopd.stop()
        }
    }
}

extension JSON {
    fileprivate var containers: JSON { at("spec", "template", "spec", "containers") ?? .null }
}
