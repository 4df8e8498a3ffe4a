import Glibc
import JSON
import Testing

@testable import LoopServer

@Suite("The files of a pod on this machine", .turn)
struct PodFilesTests {
    /// A pod that mounts volumes, each as `name`, where it is, and more of the mount.
    private static func pod(_ volumes: JSON, _ mounts: [(String, String, JSON)]) -> JSON {
        let list = mounts.map { name, path, more -> JSON in
            var mount: JSON = ["name": .string(name), "mountPath": .string(path)]
            for (key, value) in more.object ?? JSONObject() { mount[key] = value }
            return mount
        }
        return EnvironmentFixture.pod(["volumeMounts": .array(list)], volumes: volumes)
    }

    private static func write(
        _ fixture: EnvironmentFixture, _ pod: JSON, into folder: String, tokens: [TokenWish: String] = [:],
        after earlier: PodFiles? = nil
    ) async throws -> PodFiles {
        let references = try await fixture.references(pod, files: true)
        return try PodFiles(
            references, variables: try PodEnvironment(references), tokens: tokens, into: folder, after: earlier)
    }

    private static func mode(_ path: String) -> mode_t? {
        var about = stat()
        return stat(path, &about) == 0 ? about.st_mode & 0o7777 : nil
    }

    /// Every file and folder below one, links not followed.
    private static func everything(_ folder: String) -> [String] {
        [folder]
            + SocketDirectory.names(in: folder).flatMap { name -> [String] in
                let path = "\(folder)/\(name)"
                var about = stat()
                guard lstat(path, &about) == 0, about.st_mode & S_IFMT != S_IFLNK else { return [] }
                return about.st_mode & S_IFMT == S_IFDIR ? everything(path) : [path]
            }
    }

