import Glibc
import JSON
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("The environment of a process on this machine", .turn)
struct HostEnvironmentTests {
    private static let kubeconfig: JSON = [
        "apiVersion": "v1", "kind": "Config", "current-context": "other",
        "clusters": [
            [
                "name": "c",
                "cluster": [
                    "server": "https://127.0.0.1:1/p", "tls-server-name": "api", "certificate-authority-data": "QUJD",
                ],
            ]
        ],
        "users": [["name": "u", "user": ["token": "the user's own"]]],
        "contexts": [
            ["name": "kind-a", "context": ["cluster": "c", "user": "u", "namespace": "elsewhere"]],
            ["name": "other", "context": ["cluster": "c", "user": "u", "namespace": "d"]],
        ],
    ]

    private static func request(
        _ fixture: EnvironmentFixture, _ scratch: ScratchTree, identity: Host.Identity = .user,
        pod: JSON = EnvironmentFixture.pod(),
        context: String = "kind-a"
    ) throws -> HostEnvironment.Request {
        try scratch.write("config", kubeconfig.text)
        var kubectl = try Kubectl.find()
        kubectl.kubeconfig = "\(scratch.path)/config"
        kubectl.context = context
        var request = HostEnvironment.Request(
            client: fixture.client, context: KubeContext(name: context, server: "", kubectl: kubectl), namespace: "d",
            pod: pod, container: "c", identity: identity)
        request.parents = [scratch.path]
        return request
    }

    /// The folders in a parent that loopds have made.
    private static func folders(_ scratch: ScratchTree) -> [String] {
        SocketDirectory.names(in: scratch.path).filter { $0.hasPrefix("loopd-") }
    }

