import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Builds and what they make", .turn) struct SideloadTests {
    /// Three megabytes that are the same each time, and the sources after them; it fails when they say so.
    private static let build = """
        mkdir -p out && ! grep -q broken src/text && { head -c 3000000 /bin/busybox /bin/busybox /bin/busybox; \
        cat src/text; } >out/new && chmod 755 out/new && mv out/new out/tool
        """

    @Test("a save builds, and of what is built only what is new travels; a failed build changes nothing")
    func builds() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.project.configure(
                scene.configuration([
                    "app": [
                        "workload": "deployment/app",
                        "rules": [
                            [
                                "watch": ["src/**"], "build": ["sh", "-c", .string(SideloadTests.build)],
                                "sideload": ["from": "out/tool", "to": "/srv/"],
                            ]
                        ],
                    ]
                ]))
            try scene.project.write(".gitignore", "out/\n")
            try scene.project.write("src/text", "one")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.loopd("watch", "--output", "json")
            let first = try await loopd.event("landed", limit: .seconds(60))
            #expect(first["paths"]?.array == ["tool"])
            #expect(try await end(of: "/srv/tool", in: pod, scene) == "one")

            var place = loopd.log.count
            try scene.project.write("src/text", "two")
            let second = try await loopd.event("landed", from: place, limit: .seconds(30))
            let size = second["bytes"]?.integer ?? 0
            #expect(second["bytesSent"]?.integer ?? size < size / 10, "\(second)")
            #expect(try await end(of: "/srv/tool", in: pod, scene) == "two")

            place = loopd.log.count
            try scene.project.write("src/text", "broken")
            let failed = try await loopd.event("failed", from: place, limit: .seconds(30))
            #expect(failed["summary"]?.string == "build app failed: exit code 1")
            #expect(try await end(of: "/srv/tool", in: pod, scene) == "two")

            place = loopd.log.count
            try scene.project.write("src/text", "new")
            _ = try await loopd.event("landed", from: place, limit: .seconds(30))
            #expect(try await end(of: "/srv/tool", in: pod, scene) == "new")

            // A pod that comes later gets it, too.
            place = loopd.log.count
            try await scene.kubectl(["delete", "pod", pod, "--wait=false"])
            _ = try await loopd.event("landed", from: place, limit: .seconds(60))
            let next = try await scene.pods().until("another pod") { pods in
                pods.contains { $0.isRunning && $0.name != pod }
            }.first { $0.isRunning && $0.name != pod }
            let name = try #require(next).name
            #expect(try await end(of: "/srv/tool", in: name, scene) == "new")
        }
    }

    /// The last three letters of a file that is mostly of no interest.
    private func end(of path: String, in pod: String, _ scene: Scene) async throws -> String {
        try await scene.exec(pod, ["sh", "-c", "tail -c 3 \(path)"]).text
    }

    @Test("sync builds first, and fails when a build does")
    func once() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.project.configure(
                scene.configuration(
                    [
                        "app": [
                            "workload": "deployment/app",
                            "rules": [["build": "tool", "sideload": ["from": "tool", "to": "/srv/tool"]]],
                        ]
                    ],
                    merging: ["builds": ["tool": ["run": ["cp", "source", "tool"], "watch": ["source"]]]]))
            let pod = try await scene.running()[0].name
            let failing = try await scene.loopd("sync")
            #expect(try await failing.end(limit: .seconds(60)) == .exited(1))
            try scene.project.write("source", "content")
            let working = try await scene.loopd("sync")
            #expect(try await working.end(limit: .seconds(60)) == .exited(0), "\(working.transcript)")
            #expect(try await scene.text("/srv/tool", in: pod) == "content")
        }
    }
}
