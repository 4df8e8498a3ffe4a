import Glibc
import JSON
import Reactor
import TestCluster
import Testing

/// Images that come into a workload that others have deployed.
@Suite("Images in workloads of others", .turn) struct ImageEntryTests {
    /// Who has the workload in dev mode.
    enum DevMode: CaseIterable {
        case nobody
        /// The service with the image.
        case same
        case other
    }

    /// A service without manifests, whose image is `image/**` on top of a test image.
    private func configure(_ scene: Scene, devMode: DevMode = .nobody) async throws {
        let base = try await TestImage.shell.name(on: scene.cluster)
        var service: JSON = [
            "workload": "deployment/app",
            "rules": [["watch": ["image/**"], "image": ["name": "app", "base": .string(base), "to": "/srv/image"]]],
        ]
        if devMode == .same { service["dev"] = [:] }
        var services: JSON = [:]
        if devMode == .other {
            services["dev"] = [
                "workload": "deployment/app", "dev": [:],
                "rules": [["watch": ["app/**"], "sync": ["to": "/srv/app"]]],
            ]
        }
        services["app"] = service
        try scene.project.configure(
            scene.configuration(services, merging: ["registry": .string(scene.cluster.registry)]))
        try scene.project.write("image/a", "one")
    }

    /// Makes the image of what a build makes, which takes until there is a file `go`, and fails where that has words.
    private func configureSlowly(
        _ scene: Scene, inAnotherService isOther: Bool = false, withManifests hasManifests: Bool = false
    ) async throws {
        let base = try await TestImage.shell.name(on: scene.cluster)
        let go = "\(scene.stateDirectory)-go"
        let script = "until test -e \(go); do sleep 0.1; done; test ! -s \(go) && cp src/a out.new && mv out.new out"
        let image: JSON = [
            "watch": ["src/**"], "build": ["sh", "-c", .string(script)],
            "image": ["name": "app", "base": .string(base), "files": ["from": "out", "to": "/srv/out"]],
        ]
        let sync: JSON = ["watch": ["app/**"], "sync": ["to": "/srv/app"]]
        var dev: JSON = [
            "workload": "deployment/app", "dev": [:], "rules": isOther ? [sync] : [sync, image],
        ]
        if hasManifests {
            dev["manifests"] = ["app.json"]
            let manifest = try await Workload(container: ["image": "app"]).manifest(on: scene.cluster)
            try scene.project.write("app.json", manifest.text)
        }
        var services: JSON = ["app": dev]
        if isOther { services["image"] = ["workload": "deployment/app", "rules": [image]] }
        try scene.project.configure(
            scene.configuration(services, merging: ["registry": .string(scene.cluster.registry)]))
        try scene.project.write(".gitignore", "out\nout.new\n")
        try scene.project.write("src/a", "one")
        try scene.project.write("app/b", "one")
    }

    private func go(_ scene: Scene, _ words: String = "") throws {
        try Disk.write(Array("\(scene.stateDirectory)-go".utf8), Array(words.utf8))
    }

    /// Where an image is that takes its time.
    enum Slow {
        case inItsService, inAnotherService
        /// Also in the manifests of its service, which were applied before.
        case inManifests
    }