    private static func view(_ path: String) throws -> JSON {
        try JSON(parsing: try #require(ScratchTree.contents(path)))
    }

    @Test("loopd's variables lie over the pod's, and host.env over both")
    func layers() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            fixture.configMap("m", ["HTTP_PROXY": "pod", "A": "pod", "B": "pod"])
            var request = try Self.request(
                fixture, scratch, pod: EnvironmentFixture.pod(["envFrom": [["configMapRef": ["name": "m"]]]]))
            request.own = ["HTTP_PROXY": "loopd", "ALL_PROXY": "loopd", "NO": "loopd"]
            request.environment = [
                "A": "host", "ALL_PROXY": "host", "FILE": "$(LOOPD_ROOT)/x $(B) $(HTTP_PROXY)", "NO": "",
            ]
            let environment = try await HostEnvironment.gather(request)
            defer { environment.remove() }
            let found = environment.variables
            #expect(found["HTTP_PROXY"] == "loopd" && found["B"] == "pod")
            #expect(found["A"] == "host" && found["ALL_PROXY"] == "host" && found["NO"] == "")
            #expect(found["FILE"] == "\(environment.root)/x pod loopd" && found["LOOPD_ROOT"] == environment.root)
        }
    }

    @Test("the user's kubeconfig is used where it leads to the context by itself, else a private one is")
    func user() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let same = try await HostEnvironment.gather(try Self.request(fixture, scratch, context: "other"))
            defer { same.remove() }
            #expect(same.variables["KUBECONFIG"] == "\(scratch.path)/config")

            let environment = try await HostEnvironment.gather(try Self.request(fixture, scratch))
            defer { environment.remove() }
            let path = try #require(environment.variables["KUBECONFIG"])
            #expect(path.hasPrefix("\(scratch.path)/loopd-"))
            var about = stat()
            #expect(stat(path, &about) == 0 && about.st_mode & 0o777 == 0o600)
            let answer = try await Child.run(
                Launch(
                    ["kubectl", "config", "view", "--minify", "--raw", "-o", "json"],
                    environment: environment.variables.merging(
                        ["PATH": String(cString: getenv("PATH"))]) { own, _ in own }))
            let view = try JSON(parsing: answer.standardOutput)
            #expect(view["contexts"]?[0]?.at("context", "namespace") == "d" && view["current-context"] == "kind-a")
            #expect(view["users"]?[0]?.at("user", "token") == "the user's own")
            #expect(fixture.tokens == [])
        }
    }

    @Test("as the service account it has a token of its own that ends with the pod, and nothing of the user's")
    func account() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let environment = try await HostEnvironment.gather(
                try Self.request(fixture, scratch, identity: .serviceAccount, pod: Self.withTokens))
            let path = try #require(environment.variables["KUBECONFIG"])
            let view = try Self.view(path)
            #expect(view["clusters"] == Self.kubeconfig["clusters"])
            let file = try #require(view["users"]?[0]?.at("user", "tokenFile")?.string)
            #expect(view["contexts"]?[0]?["context"] == ["cluster": "c", "user": "service-account", "namespace": "d"])
            let token = ScratchTree.contents(file).map { String(decoding: $0, as: UTF8.self) } ?? ""
            #expect(token.hasPrefix("token-"))
            #expect(!view.text.contains("the user's own") && !view.text.contains(token))
            var about = stat()
            for path in [path, file] { #expect(stat(path, &about) == 0 && about.st_mode & 0o777 == 0o600) }
            // The volume has the very same one, and one for another audience beside it.
            let place = "\(environment.root)/var/run/secrets"
            #expect(ScratchTree.contents("\(place)/api/token") == Array(token.utf8))
            #expect(ScratchTree.contents("\(place)/vault/token") != Array(token.utf8))
            let bound: JSON = ["kind": "Pod", "apiVersion": "v1", "name": "web-1", "uid": "uid-1"]
            #expect(fixture.tokens.count == 2)
            for asked in fixture.tokens {
                #expect(asked["account"] == "robot" && asked.at("spec", "boundObjectRef") == bound)
                #expect(asked.at("spec", "expirationSeconds") == 3600)
            }
            #expect(fixture.tokens.contains { $0.at("spec", "audiences") == ["vault"] })
            environment.remove()
            #expect(Self.folders(scratch) == [])
        }
    }

    private static let withTokens: JSON = EnvironmentFixture.pod(
        [
            "volumeMounts": [
                ["name": "t", "mountPath": "/var/run/secrets/api"],
                ["name": "o", "mountPath": "/var/run/secrets/vault"],
            ]
        ],
        volumes: [
            ["name": "t", "projected": ["sources": [["serviceAccountToken": ["path": "token"]]]]],
            [
                "name": "o",
                "projected": ["sources": [["serviceAccountToken": ["path": "token", "audience": "vault"]]]],
            ],
        ])

    @Test("as the user it has no token of the pod for the API, and one for others where that is allowed")
    func userTokens() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let request = try Self.request(fixture, scratch, pod: Self.withTokens)
            let environment = try await HostEnvironment.gather(request)
            defer { environment.remove() }
            #expect(fixture.tokens.map { $0.at("spec", "audiences") } == [["vault"]])
            #expect(access("\(environment.root)/var/run/secrets/api/token", F_OK) != 0)
            #expect(access("\(environment.root)/var/run/secrets/vault/token", F_OK) == 0)
            fixture.api.set { $0.refusals["POST token"] = [(403, "not allowed to create serviceaccounts/token")] }
            let without = try await HostEnvironment.gather(request)
            defer { without.remove() }
            #expect(
                without.notices == [
                    "no token of service account \"robot\" in namespace d: not allowed to create serviceaccounts/token"
                ])
        }
    }

    @Test("a service account whose token is refused is a failure, and leaves no folder")
    func refused() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            fixture.api.set { $0.refusals["POST token"] = [(403, "not allowed to create serviceaccounts/token")] }
            let request = try Self.request(fixture, scratch, identity: .serviceAccount)
            let failure = await #expect(throws: LoopFailure.self) { _ = try await HostEnvironment.gather(request) }
            #expect(
                failure?.failure.summary
                    == "no token of service account \"robot\" in namespace d: not allowed to create serviceaccounts/token"
            )
            #expect(failure?.failure.nextStep?.contains("`create` serviceaccounts/token in namespace d") == true)
            #expect(Self.folders(scratch) == [])
        }
    }

    @Test("a token is another one before it runs out, in the same file, and trouble on the way is told once")
    func renewal() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let environment = try await HostEnvironment.gather(
                try Self.request(fixture, scratch, identity: .serviceAccount), renewingAfter: .milliseconds(1))
            defer { environment.remove() }
            let file = "\(scratch.path)/\(Self.folders(scratch)[0])/token"
            #expect(ScratchTree.contents(file) == Array("token-1".utf8))
            fixture.api.set { $0.refusals["POST token"] = [(500, "not now")] }
            let told = Mutex<[String]>([])
            let work = Task {
                await environment.keepFresh { failure in told.withLock { $0.append(failure.summary) } }
            }
            // Until the file has another one: each look yields to the work.
            while ScratchTree.contents(file) == Array("token-1".utf8) { await Task.yield() }
            work.cancel()
            await work.value
            #expect(told.withLock { $0.count } == 1)
            #expect(told.withLock { $0[0] }.contains("not now"))
            #expect(ScratchTree.contents(file)?.starts(with: Array("token-".utf8)) == true)
        }
    }

    @Test("for another pod the variables are that one's, and the folder stays")
    func anotherPod() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let container: JSON = ["env": [["name": "IP", "valueFrom": ["fieldRef": ["fieldPath": "status.podIP"]]]]]
            let environment = try await HostEnvironment.gather(
                try Self.request(fixture, scratch, pod: EnvironmentFixture.pod(container)))
            defer { environment.remove() }
            var other = EnvironmentFixture.pod(container)
            other["status"] = ["podIP": "10.0.0.8"]
            #expect(environment.variables["IP"] == "10.0.0.7")
            try await environment.refresh(pod: other, environment: ["PORT": "1"])
            #expect(environment.variables["IP"] == "10.0.0.8" && environment.variables["PORT"] == "1")
            #expect(environment.variables["LOOPD_ROOT"] == environment.root && Self.folders(scratch).count == 1)
            // The next one is for the same pod.
            try await environment.refresh()
            #expect(environment.variables["IP"] == "10.0.0.8" && environment.variables["PORT"] == "1")
        }
    }

    @Test("for another pod the files are that one's, and a Secret that it does not mount is gone")
    func anotherPodsFiles() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            fixture.secret("s", ["pw": "p"])
            let volumes: JSON = [["name": "v", "secret": ["secretName": "s"]], ["name": "e", "emptyDir": [:]]]
            let work: JSON = ["name": "e", "mountPath": "/work"]
            let environment = try await HostEnvironment.gather(
                try Self.request(
                    fixture, scratch,
                    pod: EnvironmentFixture.pod(
                        ["volumeMounts": [["name": "v", "mountPath": "/etc/s"], work]], volumes: volumes)))
            defer { environment.remove() }
            let path = "\(environment.root)/etc/s/pw"
            #expect(ScratchTree.contents(path) == Array("p".utf8))
            var other = EnvironmentFixture.pod(["volumeMounts": [work]], volumes: volumes)
            other["metadata"]?["uid"] = "uid-2"
            try await environment.refresh(pod: other)
            #expect(SocketDirectory.names(in: environment.root) == ["work"])
            #expect(environment.variables["LOOPD_VOLUME_V"] == nil && environment.variables["LOOPD_VOLUME_E"] != nil)
        }
    }

    @Test("what a killed loopd has left goes with the next one, and what a running one has stays")
    func killed() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            let living = try await HostEnvironment.gather(try Self.request(fixture, scratch))
            defer { living.remove() }
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = scratch.path as String] in
                let folder = try SocketDirectory.create(in: [path])
                let pod: JSON = [
                    "metadata": ["name": "web-1", "labels": ["a": "b"]],
                    "spec": [
                        "containers": [["name": "c", "volumeMounts": [["name": "v", "mountPath": "/etc/a/b"]]]],
                        "volumes": [
                            [
                                "name": "v",
                                "downwardAPI": [
                                    "items": [["path": "x/y", "fieldRef": ["fieldPath": "metadata.labels"]]]
                                ],
                            ]
                        ],
                    ],
                ]
                let references = try PodReferences(pod: pod, container: "c", namespace: "d")
                let root = "\(folder.path)/root"
                _ = try PodFiles(references, variables: try PodEnvironment(references), tokens: [:], into: root)
                // As programs leave them: a folder that cannot be changed, with a file in it.
                mkdir("\(root)/cache", 0o700)
                close(open("\(root)/cache/file", O_CREAT | O_WRONLY, 0o400))
                chmod("\(root)/cache", 0o500)
                kill(getpid(), SIGKILL)
            }
            let before = Set(Self.folders(scratch))
            #expect(before.count == 2)
            let left = try #require(before.first { !living.root.contains($0) })
            #expect(access("\(scratch.path)/\(left)/root/etc/a/b/x/y", F_OK) == 0)
            let next = try await HostEnvironment.gather(try Self.request(fixture, scratch))
            defer { next.remove() }
            #expect(access("\(scratch.path)/\(left)", F_OK) != 0)
            #expect(access(living.root, F_OK) == 0)
            try await living.refresh()
        }
    }

    @Test("no notice and no failure has a Secret's value in it")
    func secrecy() async throws {
        try await EnvironmentFixture.with { fixture in
            let scratch = try ScratchTree()
            fixture.secret(
                "s",
                [
                    "pw": EnvironmentFixture.marker, "zero": "\0\(EnvironmentFixture.marker)",
                    "bad name=": EnvironmentFixture.marker,
                ])
            let volumes: JSON = [
                ["name": "v", "secret": ["secretName": "s", "items": [["key": "pw", "path": "pw"]]]],
                ["name": "pvc", "persistentVolumeClaim": ["claimName": "c"]],
            ]
            let mounts: JSON = [
                ["name": "v", "mountPath": "/v"], ["name": "pvc", "mountPath": "/data"],
                ["name": "v", "mountPath": "/w", "subPathExpr": "$(pw)"],
            ]
            let pod = EnvironmentFixture.pod(
                ["envFrom": [["secretRef": ["name": "s"]]], "volumeMounts": mounts], volumes: volumes)
            let environment = try await HostEnvironment.gather(try Self.request(fixture, scratch, pod: pod))
            defer { environment.remove() }
            #expect(environment.variables["pw"] == EnvironmentFixture.marker && environment.secretNames.contains("pw"))
            #expect(environment.notices.count == 2)
            for notice in environment.notices {
                let event = LoopEvent(.notice(notice))
                #expect(!event.json.text.contains(EnvironmentFixture.marker))
            }
            // A path that leads out by a Secret's value.
            fixture.secret("s", ["pw": "../\(EnvironmentFixture.marker)"])
            let failure = await #expect(throws: LoopFailure.self) { try await environment.refresh() }
            let event = try #require(failure.map { LoopEvent(.failed($0.failure)) })
            #expect(!event.json.text.contains(EnvironmentFixture.marker))
        }
    }

    @Test("what says where things lie is this machine's, unless host.env says it, which may refer to it")
    func places() async throws {
        let own = ["PATH": "/mine", "HOME": "/me", "LD_LIBRARY_PATH": "/lib", "LANG": "C", "EDITOR": "vi"]
        let kept = HostSurroundings.kept(of: own)
        #expect(kept == ["PATH": "/mine", "HOME": "/me", "LD_LIBRARY_PATH": "/lib"])
        var environment = try PodEnvironment(
            PodReferences(
                pod: [
                    "spec": [
                        "containers": [
                            [
                                "name": "web",
                                "env": [
                                    ["name": "PATH", "value": "/theirs"], ["name": "DB_PORT", "value": "5432"],
                                ],
                            ]
                        ]
                    ]
                ], container: "web", namespace: "web"),
            // As the kubelet has it: what a container says wins over variables of Services.
            services: ["DB_PORT": "tcp://127.0.0.1:5432", "DB_SERVICE_HOST": "127.0.0.1"])
        environment.set(kept)
        environment.merge(["HOME": "/app", "PATH": "/tools:$(PATH)"])
        let all = environment.dictionary
        #expect(all["PATH"] == "/tools:/mine" && all["HOME"] == "/app" && all["LD_LIBRARY_PATH"] == "/lib")
        #expect(all["DB_PORT"] == "5432" && all["DB_SERVICE_HOST"] == "127.0.0.1")
    }
}
