import JSON
import TestCluster
import Testing

@Suite("Obstacles", .turn) struct ObstacleTests {
    @Test("a read-only destination is one line that names path, user, mode and remedy")
    func readOnly() async throws {
        try await Scene.run { scene in
            let scratch = Workload.emptyDir("tmp", at: "/tmp")
            let workload = Workload(
                container: [
                    "volumeMounts": [scratch.mount], "securityContext": ["readOnlyRootFilesystem": true],
                ],
                pod: ["volumes": [scratch.volume]])
            try await scene.deploy(workload)
            try scene.configure(to: "/srv")
            try scene.project.write("app/a", "1")
            let loopd = try await scene.loopd("watch")
            let failed = try await loopd.event("failed")
            let summary = failed["summary"]?.string ?? ""
            #expect(
                summary.contains("/srv") && summary.contains("Read-only") && summary.contains("user 0"), "\(summary)")
            #expect(failed["nextStep"]?.string?.contains("emptyDir") == true)
        }
    }

    @Test("a folder of another user's is one line that names path, user, mode and remedy")
    func permission() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload(container: ["securityContext": ["runAsUser": 1234]]))
            try scene.project.configure(
                scene.configuration([
                    "app": [
                        "workload": "deployment/app",
                        "rules": [
                            ["watch": ["app/**"], "sync": ["to": "/srv"]],
                            ["watch": ["other/**"], "sync": ["to": "/tmp/other"]],
                        ],
                    ]
                ]))
            try scene.project.write("app/a", "1")
            try scene.project.write("other/b", "2")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let failed = try await loopd.event("failed")
            let summary = failed["summary"]?.string ?? ""
            #expect(summary.contains("/srv") && summary.contains("user 1234") && summary.contains("0755"), "\(summary)")
            #expect(failed["nextStep"]?.string?.contains("own") == true)
            // The other destination is as usual.
            #expect(try await scene.text("/tmp/other/b", in: pod) == "2")
        }
    }

    @Test("no space: one line for the file that does not fit, and the rest of the batch lands")
    func noSpace() async throws {
        try await Scene.run { scene in
            let data = Workload.emptyDir("data", at: "/srv/app", ["medium": "Memory", "sizeLimit": "4Mi"])
            let workload = Workload(container: ["volumeMounts": [data.mount]], pod: ["volumes": [data.volume]])
            try await scene.deploy(workload)
            try scene.configure()
            try scene.project.write("app/a", "1")
            let pod = try await scene.running()[0].name
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try scene.project.write("app/big", [UInt8](repeating: 1, count: 16 << 20))
            try scene.project.write("app/b", "2")
            let skipped = try await loopd.event("skipped", from: place)
            #expect(skipped["path"]?.string?.hasSuffix("big") == true)
            #expect(skipped["reason"]?.string?.contains("No space left") == true, "\(skipped.text)")
            #expect(skipped["reason"]?.string?.contains("free some space") == true, "\(skipped.text)")
            try await scene.untilEqual("app", "/srv/app", in: pod) { $0 == "big" }
            // Freed again: the next save of it lands.
            try scene.project.write("app/big", [UInt8](repeating: 1, count: 1 << 20))
            try await scene.untilEqual("app", "/srv/app", in: pod)
        }
    }

    @Test("a program that runs from a file that is a mount: text file busy is one line, the rest lands")
    func busy() async throws {
        try await Scene.run { scene in
            let work = Workload.emptyDir("work", at: "/work")
            let image = try await TestImage.shell.name(on: scene.cluster)
            let workload = Workload(
                container: [
                    "command": ["/srv/app/tool", "run"],
                    "volumeMounts": [["name": "work", "mountPath": "/srv/app/tool", "subPath": "tool"]],
                ],
                pod: [
                    "volumes": [work.volume],
                    "initContainers": [
                        [
                            "name": "seed", "image": .string(image),
                            "command": ["/probe", "copy", "/probe", "/work/tool"],
                            "volumeMounts": [work.mount],
                        ]
                    ],
                ])
            try await scene.deploy(workload)
            try scene.configure()
            let pod = try await scene.running()[0].name
            try scene.project.write("app/a", "1")
            let loopd = try await scene.watching()
            let place = loopd.log.count
            try scene.project.write("app/tool", "a new program", mode: 0o755)
            try scene.project.write("app/a", "2")
            let skipped = try await loopd.event("skipped", from: place)
            #expect(skipped["path"]?.string?.hasSuffix("tool") == true)
            #expect(skipped["reason"]?.string?.contains("Text file busy") == true, "\(skipped.text)")
            try await scene.untilEqual("app", "/srv/app", in: pod) { $0 == "tool" }
        }
    }

    @Test("nothing is written outside the destination, whatever links lie there")
    func escapes() async throws {
        try await Scene.run { scene in
            try await scene.deploy(Workload())
            try scene.configure()
            let pod = try await scene.running()[0].name
            try await scene.exec(
                pod,
                [
                    "sh", "-c",
                    "mkdir -p /srv/app /outside && ln -s /outside /srv/app/folder && ln -s ../../outside /srv/app/up",
                ])
            try scene.project.write("app/folder/file", "1")
            try scene.project.write("app/up/file", "2")
            try scene.project.write("app/plain", "3")
            _ = try await scene.watching()
            #expect(try await scene.text("/srv/app/plain", in: pod) == "3")
            #expect(try await scene.tree("/outside", in: pod).paths.isEmpty)
        }
    }
}
