import Glibc
import HTTP
import JSON
import struct OCI.Digest
import Reactor
import Testing

@testable import Playground

@Suite("Images from the registry, on runc", .onRunc, .timeLimit(.minutes(5)))
struct ImageTests {
    @Test(
        "an image from scratch runs as another user under a read-only root, and an ephemeral container sees its files")
    func scratch() async throws {
        try await Laboratory.run { lab in
            let tree = "\(lab.folder)/tree"
            let program = try await ImageKit.program(in: "\(lab.folder)/build")
            try Disk.makeDirectory(tree)
            try Disk.write(Disk.read(program), to: "\(tree)/tiny", mode: 0o755)
            let client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: lab.registryPort))
            let digest = try await ImageKit.push(
                layers: [ImageKit.layer(of: tree, gzip: true)],
                config: ["Entrypoint": ["/tiny"], "Cmd": ["wait"], "Env": ["FROM=scratch"]], as: "tiny", tag: "1",
                client)
            let image = JSON.string("localhost:\(lab.registryPort)/tiny:1")
            let restricted: JSON = [
                "runAsUser": 1000, "runAsGroup": 1000, "readOnlyRootFilesystem": true,
                "allowPrivilegeEscalation": false, "capabilities": ["drop": ["ALL"]],
            ]
            try lab.create(
                "tiny",
                spec: ["containers": [["name": "app", "image": image, "securityContext": restricted]]])
            let pod = try await lab.untilReady("tiny")
            let status = pod.at("status", "containerStatuses")?[0]
            #expect(status?["imageID"] == .string("localhost:\(lab.registryPort)/tiny@\(digest)"))
            #expect(try await lab.output("tiny", ["/tiny", "hello"]) == "hello\n")
            let shell = try await lab.exec("tiny", ["sh", "-c", "true"])
            #expect(shell.frames.last?.payload.contains("exec: \\\"sh\\\": executable file not found in $PATH") == true)

            try lab.store.modify(.pod, "default", "tiny") { pod in
                var spec = pod["spec"] ?? [:]
                spec["ephemeralContainers"] = [
                    [
                        "name": "debug", "image": "host", "command": ["sleep", "1000"], "targetContainerName": "app",
                        "securityContext": ["runAsUser": 1000, "runAsGroup": 1000, "capabilities": ["drop": ["ALL"]]],
                    ]
                ]
                pod["spec"] = spec
            }
            try await lab.until("tiny", "has its ephemeral container") { pod in
                pod.at("status", "ephemeralContainerStatuses")?[0]?.at("state", "running") != nil
            }
            let root = "cat /proc/1/root/tiny | cmp - /proc/1/exe && ls /proc/1/root | tr '\\n' ' '"
            let seen = try await lab.output("tiny", ["sh", "-c", root], container: "debug")
            #expect(seen.contains("tiny"))
            try lab.delete("tiny")
            try await lab.untilGone("tiny")
            #expect(Mounts.points(below: lab.folder) == ["\(lab.node.context.layout.network)/node"])
        }
    }

    @Test("a file that a later layer removes is gone, and the lower layer stays whole")
    func whiteouts() async throws {
        try await Laboratory.run { lab in
            let program = try await ImageKit.program(in: "\(lab.folder)/build")
            let (lower, upper) = ("\(lab.folder)/lower", "\(lab.folder)/upper")
            for folder in ["\(lower)/data/deep", "\(upper)/data/deep", "\(lower)/bin"] {
                try Disk.makeDirectory(folder)
            }
            try Disk.write(Disk.read(program), to: "\(lower)/bin/tiny", mode: 0o755)
            for name in ["data/gone", "data/kept", "data/deep/hidden"] {
                try Disk.write([0x31], to: "\(lower)/\(name)")
            }
            for name in ["data/.wh.gone", "data/deep/.wh..wh..opq", "data/deep/new"] {
                try Disk.write([], to: "\(upper)/\(name)")
            }
            let client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: lab.registryPort))
            _ = try await ImageKit.push(
                layers: [ImageKit.layer(of: lower, gzip: false), ImageKit.layer(of: upper, gzip: true)],
                config: ["Cmd": ["/bin/tiny", "wait"], "WorkingDir": "/data"], as: "two/layers", tag: "latest", client)
            try lab.create(
                "layers",
                spec: [
                    "containers": [
                        ["name": "app", "image": .string("localhost:\(lab.registryPort)/two/layers")]
                    ]
                ])
            let pod = try await lab.untilReady("layers")
            let id = pod.at("status", "containerStatuses")?[0]?["containerID"]?.string?.dropFirst(7) ?? ""
            let root = "\(lab.node.context.layout.container(String(id)))/rootfs"
            #expect(Disk.names(in: "\(root)/data") == ["deep", "kept"])
            #expect(Disk.names(in: "\(root)/data/deep") == ["new"])
        }
    }

    @Test("a tag that was pushed again is pulled again only when the policy says so")
    func policies() async throws {
        try await Laboratory.run { lab in
            let client = HTTPClient(endpoint: .tcp(host: "127.0.0.1", port: lab.registryPort))
            let name = "localhost:\(lab.registryPort)/app:dev"
            let images = lab.node.context.images
            func push(_ command: String) async throws -> Digest {
                try await ImageKit.push(
                    layers: [], config: ["Cmd": [.string(command)]], as: "app", tag: "dev", client)
            }
            await #expect(throws: PullError.self) { try await images.image(name, policy: "Never") }
            let first = try await push("one")
            #expect(try await images.image(name, policy: "IfNotPresent").id.hasSuffix("\(first)"))
            let second = try await push("two")
            #expect(try await images.image(name, policy: "IfNotPresent").id.hasSuffix("\(first)"))
            let latest = try await images.image(name, policy: "Always")
            #expect(latest.id.hasSuffix("\(second)"))
            #expect(latest.configuration.command == ["two"])
            await #expect(throws: PullError.self) { try await images.image("example.org/app:1", policy: "Always") }
        }
    }

    @Test("without overlays, layers are merged as their whiteouts say")
    func merged() async throws {
        let folder = "/tmp/loopd-merge-\(Identifier.random(bytes: 6))"
        defer { Disk.removeTree(folder) }
        for path in ["a/data", "b/data/.wh.gone", "b/data/new", "a/data/gone", "a/data/kept"] {
            try Disk.makeDirectory(Disk.parent(of: "\(folder)/\(path)"))
            if path != "a/data" {
                try Disk.write([0x31], to: "\(folder)/\(path)")
            } else {
                try Disk.makeDirectory("\(folder)/\(path)")
            }
        }
        for name in ["a", "b"] {
            try Disk.write(
                try await ImageKit.layer(of: "\(folder)/\(name)", gzip: name == "b"), to: "\(folder)/\(name).tar")
        }
        try await LayerUnpacker().merge(["\(folder)/a.tar", "\(folder)/b.tar"], to: "\(folder)/out")
        #expect(Disk.names(in: "\(folder)/out/data") == ["kept", "new"])
        #expect(Disk.names(in: folder) == ["a", "a.tar", "b", "b.tar", "out"])
    }
}
