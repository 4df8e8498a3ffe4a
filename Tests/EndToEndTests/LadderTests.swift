import JSON
import TestCluster
import Testing

@Suite("Ways into a container", .turn) struct LadderTests {
    @Test(
        "the helper comes by shell, or by tar where there is no shell",
        arguments: [
            (TestImage.shell, "helper at /"), (.withoutTar, "helper at /"), (.tarOnly, "by tar"),
            (.nonRoot, "helper at /"),
        ])
    func upload(image: TestImage, way: String) async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(image: image))
            try scene.configure(rule: ["sync": ["via": "exec"]])
            try await check(scene, way: way)
        }
    }

    @Test("nothing but a program in the image: the helper comes in an ephemeral container, which is used again")
    func scratch() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(image: .scratch))
            let image = try await TestImage.shell.name(on: scene.cluster)
            try scene.configure(merging: ["cluster": ["helperImage": .string(image)]])
            let loopd = try await check(scene, way: "ephemeral")
            try await loopd.stop()
            try scene.project.write("app/later", "1")
            let again = try await scene.watching()
            let pod = try await scene.running()[0]
            try await scene.untilEqual("app", "/srv/app", in: pod.name)
            try await again.stop()
            #expect(pod.json.at("spec", "ephemeralContainers")?.array?.count == 1)
        }
    }

    @Test("an ephemeral container has the user of a container that is not root's")
    func scratchNonRoot() async throws {
        try await Scene.run { scene in
            let data = Workload.emptyDir("data", at: "/srv/app")
            let workload = Workload(
                image: .scratch,
                container: [
                    "volumeMounts": [data.mount],
                    "securityContext": [
                        "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true, "readOnlyRootFilesystem": true,
                        "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]],
                    ],
                ],
                pod: ["volumes": [data.volume], "securityContext": ["fsGroup": 1000]])
            try await scene.deploy(workload)
            let image = try await TestImage.shell.name(on: scene.cluster)
            try scene.configure(merging: ["cluster": ["helperImage": .string(image)]])
            try await check(scene, way: "ephemeral")
        }
    }

    @Test("via cp: each batch is one kubectl cp, deletions too")
    func copy() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure(rule: ["sync": ["via": "cp"]])
            try await check(scene, way: "kubectl cp") { $0.roundedTimes().difference(from: $1.roundedTimes()) }
        }
    }

    @Test("via exec never takes the slow way: it says what it tried and what would help")
    func noWay() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(image: .scratch))
            try scene.configure(rule: ["sync": ["via": "exec"]])
            try scene.project.write("app/a", "1")
            let loopd = try await scene.loopd("watch")
            let failed = try await loopd.event("failed")
            #expect(failed["nextStep"]?.string?.contains("helperImage") == true, "\(failed.text)")
            #expect((failed["details"]?.array?.count ?? 0) >= 2, "\(failed.text)")
        }
    }

    @Test("a root that is read-only is no obstacle where a volume is the destination")
    func readOnlyRoot() async throws {
        try await Scene.run { scene in
            let data = Workload.emptyDir("data", at: "/srv/app")
            let workload = Workload(
                container: [
                    "volumeMounts": [data.mount], "securityContext": ["readOnlyRootFilesystem": true],
                ],
                pod: ["volumes": [data.volume]])
            try await scene.deploy(workload)
            try scene.configure()
            try await check(scene, way: "helper at /srv/app/")
        }
    }

    /// Syncs a few kinds of files at start, changes them, and looks at the container.
    @discardableResult
    private func check(
        _ scene: Scene, way: String,
        comparing difference: @escaping @Sendable (Tree, Tree) -> [String] = { $0.difference(from: $1) }
    ) async throws -> Loopd {
        try scene.project.write("app/a", "1")
        try scene.project.write("app/run", "2", mode: 0o755)
        try scene.project.write("app/folder/with space", "3")
        try scene.project.link("app/link", to: "a")
        let pod = try await scene.running()[0].name
        let loopd = try await scene.watching()
        let connected = try await loopd.event("connected")
        #expect(connected["way"]?.string?.contains(way) == true, "\(connected.text)")
        try await scene.untilEqual("app", "/srv/app", in: pod, comparing: difference)
        try scene.project.replace("app/a", "11")
        scene.project.remove("app/folder")
        try scene.project.write("app/big", [UInt8](repeating: 7, count: 3 << 20))
        try await scene.untilEqual("app", "/srv/app", in: pod, comparing: difference)
        return loopd
    }
}
