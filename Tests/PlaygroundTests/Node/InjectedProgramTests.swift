import Glibc
import HTTP
import JSON
import Reactor
import Testing

@testable import Playground

/// Pods that get a program from a ConfigMap, as a workload in dev mode gets its helper.
@Suite("A program from a ConfigMap, on runc", .onRunc, .timeLimit(.minutes(5)))
struct InjectedProgramTests {
    /// A static program that needs nothing of its image.
    private static let source = """
        #include <fcntl.h>
        #include <signal.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/stat.h>
        #include <unistd.h>
        static void end(int signal) { (void)signal; _exit(0); }
        int main(int count, char **words) {
            struct stat s;
            if (count < 2) return 2;
            if (!strcmp(words[1], "wait")) {
                signal(SIGTERM, end);
                for (;;) pause();
            }
            if (count < 3) return 2;
            if (!strcmp(words[1], "write")) return open(words[2], O_CREAT | O_WRONLY, 0644) < 0;
            if (!strcmp(words[1], "remove")) return unlink(words[2]) != 0;
            if (stat(words[2], &s) != 0) return 1;
            printf("%u:%u %o\\n", s.st_uid, s.st_gid, s.st_mode & 07777);
            return 0;
        }
        """
    private static let helper = "/.loopd/bin/helper"

    private func command(_ words: String...) -> JSON { .array(([Self.helper] + words).map { .string($0) }) }

    private func probe(_ path: String) -> JSON {
        ["exec": ["command": command("stat", path)], "periodSeconds": 1, "failureThreshold": 1, "timeoutSeconds": 30]
    }