    @Test("ConfigMaps, Secrets, fields and tokens lie where the container has them, for their owner only")
    func layout() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["app.conf": "x = 1", "run.sh": "#!/bin/sh"], binary: ["logo": "AAEC"])
            fixture.secret("s", ["pw": EnvironmentFixture.marker])
            fixture.configMap("ca", ["ca.crt": "certificate"])
            let pod = Self.pod(
                [
                    ["name": "conf.d", "configMap": ["name": "m", "defaultMode": 0o755]],
                    ["name": "my-secret", "secret": ["secretName": "s", "defaultMode": 0o400]],
                    [
                        "name": "down",
                        "downwardAPI": [
                            "items": [
                                ["path": "labels", "fieldRef": ["fieldPath": "metadata.labels"]],
                                ["path": "deep/name", "mode": 0o600, "fieldRef": ["fieldPath": "metadata.name"]],
                                [
                                    "path": "cpu",
                                    "resourceFieldRef": ["containerName": "c", "resource": "requests.cpu"],
                                ],
                            ]
                        ],
                    ],
                    [
                        "name": "api",
                        "projected": [
                            "sources": [
                                ["serviceAccountToken": ["path": "token", "expirationSeconds": 3607]],
                                ["configMap": ["name": "ca", "items": [["key": "ca.crt", "path": "ca.crt"]]]],
                                [
                                    "downwardAPI": [
                                        "items": [
                                            ["path": "namespace", "fieldRef": ["fieldPath": "metadata.namespace"]]
                                        ]
                                    ]
                                ],
                                ["secret": ["name": "s", "items": [["key": "pw", "path": "more/pw", "mode": 0o444]]]],
                            ]
                        ],
                    ],
                    ["name": "scratch", "emptyDir": [:]],
                ],
                [
                    ("conf.d", "/etc/app", [:]), ("my-secret", "/etc/secret/", [:]), ("down", "/info", [:]),
                    ("api", "/var/run/secrets/kubernetes.io/serviceaccount", [:]), ("scratch", "/tmp/work", [:]),
                ])
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            let files = try await Self.write(fixture, pod, into: root, tokens: [TokenWish(audience: nil): "tok"])
            #expect(files.notices == [])
            #expect(scratch.read("root/etc/app/app.conf") == "x = 1")
            #expect(ScratchTree.contents("\(root)/etc/app/logo") == [0, 1, 2])
            #expect(Self.mode("\(root)/etc/app/run.sh") == 0o700)
            #expect(scratch.read("root/etc/secret/pw") == EnvironmentFixture.marker)
            #expect(Self.mode("\(root)/etc/secret/pw") == 0o400)
            #expect(scratch.read("root/info/labels") == "app=\"web\"\nb/c=\"x\\\"y\\n\"")
            #expect(scratch.read("root/info/deep/name") == "web-1" && scratch.read("root/info/cpu") == "0")
            let account = "root/var/run/secrets/kubernetes.io/serviceaccount"
            #expect(scratch.read("\(account)/token") == "tok" && scratch.read("\(account)/ca.crt") == "certificate")
            #expect(
                scratch.read("\(account)/namespace") == "d"
                    && scratch.read("\(account)/more/pw") == EnvironmentFixture.marker)
            #expect(Self.mode("\(root)/tmp/work") == 0o700)
            #expect(
                files.variables == [
                    "LOOPD_ROOT": root, "LOOPD_VOLUME_CONF_D": "\(root)/etc/app",
                    "LOOPD_VOLUME_MY_SECRET": "\(root)/etc/secret", "LOOPD_VOLUME_DOWN": "\(root)/info",
                    "LOOPD_VOLUME_API": "\(root)/var/run/secrets/kubernetes.io/serviceaccount",
                    "LOOPD_VOLUME_SCRATCH": "\(root)/tmp/work",
                ])
            let all = Self.everything(root)
            #expect(all.count > 20)
            for path in all { #expect((Self.mode(path) ?? 0) & 0o077 == 0, "\(path)") }
        }
    }

    @Test("items choose files, a part of a volume is mounted alone, and an optional one may be missing")
    func parts() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "A", "b": "B", "c": "C"])
            let items: JSON = [
                ["key": "a", "path": "x/one"], ["key": "b", "path": "x/two"], ["key": "no", "path": "no"],
            ]
            let pod = EnvironmentFixture.pod(
                [
                    "env": [["name": "WHICH", "value": "two"]],
                    "volumeMounts": [
                        ["name": "v", "mountPath": "/etc/one.conf", "subPath": "x/one"],
                        ["name": "v", "mountPath": "/etc/folder", "subPath": "x"],
                        ["name": "v", "mountPath": "/etc/expr", "subPathExpr": "x/$(WHICH)"],
                        ["name": "v", "mountPath": "/etc/gone", "subPath": "nothing"],
                        ["name": "v", "mountPath": "/all"], ["name": "absent", "mountPath": "/absent"],
                    ],
                ],
                volumes: [
                    ["name": "v", "configMap": ["name": "m", "items": items, "optional": true]],
                    ["name": "absent", "secret": ["secretName": "none", "optional": true]],
                ])
            let scratch = try ScratchTree()
            let files = try await Self.write(fixture, pod, into: "\(scratch.path)/root")
            #expect(scratch.read("root/etc/one.conf") == "A" && scratch.read("root/etc/expr") == "B")
            #expect(scratch.read("root/etc/folder/one") == "A" && scratch.read("root/etc/folder/two") == "B")
            #expect(scratch.read("root/all/x/two") == "B" && scratch.read("root/all/c") == nil)
            #expect(Self.mode("\(scratch.path)/root/absent") == 0o700)
            #expect(files.notices == ["only in the pod: /etc/gone (v)"])
            #expect(files.variables["LOOPD_VOLUME_V"] == "\(scratch.path)/root/all")
        }
    }

    private static let escapes: [(volumes: JSON, mount: String, more: JSON)] = [
        (["name": "v", "configMap": ["name": "m", "items": [["key": "a", "path": "../x"]]]], "/v", [:]),
        (["name": "v", "configMap": ["name": "m", "items": [["key": "a", "path": "y/../../x"]]]], "/v", [:]),
        (["name": "v", "configMap": ["name": "m", "items": [["key": "a", "path": "/x"]]]], "/v", [:]),
        (["name": "v", "configMap": ["name": "m", "items": [["key": "a", "path": "..data"]]]], "/v", [:]),
        (["name": "v", "configMap": ["name": "bad"]], "/v", [:]),
        (["name": "v", "configMap": ["name": "m"]], "/v/../..", [:]),
        (["name": "v", "configMap": ["name": "m"]], "/v", ["subPath": "../a"]),
    ]

    @Test("a path that leads out of its volume is refused, and nothing is written there", arguments: escapes)
    func escape(volume: JSON, mount: String, more: JSON) async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "A"])
            fixture.configMap("bad", ["../x": "A"])
            let scratch = try ScratchTree()
            try scratch.folder("inner")
            let failure = await #expect(throws: LoopFailure.self) {
                _ = try await Self.write(
                    fixture, Self.pod([volume], [("v", mount, more)]), into: "\(scratch.path)/inner/root")
            }
            #expect(failure?.failure.summary.contains("A\"") == false)
            #expect(SocketDirectory.names(in: scratch.path) == ["inner"])
            #expect(SocketDirectory.names(in: "\(scratch.path)/inner").allSatisfy { $0 == "root" })
        }
    }

    @Test("what only the pod has is named, and loopd's own volumes are nobody's business")
    func elsewhere() async throws {
        try await EnvironmentFixture.with { fixture in
            let pod = Self.pod(
                [
                    ["name": "data", "persistentVolumeClaim": ["claimName": "c"]],
                    ["name": "node", "hostPath": ["path": "/var/log"]], ["name": "unused", "nfs": [:]],
                    ["name": "loopd-helper", "configMap": ["name": "loopd-helper-0123456789abcdef"]],
                    ["name": "loopd-state", "emptyDir": ["sizeLimit": "16Mi"]],
                    ["name": "loopd-seed-2", "emptyDir": [:]],
                ],
                [
                    ("data", "/data", [:]), ("node", "/logs", [:]), ("loopd-helper", "/.loopd/bin", [:]),
                    ("loopd-state", "/.loopd/state", [:]), ("loopd-seed-2", "/srv", [:]),
                ])
            let scratch = try ScratchTree()
            let files = try await Self.write(fixture, pod, into: "\(scratch.path)/root")
            #expect(
                files.notices == ["only in the pod: /data (persistentVolumeClaim data), /logs (hostPath node)"])
            #expect(files.variables == ["LOOPD_ROOT": "\(scratch.path)/root"])
            #expect(SocketDirectory.names(in: "\(scratch.path)/root") == [])
            #expect(!fixture.asked.contains { $0.contains("loopd-helper") })
        }
    }

    @Test("a mount within another volume's folder is there, and one in the way of its files is named")
    func nested() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("outer", ["a": "A", "b": "B"])
            fixture.configMap("inner", ["c": "C"])
            let pod = Self.pod(
                [
                    [
                        "name": "o",
                        "configMap": [
                            "name": "outer", "items": [["key": "a", "path": "sub/a"], ["key": "b", "path": "b"]],
                        ],
                    ],
                    ["name": "i", "configMap": ["name": "inner"]],
                ],
                [("i", "/etc/more", [:]), ("o", "/etc", [:]), ("i", "/etc/sub/deep", [:])])
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            let files = try await Self.write(fixture, pod, into: root)
            #expect(scratch.read("root/etc/more/c") == "C" && scratch.read("root/etc/sub/a") == "A")
            #expect(files.notices == ["only in the pod: /etc/sub/deep (i)"])
            // A change of the outer volume leaves the inner one.
            fixture.configMap("outer", ["a": "A2", "b": "B2"])
            _ = try await Self.write(fixture, pod, into: root)
            #expect(scratch.read("root/etc/more/c") == "C" && scratch.read("root/etc/sub/a") == "A2")
        }
    }

    @Test("a change shows all files of a volume at once, and leaves what the process has put into an empty one")
    func change() async throws {
        try await EnvironmentFixture.with { fixture in
            let pod = Self.pod(
                [["name": "v", "configMap": ["name": "m"]], ["name": "e", "emptyDir": [:]]],
                [("v", "/v", [:]), ("e", "/e", [:])])
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            fixture.configMap("m", ["cert": "1", "key": "1", "old": "x"])
            _ = try await Self.write(fixture, pod, into: root)
            try scratch.write("root/e/kept", "mine")
            let before = SocketDirectory.names(in: "\(root)/v").filter { $0.hasPrefix("..content") }
            _ = try await Self.write(fixture, pod, into: root)
            #expect(SocketDirectory.names(in: "\(root)/v").filter { $0.hasPrefix("..content") } == before)
            fixture.configMap("m", ["cert": "2", "key": "2"])
            _ = try await Self.write(fixture, pod, into: root)
            #expect(scratch.read("root/v/cert") == "2" && scratch.read("root/v/key") == "2")
            #expect(Set(SocketDirectory.names(in: "\(root)/v").filter { !$0.hasPrefix("..") }) == ["cert", "key"])
            #expect(SocketDirectory.names(in: "\(root)/v").count { $0.hasPrefix("..content") } == 1)
            #expect(scratch.read("root/e/kept") == "mine")
        }
    }

    /// The same as another pod.
    private static func next(_ volumes: JSON, _ mounts: [(String, String, JSON)], uid: String? = "uid-2") -> JSON {
        var pod = pod(volumes, mounts)
        pod["metadata"]?["uid"] = uid.map { .string($0) }
        return pod
    }

    @Test("of what an earlier pod had nothing is left that the next one has not, but what is in folders that stay")
    func nextPod() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "A", "b": "B"])
            fixture.secret("s", ["pw": EnvironmentFixture.marker])
            let volumes: JSON = [
                ["name": "m", "configMap": ["name": "m"]], ["name": "s", "secret": ["secretName": "s"]],
                ["name": "e", "emptyDir": [:]], ["name": "f", "emptyDir": [:]],
            ]
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            let pod = Self.pod(
                volumes,
                [
                    ("s", "/run/secret", [:]), ("s", "/etc/pw", ["subPath": "pw"]), ("m", "/etc/one", ["subPath": "a"]),
                    ("m", "/srv", [:]), ("e", "/srv/work", [:]), ("s", "/srv/work/deep/secret", [:]),
                    ("f", "/cache", [:]), ("s", "/both", [:]), ("m", "/turned", ["subPath": "a"]), ("f", "/data", [:]),
                ])
            let first = try await Self.write(fixture, pod, into: root)
            for path in ["srv/work/mine", "cache/mine", "both/mine", "data/mine"] {
                try scratch.write("root/\(path)", "mine")
            }
            try scratch.folder("root/elsewhere")
            // An entry that is gone changes no file that is mounted alone as long as the pod is the same.
            fixture.configMap("m", ["b": "B2"])
            let again = try await Self.write(fixture, pod, into: root, after: first)
            #expect(scratch.read("root/etc/one") == "A" && scratch.read("root/srv/a") == nil)
            #expect(scratch.read("root/srv/work/mine") == "mine" && scratch.read("root/srv/b") == "B2")

            let second = try await Self.write(
                fixture,
                Self.next(
                    volumes,
                    [
                        ("m", "/etc/one", ["subPath": "b"]), ("e", "/srv/work", [:]), ("m", "/both", [:]),
                        ("m", "/turned", [:]), ("e", "/data", [:]),
                    ]), into: root, after: again)
            #expect(second.notices == [])
            #expect(scratch.read("root/etc/one") == "B2" && scratch.read("root/turned/b") == "B2")
            #expect(scratch.read("root/srv/work/mine") == "mine" && scratch.read("root/both/mine") == "mine")
            #expect(Set(SocketDirectory.names(in: root)) == ["etc", "srv", "both", "turned", "data", "elsewhere"])
            #expect(SocketDirectory.names(in: "\(root)/etc") == ["one"])
            #expect(SocketDirectory.names(in: "\(root)/srv") == ["work"])
            #expect(SocketDirectory.names(in: "\(root)/srv/work") == ["mine"])
            #expect(SocketDirectory.names(in: "\(root)/data") == [])
            for path in Self.everything(root) {
                #expect(ScratchTree.contents(path) != Array(EnvironmentFixture.marker.utf8), "\(path)")
            }
            // A template, as there is where no pod runs, has not all that its pods get: nothing is removed for it.
            let template = try await Self.write(fixture, Self.next([], [], uid: nil), into: root, after: second)
            #expect(scratch.read("root/etc/one") == "B2" && scratch.read("root/both/mine") == "mine")
            #expect(template.variables == ["LOOPD_ROOT": root])
            _ = try await Self.write(fixture, Self.next([], [], uid: "uid-3"), into: root, after: template)
            #expect(SocketDirectory.names(in: root) == ["elsewhere"])
        }
    }

    @Test("a file that another mount has covered is there again without that")
    func uncovered() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "A", "b": "B"])
            let volumes: JSON = [["name": "m", "configMap": ["name": "m"]]]
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            let both: [(String, String, JSON)] = [("m", "/etc/app", [:]), ("m", "/etc/app/a", ["subPath": "b"])]
            let covered = try await Self.write(fixture, Self.pod(volumes, both), into: root)
            #expect(scratch.read("root/etc/app/a") == "B")
            _ = try await Self.write(fixture, Self.next(volumes, [("m", "/etc/app", [:])]), into: root, after: covered)
            #expect(scratch.read("root/etc/app/a") == "A")
        }
    }

    @Test("nothing is removed behind a link that the process has put in the place of a folder")
    func links() async throws {
        try await EnvironmentFixture.with { fixture in
            fixture.configMap("m", ["a": "A"])
            let volumes: JSON = [["name": "m", "configMap": ["name": "m"]]]
            let mounts: [(String, String, JSON)] = [("m", "/etc/a", ["subPath": "a"]), ("m", "/srv", [:])]
            let scratch = try ScratchTree()
            let root = "\(scratch.path)/root"
            let files = try await Self.write(fixture, Self.pod(volumes, mounts), into: root)
            try scratch.write("own/a", "mine")
            SocketDirectory.remove("\(root)/etc")
            SocketDirectory.remove("\(root)/srv")
            for name in ["etc", "srv"] { try #require(symlink("\(scratch.path)/own", "\(root)/\(name)") == 0) }
            _ = try await Self.write(fixture, Self.next(volumes, []), into: root, after: files)
            #expect(scratch.read("own/a") == "mine")
            #expect(SocketDirectory.names(in: root) == ["etc"])
        }
    }

    @Test("a pod in dev mode has the mounts that it has without, whatever the template has got")
    func devMode() throws {
        let own: JSON = [["name": "m", "mountPath": "/etc/m"], ["name": "loopd-state", "mountPath": "/mine"]]
        let workload = DevFixture.deployment(
            container: ["volumeMounts": own, "securityContext": ["readOnlyRootFilesystem": true]],
            pod: [
                "volumes": [
                    ["name": "m", "configMap": ["name": "m"]], ["name": "loopd-state", "configMap": ["name": "x"]],
                ]
            ])
        let entered = try DevFixture.enter(
            workload, DevFixture.inputs(destinations: ["/srv", "/"], rootFiles: ["/app"]))
        let template = try #require(entered.at("spec", "template"))
        let references = try PodReferences(pod: template, container: "app", namespace: "d")
        #expect((references.container["volumeMounts"]?.array?.count ?? 0) == 6)
        #expect(JSON.array(references.mounts) == own)
        #expect(references.mountedVolumes.compactMap { $0["name"]?.string } == ["m", "loopd-state"])
    }
}
