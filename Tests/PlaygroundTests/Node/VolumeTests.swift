import JSON
import Testing

@testable import Playground

@Suite("Volumes and environment on runc", .onRunc, .timeLimit(.minutes(5)))
struct VolumeTests {
    @Test("env, envFrom, field references and expansion reach the process")
    func environment() async throws {
        try await Laboratory.run { lab in
            _ = try lab.store.create(
                .configMap, ["metadata": ["name": "settings", "namespace": "default"], "data": ["COLOR": "blue"]])
            _ = try lab.store.create(
                .secret, ["metadata": ["name": "keys", "namespace": "default"], "data": ["token": "czNjcjN0"]])
            var container = Laboratory.script("exec sleep 1000 # $(NAME)-$$(x)")
            container["envFrom"] = [["configMapRef": ["name": "settings"]]]
            container["env"] = [
                ["name": "TOKEN", "valueFrom": ["secretKeyRef": ["name": "keys", "key": "token"]]],
                ["name": "NAME", "valueFrom": ["fieldRef": ["fieldPath": "metadata.name"]]],
                ["name": "BOTH", "value": "$(COLOR)/$(NAME)/$(NONE)"],
            ]
            try lab.create("env", spec: ["containers": [container]])
            _ = try await lab.untilReady("env")
            let names = "COLOR|TOKEN|NAME|BOTH|HOSTNAME"
            let seen = "tr '\\0' '\\n' < /proc/1/environ | grep -E '^(\(names))=' | sort"
            #expect(
                try await lab.output("env", ["sh", "-c", seen])
                    == "BOTH=blue/env/$(NONE)\nCOLOR=blue\nHOSTNAME=env\nNAME=env\nTOKEN=s3cr3t\n")
        }
    }

    @Test("a ConfigMap's change reaches the running container, all files at once")
    func configMap() async throws {
        try await Laboratory.run { lab in
            _ = try lab.store.create(
                .configMap,
                ["metadata": ["name": "files", "namespace": "default"], "data": ["a": "1", "b": "1", "gone": "x"]])
            var container = Laboratory.script("exec sleep 1000")
            container["volumeMounts"] = [["name": "v", "mountPath": "/config"]]
            try lab.create(
                "maps",
                spec: [
                    "containers": [container],
                    "volumes": [["name": "v", "configMap": ["name": "files", "defaultMode": 0o440]]],
                ])
            _ = try await lab.untilReady("maps")
            #expect(
                try await lab.output("maps", ["sh", "-c", "cat /config/a /config/b; stat -Lc %a /config/a"])
                    == "11440\n")
            try lab.store.modify(.configMap, "default", "files") { $0["data"] = ["a": "2", "b": "2"] }
            let wait = "until [ \"$(cat /config/a)\" = 2 ]; do sleep 0.02; done; cat /config/b; ls /config"
            #expect(try await lab.output("maps", ["sh", "-c", wait]) == "2a\nb\n")
            let write = try await lab.exec("maps", ["sh", "-c", "echo x > /config/new"])
            #expect(write.frames.filter { $0.channel == 2 }.map(\.payload).joined().contains("Read-only file system"))
        }
    }

    @Test("emptyDir on disk and in memory, hostPath, subPath, and the group of the files")
    func folders() async throws {
        try await Laboratory.run { lab in
            let outside = "\(lab.folder)/outside"
            try Disk.makeDirectory(outside)
            var container = Laboratory.script("exec sleep 1000")
            container["volumeMounts"] = [
                ["name": "disk", "mountPath": "/disk"], ["name": "memory", "mountPath": "/memory"],
                ["name": "host", "mountPath": "/host", "readOnly": true],
                ["name": "disk", "mountPath": "/part", "subPath": "deep/part"],
            ]
            try lab.create(
                "folders",
                spec: [
                    "containers": [container], "securityContext": ["runAsUser": 1000, "fsGroup": 2000],
                    "volumes": [
                        ["name": "disk", "emptyDir": [:]],
                        ["name": "memory", "emptyDir": ["medium": "Memory", "sizeLimit": "1Mi"]],
                        ["name": "host", "hostPath": ["path": .string(outside)]],
                    ],
                ])
            _ = try await lab.untilReady("folders")
            try Disk.write(Array("seen".utf8), to: "\(outside)/file")
            let script = """
                cat /host/file; echo; echo x > /part/y; cat /disk/deep/part/y; stat -c %g /disk/deep/part/y
                stat -f -c %T /memory; touch /host/z 2>/dev/null || echo refused; touch /memory/m && echo fine
                """
            #expect(try await lab.output("folders", ["sh", "-c", script]) == "seen\nx\n2000\ntmpfs\nrefused\nfine\n")
        }
    }

    @Test("a subPath cannot leave its volume by a link")
    func escape() async throws {
        try await Laboratory.run { lab in
            let outside = "\(lab.folder)/outside"
            try Disk.makeDirectory(outside)
            #expect(symlinkToRoot(at: "\(outside)/link"))
            var container = Laboratory.script("exec sleep 1000")
            container["volumeMounts"] = [["name": "host", "mountPath": "/host", "subPath": "link/etc"]]
            try lab.create(
                "escape",
                spec: [
                    "containers": [container], "volumes": [["name": "host", "hostPath": ["path": .string(outside)]]],
                ])
            let pod = try await lab.until("escape", "refused") { pod in
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "reason")
                    == "CreateContainerConfigError"
            }
            #expect(
                pod.at("status", "containerStatuses")?[0]?.at("state", "waiting", "message")
                    == "subPath link/etc leaves the volume")
        }
    }
}