    /// Stores the program as a ConfigMap, padded to the size of a real helper, and pushes an image that holds one
    /// unrelated file; returns the image's name.
    private func prepare(_ lab: Laboratory) async throws -> JSON {
        let folder = "\(lab.folder)/build"
        try Disk.makeDirectory(folder)
        try Disk.write(Array(Self.source.utf8), to: "\(folder)/helper.c")
        let built = try await Child.run(
            Launch(["clang", "-static", "-Os", "-o", "\(folder)/helper", "\(folder)/helper.c"]))
        #expect(built.status.isSuccess, "\(built.errorText)")
        var program = try Disk.read("\(folder)/helper", limit: 4 << 20)
        // Loaders do not look behind the last section.
        program += Array(repeating: 0, count: max(0, 700_000 - program.count))
        var map: JSON = [
            "metadata": ["name": "helper", "namespace": "default"],
            "binaryData": ["helper": .string(HTTP.Base64.encode(program)), "other": "AAAA"], "immutable": true,
        ]
        try Validation.check(map, .configMap)
        map = try lab.store.create(.configMap, map)
        let tree = "\(lab.folder)/tree"
        try Disk.makeDirectory(tree)
        try Disk.write([], to: "\(tree)/unrelated")
        let client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: lab.registryPort))
        _ = try await ImageKit.push(
            layers: [ImageKit.layer(of: tree, gzip: false)], config: ["Entrypoint": ["/unrelated"]], as: "bare",
            tag: "1", client)
        return .string("localhost:\(lab.registryPort)/bare:1")
    }

    private func spec(_ image: JSON, group: JSON? = nil) -> JSON {
        let context: JSON = [
            "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]], "readOnlyRootFilesystem": true,
        ]
        let mounts: JSON = [
            ["name": "helper", "mountPath": "/.loopd/bin", "readOnly": true],
            ["name": "state", "mountPath": "/.loopd/state"], ["name": "seed", "mountPath": "/srv/app"],
        ]
        func container(_ name: String, _ command: JSON) -> JSON {
            [
                "name": .string(name), "image": image, "command": command, "securityContext": context,
                "volumeMounts": mounts,
            ]
        }
        var app = container("app", command("wait"))
        app["startupProbe"] = probe("/srv/app/seeded")
        app["readinessProbe"] = probe("/.loopd/state/ready")
        app["livenessProbe"] = probe("/.loopd/state/alive")
        var pod: JSON = [
            "runAsUser": 1000, "runAsGroup": 1000, "runAsNonRoot": true, "seccompProfile": ["type": "RuntimeDefault"],
        ]
        pod["fsGroup"] = group
        return [
            "securityContext": pod,
            "initContainers": [
                container("seed", command("write", "/srv/app/seeded")),
                container("live", command("write", "/.loopd/state/alive")),
            ],
            "containers": [app],
            "volumes": [
                [
                    "name": "helper",
                    "configMap": [
                        "name": "helper", "defaultMode": 0o555,
                        "items": [
                            ["key": "helper", "path": "helper"], ["key": "other", "path": "deep/other", "mode": 0o400],
                        ],
                    ],
                ],
                ["name": "state", "emptyDir": [:]], ["name": "seed", "emptyDir": [:]],
            ],
        ]
    }

    @Test("it is the process, seeds volumes and answers probes, in a scratch image under every restriction")
    func restricted() async throws {
        try await Laboratory.run { lab in
            let image = try await prepare(lab)
            let spec = spec(image)
            #expect(PodSecurity(level: .restricted, version: "latest").violations(of: ["spec": spec]) == nil)
            try lab.create("dev", spec: spec)
            let started = try await lab.until("dev", "started") { pod in
                pod.at("status", "containerStatuses")?[0]?["started"] == true
            }
            #expect(started.at("status", "containerStatuses")?[0]?["ready"] == false)
            func status(_ path: String) async throws -> String {
                try await lab.output("dev", [Self.helper, "stat", path])
            }
            #expect(try await status(Self.helper) == "0:0 555\n")
            #expect(try await status("/.loopd/bin/deep/other") == "0:0 400\n")
            #expect(try await status("/.loopd/state") == "0:0 777\n")
            #expect(try await status("/srv/app/seeded") == "1000:1000 644\n")
            let refused = try await lab.exec("dev", [Self.helper, "write", "/new"])
            #expect(refused.frames.last?.payload.contains("exit code 1") == true)
            _ = try await lab.exec("dev", [Self.helper, "write", "/.loopd/state/ready"])
            _ = try await lab.untilReady("dev")
        }
    }

    @Test("a liveness probe that it fails restarts the container, and its volumes keep what they hold")
    func liveness() async throws {
        try await Laboratory.run { lab in
            try lab.create("dev", spec: spec(try await prepare(lab)))
            try await lab.until("dev", "started") { pod in
                pod.at("status", "containerStatuses")?[0]?["started"] == true
            }
            _ = try await lab.exec("dev", [Self.helper, "write", "/.loopd/state/ready"])
            _ = try await lab.untilReady("dev")
            _ = try await lab.exec("dev", [Self.helper, "remove", "/.loopd/state/alive"])
            try await lab.until("dev", "restarted") { pod in
                pod.at("status", "containerStatuses")?[0]?["restartCount"]?.integer ?? 0 > 0
            }
            let uid = lab.store.get(.pod, "default", "dev")?.at("metadata", "uid")?.string
            let volume = NodeLayout(root: "\(lab.folder)/node").volume("state", ofPod: try #require(uid))
            #expect(Disk.names(in: volume) == ["ready"])
            let killed = lab.store.list(.event, "default").items.contains {
                $0["message"] == "Container app failed liveness probe, will be restarted"
            }
            #expect(killed)
        }
    }

    @Test("a pod's fsGroup owns its volumes, and what is written there")
    func group() async throws {
        try await Laboratory.run { lab in
            try lab.create("dev", spec: spec(try await prepare(lab), group: 2000))
            try await lab.until("dev", "started") { pod in
                pod.at("status", "containerStatuses")?[0]?["started"] == true
            }
            let seeded = try await lab.output("dev", [Self.helper, "stat", "/srv/app/seeded"])
            #expect(seeded == "1000:2000 644\n")
            #expect(try await lab.output("dev", [Self.helper, "stat", Self.helper]) == "0:2000 555\n")
        }
    }

    @Test("what one pod writes into a folder of the node that it makes, another one reads")
    func hostPath() async throws {
        try await Laboratory.run { lab in
            let path = "\(lab.folder)/made/by/kubelet"
            func spec(_ script: String) -> JSON {
                var container = Laboratory.script(script)
                container["volumeMounts"] = [["name": "node", "mountPath": "/node"]]
                return [
                    "containers": [container],
                    "volumes": [
                        ["name": "node", "hostPath": ["path": .string(path), "type": "DirectoryOrCreate"]]
                    ],
                ]
            }
            try lab.create("writer", spec: spec("echo written > /node/file; exec sleep 1000"))
            try lab.create("reader", spec: spec("exec sleep 1000"))
            _ = try await lab.untilReady("reader")
            let read = "until [ -s /node/file ]; do sleep 0.02; done; cat /node/file"
            #expect(try await lab.output("reader", ["sh", "-c", read]) == "written\n")
            #expect(try Disk.read("\(path)/file") == Array("written\n".utf8))
        }
    }
}