    private static let waits = "waits for its image before it enters dev mode"

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
        arguments: DevMode.allCases)
    func enter(_ devMode: DevMode) async throws {
        try await Scene.run { scene in
            let isInDevMode = devMode != .nobody
            try await apply(scene)
            try await configure(scene, devMode: devMode)
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

    @Test(
        "one that takes its time comes with dev mode in one rollout, whichever service of the workload has it",
        arguments: [Slow.inItsService, .inAnotherService, .inManifests])
    func slow(_ place: Slow) async throws {
        try await Scene.run { scene in
            defer { Disk.remove("\(scene.stateDirectory)-go") }
            if place == .inManifests { try await scene.deploy(Workload()) } else { try await apply(scene) }
            try await configureSlowly(
                scene, inAnotherService: place == .inAnotherService, withManifests: place == .inManifests)
            let loopd = try await scene.loopd("watch")
            let notice = try await loopd.event("notice", limit: .seconds(60)) { $0["text"]?.string == Self.waits }
            #expect(notice["service"]?.string == "app")
            #expect(try await list("replicasets", scene).count == 1)
            try go(scene)
            let reference = try await loopd.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? ""
            _ = try await loopd.event("devMode", limit: .seconds(60)) { $0["change"] == "entered" }
            try await untilRunning(reference, scene)
            try await scene.untilEqual("app", "/srv/app", in: try await scene.running()[0].name)
            #expect(try await list("replicasets", scene).count == 2, "\(loopd.transcript)")
            #expect(loopd.log.events().count { $0["text"]?.string == Self.waits } == 1)
            try await loopd.stop()
        }
    }

    @Test("for one that takes very long dev mode does not wait, and for one that cannot be built neither")
    func verySlow() async throws {
        try await Scene.run { scene in
            defer { Disk.remove("\(scene.stateDirectory)-go") }
            try await apply(scene)
            try await configureSlowly(scene)
            var loopd = try await scene.loopd("watch")
            _ = try await loopd.event("devMode", limit: .seconds(120)) { $0["change"] == "entered" }
            #expect(loopd.log.events().contains { $0["text"]?.string == Self.waits })
            try go(scene)
            let reference = try await loopd.event("imageBuilt", limit: .seconds(60))["reference"]?.string ?? ""
            try await untilRunning(reference, scene)
            try await loopd.stop()

            Disk.remove("\(scene.stateDirectory)-go")
            loopd = try await scene.loopd("watch")
            _ = try await loopd.event("notice", limit: .seconds(60)) { $0["text"]?.string == Self.waits }
            try go(scene, "no")
            _ = try await loopd.event("devMode", limit: .seconds(60)) { $0["change"] == "entered" }
            #expect(!loopd.log.events().contains { $0["text"]?.string?.hasPrefix("its image takes longer") == true })
            try await loopd.stop()
        }
    }

    @Test("what a killed loopd has set is given back by restore, and by the next session")
    func killed() async throws {
        try await Scene.run { scene in
            try await apply(scene)
            try await configure(scene)
            func kill() async throws {
                let loopd = try await scene.loopd("watch")
                _ = try await loopd.event("rolledOut", limit: .seconds(60))
                loopd.child.signal(SIGKILL)
                _ = try await loopd.end()
                await #expect(throws: (any Error).self, "the image is still the killed one's") {
                    try await apply(scene)
                }
            }
            try await kill()
            for (arguments, count) in [([String](), 1), (["--all"], 0)] {
                let restore =
                    try await arguments.isEmpty ? scene.loopd("restore") : scene.loopd("restore", arguments[0])
                #expect(try await restore.end() == .exited(0), "\(restore.transcript)")
                let workloads = try JSON(parsing: restore.outputText)["workloads"]?.array ?? []
                #expect(workloads.count == count, "\(restore.transcript)")
                if let entry = workloads.first {
                    #expect(
                        entry == [
                            "target": "deployment/app", "service": "app", "restored": true, "givenBack": true,
                        ])
                }
            }
            try await apply(scene)

            try await kill()
            // There is nothing to roll out.
            let next = try await scene.loopd("watch")
            #expect(try await next.event("imageBuilt", limit: .seconds(60))["unchanged"] == true)
            let lease: JSON? = try await list("deployments", scene)[0].at("metadata", "annotations", "loopd.dev/lease")
            #expect(lease != nil)
            let living = try await scene.loopd("restore", "--all")
            #expect(try await living.end() == .exited(0), "\(living.transcript)")
            #expect(try JSON(parsing: living.outputText)["workloads"] == [])
            try await next.stop()
            try await apply(scene)
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
