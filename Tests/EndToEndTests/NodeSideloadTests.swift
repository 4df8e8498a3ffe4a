import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("What builds make, on nodes", .turn) struct NodeSideloadTests {
    /// A script that says which one it is and waits, with three megabytes after it that are the same each time.
    private static let build = """
        mkdir -p out && { printf '#!/bin/sh\\necho '; cat src/version; \
        printf ' >/tmp/version\\ntrap "exit 0" TERM\\nwhile :; do sleep 1000 & wait $!; done\\nexit\\n'; \
        head -c 3000000 /bin/busybox /bin/busybox /bin/busybox; } >out/new && chmod 755 out/new && mv out/new out/supervisor
        """

    /// A scene with a DaemonSet that runs `supervisor` from a folder of its node, and a project that builds it.
    private func run(_ body: (Scene, _ folder: String) async throws -> Void) async throws {
        let folder = try temporaryFolder("loopd-e2e-node")
        defer { Disk.remove(folder) }
        try await Scene.run { scene in
            let tools = "\(folder)/tools"
            let workload = Workload(
                kind: "DaemonSet",
                container: [
                    "command": ["/opt/tools/supervisor"],
                    "volumeMounts": [["name": "tools", "mountPath": "/opt/tools"]],
                ],
                pod: [
                    "volumes": [
                        ["name": "tools", "hostPath": ["path": .string(tools), "type": "DirectoryOrCreate"]]
                    ]
                ])
            try await scene.deploy(workload, wait: false)
            let image = try await TestImage.shell.name(on: scene.cluster)
            try scene.project.configure(
                scene.configuration(
                    [
                        "app": [
                            "workload": "daemonset/app",
                            "rules": [
                                [
                                    "watch": ["src/**"], "build": ["sh", "-c", .string(NodeSideloadTests.build)],
                                    "sideload": [
                                        "from": "out/supervisor", "to": .string("\(tools)/supervisor"), "on": "node",
                                    ],
                                ]
                            ],
                        ]
                    ], merging: ["cluster": ["helperImage": .string(image)]]))
            try scene.project.write(".gitignore", "out/\n")
            try scene.project.write("src/version", "one")
            try await body(scene, tools)
        }
    }

    /// The pod that runs a version of the supervisor, as soon as there is one.
    private func pod(running version: String, _ scene: Scene, not old: Pod? = nil) async throws -> Pod {
        try await within(.seconds(90), "a pod that runs \(version)") {
            while true {
                try Task.checkCancellation()
                let pods = try await scene.pods().until("a pod of the workload") { pods in
                    pods.contains { isOwn($0) && $0.isRunning && $0.uid != old?.uid }
                }
                guard let pod = pods.first(where: { isOwn($0) && $0.isRunning && $0.uid != old?.uid }) else { continue }
                // It may be deleted just now: then there is another one soon.
                let output = try? await scene.exec(pod.name, ["cat", "/tmp/version"], codes: [0, 1])
                if output?.text.trimmed == version { return pod }
            }
        }
    }

    private func isOwn(_ pod: Pod) -> Bool { !isHelper(pod) }

    private func isHelper(_ pod: Pod) -> Bool { pod.name.hasPrefix("loopd-node-") }

    @Test("a save lands on the node by blocks, and its pods restart with what is new; a clean end leaves only the file")
    func lands() async throws {
        try await run { scene, folder in
            let loopd = try await scene.loopd("watch")
            let first = try await loopd.event("landed", limit: .seconds(90))
            #expect(first["nodes"]?.integer == 1)
            #expect(first["paths"] == ["supervisor"])
            let connected = try await loopd.event("connected")
            #expect(connected["pods"]?[0]?.string?.hasPrefix("node ") == true, "\(connected)")
            let old = try await pod(running: "one", scene)

            let place = loopd.log.count
            try scene.project.write("src/version", "two")
            let second = try await loopd.event("landed", from: place, limit: .seconds(60))
            let size = second["bytes"]?.integer ?? 0
            #expect(second["bytesSent"]?.integer ?? size < size / 10, "\(second)")
            _ = try await pod(running: "two", scene, not: old)

            #expect(try await loopd.stop(SIGINT).status == .exited(130))
            try await scene.pods().until("no helper pod") { !$0.contains { isHelper($0) } }
            let paths = try await Tree.local(folder).paths
            #expect(paths == ["supervisor"], "\(loopd.transcript)")
        }
    }

    @Test("after a kill the helper pod is used again, and nothing restarts that has what is new")
    func killed() async throws {
        try await run { scene, _ in
            let loopd = try await scene.loopd("watch")
            let running = try await pod(running: "one", scene)
            let helper = try await scene.pods().until("the helper pod") { $0.contains { isHelper($0) } }
                .first { isHelper($0) }
            _ = try await loopd.stop(SIGKILL)
            let again = try await scene.watching()
            // The build runs once more and makes the same.
            _ = try await again.event("built", limit: .seconds(60))
            let place = again.log.count
            try scene.project.write("src/version", "two")
            _ = try await again.event("landed", from: place, limit: .seconds(60))
            _ = try await pod(running: "two", scene, not: running)
            let restarts = again.log.events().count { $0["event"]?.string == "podDeleted" }
            #expect(restarts == 1, "\(again.transcript)")
            let now = try await scene.pods().until("the helper pod") { $0.contains { isHelper($0) } }
                .first { isHelper($0) }
            #expect(now?.uid == helper?.uid)
        }
    }

    @Test("sync ends when it is on the nodes; a helper pod that somebody deletes is made again")
    func once() async throws {
        try await run { scene, folder in
            let single = try await scene.loopd("sync")
            #expect(try await single.end(limit: .seconds(90)) == .exited(0), "\(single.transcript)")
            let first = try await pod(running: "one", scene)
            try await scene.pods().until("no helper pod") { !$0.contains { isHelper($0) } }

            let loopd = try await scene.watching()
            let helper = try await scene.pods().until("the helper pod") { $0.contains { isHelper($0) } }
                .first { isHelper($0) }
            var place = loopd.log.count
            try await scene.kubectl(["delete", "pod", try #require(helper).name, "--wait=false"])
            _ = try await loopd.event("connected", from: place, limit: .seconds(60))
            place = loopd.log.count
            try scene.project.write("src/version", "two")
            _ = try await loopd.event("landed", from: place, limit: .seconds(60))
            _ = try await pod(running: "two", scene, not: first)
        }
    }

    @Test("a namespace that takes no such pods is one line; containers are synced all the same, and nodes once it does")
    func forbidden() async throws {
        try await run { scene, folder in
            let restricted: JSON = [
                "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]],
                "seccompProfile": ["type": "RuntimeDefault"],
            ]
            try await scene.deploy(Workload("web", image: .nonRoot, container: ["securityContext": restricted]))
            let image = try await TestImage.shell.name(on: scene.cluster)
            try scene.project.configure(
                scene.configuration(
                    [
                        "web": [
                            "workload": "deployment/web",
                            "rules": [
                                ["watch": ["app/**"], "sync": ["to": "/srv/app"]],
                                [
                                    "watch": ["src/**"], "build": ["sh", "-c", .string(NodeSideloadTests.build)],
                                    "sideload": [
                                        "from": "out/supervisor", "to": .string("\(folder)/supervisor"), "on": "node",
                                    ],
                                ],
                            ],
                        ]
                    ], merging: ["cluster": ["helperImage": .string(image)]]))
            try scene.project.write("app/a", "1")
            let label = "pod-security.kubernetes.io/enforce"
            func enforce(_ level: String) async throws {
                try await scene.kubectl(
                    ["label", "--overwrite", "namespace", scene.namespace, "\(label)=\(level)"], scoped: false)
            }
            try await enforce("restricted")
            let loopd = try await scene.loopd("watch")
            let failed = try await loopd.event("failed", limit: .seconds(60))
            #expect(failed["summary"]?.string?.contains("it violates PodSecurity \"restricted:latest\"") == true)
            #expect(failed["nextStep"]?.string?.contains("label the namespace \(label)=privileged") == true)
            let web = try await scene.pods().until("the pod") {
                $0.contains { $0.name.hasPrefix("web-") && $0.isRunning }
            }
            .first { $0.name.hasPrefix("web-") && $0.isRunning }
            try await scene.untilEqual("app", "/srv/app", in: try #require(web).name)

            try await enforce("privileged")
            _ = try await loopd.event("landed", limit: .seconds(90)) { $0["nodes"]?.integer == 1 }
            #expect(loopd.log.events().count { $0["event"]?.string == "failed" } == 1, "\(loopd.transcript)")
        }
    }
}
