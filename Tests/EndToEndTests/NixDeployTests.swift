import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Deployments that Nix builds", .turn) struct NixDeployTests {
    /// Manifests from a workload in JSON, with the replicas and maps that the flake says.
    private static func flake(replicas: Int, maps: [String], output: String = "manifests.json") -> String {
        """
        {
          outputs = { self }:
            let
              \(PrivateStore.write)
              workload = builtins.fromJSON (builtins.readFile ./workload.json);
              web = workload // { spec = workload.spec // { replicas = \(replicas); }; };
              map = name: {
                apiVersion = "v1";
                kind = "ConfigMap";
                metadata = { inherit name; };
                data.text = "text of ${name}";
              };
              secret = {
                apiVersion = "v1";
                kind = "Secret";
                metadata.name = "login";
                stringData.password = "hunter\(replicas)";
              };
            in {
              manifests = write "\(output)" (builtins.toJSON {
                apiVersion = "v1";
                kind = "List";
                items = [ web secret ] ++ builtins.map map [ \(maps.map { "\"\($0)\"" }.joined(separator: " ")) ];
              });
            };
        }
        """
    }

    private func prepare(_ scene: Scene, _ flake: String, rule: JSON = [:]) async throws {
        let deploy: JSON = ["nix": ".#manifests"]
        try scene.project.configure(
            scene.configuration([
                "platform": [
                    "root": "nix",
                    "rules": [["watch": ["*.nix", "*.json"], "deploy": deploy.merged(with: rule)]],
                ]
            ]))
        try scene.project.write("nix/flake.nix", flake)
        try scene.project.write("nix/workload.json", try await Workload("web").manifest(on: scene.cluster).text)
    }

    private func lines(_ diff: JSON) -> [String] { (diff["lines"]?.array ?? []).compactMap(\.string) }

    private func names(_ kind: String, _ scene: Scene) async throws -> [String] {
        let output = try await scene.kubectl(["get", kind, "-o", "name"])
        return output.text.split(separator: "\n").map { String($0.split(separator: "/").last ?? "") }
    }

    @Test("watch deploys at its start and at each change: a diff, one rollout, what left the set deleted")
    func watch() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, Self.flake(replicas: 1, maps: ["one", "two", "three"]))
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let first = try await loopd.event("diff", limit: .seconds(90))
            #expect(Set(lines(first)).isSuperset(of: ["+ deployment/web", "+ configmap/one", "+ secret/login"]))
            let rolled = try await loopd.event("rolledOut", limit: .seconds(90))
            #expect(rolled["workloads"]?.array == ["deployment/web"])

            // Another one makes "three" his own: it is not loopd's to delete any more.
            try await scene.kubectl(["delete", "configmap", "three"])
            try await scene.kubectl(["create", "configmap", "three"])
            var place = loopd.log.count
            try scene.project.replace("nix/flake.nix", Self.flake(replicas: 2, maps: ["one"]))
            let second = try await loopd.event("diff", from: place, limit: .seconds(60))
            #expect(
                Set(lines(second)) == [
                    "~ deployment/web  spec.replicas 1 → 2", "~ secret/login  data.password changed", "- configmap/two",
                ])
            let deployed = try await loopd.event("deployed", from: place, limit: .seconds(60))
            #expect(deployed["objects"]?.array?.contains("configmap/two deleted") == true)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(90))
            let maps = try await names("configmap", scene)
            #expect(maps.contains("one") && maps.contains("three") && !maps.contains("two"))
            #expect(maps.contains("loopd-inventory-platform"))
            #expect(!loopd.outputText.contains("hunter") && !loopd.outputText.contains("aHVudGVy"))

            // The same manifests from other words apply nothing.
            place = loopd.log.count
            try scene.project.replace("nix/flake.nix", Self.flake(replicas: 2, maps: ["one"]) + "# a comment\n")
            let same = try await loopd.event("deployed", from: place, limit: .seconds(60))
            #expect(same["objects"]?.array == [])
            #expect(!loopd.log.events(from: place).contains { $0["event"] == "diff" })

            // What does not evaluate leaves everything as it is, and the next save goes on.
            place = loopd.log.count
            try scene.project.replace("nix/flake.nix", "{ outputs = { self }: { manifests = self.nothing; }; }")
            let failed = try await loopd.event("failed", from: place, limit: .seconds(60))
            let summary = failed["summary"]?.string ?? ""
            #expect(summary.hasPrefix("nix build .#manifests: ") && summary.contains("'nothing'"), "\(summary)")
            #expect(summary.contains(", at flake.nix:1:"), "\(summary)")
            place = loopd.log.count
            try scene.project.replace("nix/flake.nix", Self.flake(replicas: 1, maps: ["one"]))
            let third = try await loopd.event("diff", from: place, limit: .seconds(60))
            #expect(lines(third).contains("~ deployment/web  spec.replicas 2 → 1"))
            #expect(try await loopd.stop().status == .exited(130))
        }
    }

    @Test(
        "deploy shows and stops with --dry-run, refuses without a terminal, applies with --yes, and then has nothing to do"
    )
    func deploy() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, Self.flake(replicas: 1, maps: ["one"]))
            let refused = try await scene.loopd("deploy", environment: store.environment)
            #expect(try await refused.end() == .exited(2))
            #expect(refused.errorText.contains("--yes applies, --dry-run shows"))

            let dry = try await scene.loopd("deploy", "--dry-run", environment: store.environment)
            #expect(try await dry.end(limit: .seconds(90)) == .exited(0), "\(dry.transcript)")
            #expect(dry.log.events().filter { $0["event"] == "diff" }.flatMap(lines).contains("+ deployment/web"))
            #expect(try await scene.kubectl(["get", "deployment", "web"], codes: [1]).status == .exited(1))

            let wet = try await scene.loopd("deploy", "--yes", "platform", environment: store.environment)
            #expect(try await wet.end(limit: .seconds(120)) == .exited(0), "\(wet.transcript)")
            #expect(wet.log.events().contains { $0["event"] == "rolledOut" })
            #expect(try await names("configmap", scene).contains("one"))

            let again = try await scene.loopd("deploy", "--yes", environment: store.environment)
            #expect(try await again.end(limit: .seconds(90)) == .exited(0), "\(again.transcript)")
            #expect(again.log.events().first { $0["event"] == "deployed" }?["objects"]?.array == [])

            try scene.project.replace(
                "nix/flake.nix", Self.flake(replicas: 1, maps: []).replacing("\"v1\"", with: "\"v2\""))
            let bad = try await scene.loopd("deploy", "--yes", environment: store.environment)
            #expect(try await bad.end(limit: .seconds(90)) == .exited(1))
            #expect(
                bad.log.events().contains {
                    $0["summary"]?.string == "secret/login: the cluster does not know the kind Secret of v2"
                })
        }
    }

    @Test("an input that is a folder is read as it is, though flake.lock has an older copy; the lock stays as it is")
    func lock() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            let flake = """
                {
                  inputs.text.url = "path:./text";
                  outputs = { self, text }: let \(PrivateStore.write) in {
                    manifests = write "map.json" (builtins.toJSON {
                      apiVersion = "v1"; kind = "ConfigMap"; metadata.name = "text"; data.text = text.value;
                    });
                  };
                }
                """
            try await prepare(scene, flake)
            try scene.project.write("nix/text/flake.nix", "{ outputs = { self }: { value = \"old\"; }; }")
            let locking = Launch(
                ["nix", "--extra-experimental-features", "nix-command flakes", "flake", "lock"],
                environment: environment(with: store.environment), directory: "\(scene.project.path)/nix")
            #expect(try await Child.run(locking).status == .exited(0))
            let locked = try Disk.read("\(scene.project.path)/nix/flake.lock")
            try scene.project.write("nix/text/flake.nix", "{ outputs = { self }: { value = \"new\"; }; }")
            let loopd = try await scene.loopd("deploy", "--yes", environment: store.environment)
            #expect(try await loopd.end(limit: .seconds(90)) == .exited(0), "\(loopd.transcript)")
            let text = try await scene.kubectl(["get", "configmap", "text", "-o", "jsonpath={.data.text}"]).text
            #expect(text == "new")
            #expect(try Disk.read("\(scene.project.path)/nix/flake.lock") == locked)
        }
    }

    @Test("fields that others have set are named, and taken over")
    func conflict() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            var workload = Workload("web")
            workload.replicas = 2
            try await scene.deploy(workload)
            try await prepare(scene, Self.flake(replicas: 1, maps: []))
            let loopd = try await scene.loopd("deploy", "--yes", environment: store.environment)
            #expect(try await loopd.end(limit: .seconds(120)) == .exited(0), "\(loopd.transcript)")
            let notice = try await loopd.event("notice")
            #expect(
                notice["text"]?.string?.hasPrefix("taken over: deployment/web: kubectl-client-side-apply has ") == true)
            let replicas = try await scene.kubectl(["get", "deployment", "web", "-o", "jsonpath={.spec.replicas}"])
            #expect(replicas.text == "1")
        }
    }

    @Test("a newer deployment does not wait for one that does not come to run")
    func overtakes() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, Self.flake(replicas: 1, maps: []))
            let crashing = Workload("web", container: ["command": ["/bin/nothing"]])
            try scene.project.write("nix/workload.json", try await crashing.manifest(on: scene.cluster).text)
            let loopd = try await scene.loopd("watch", environment: store.environment)
            _ = try await loopd.event("deployed", limit: .seconds(90)) {
                $0["objects"]?.array?.contains("deployment/web") == true
            }
            let place = loopd.log.count
            // A newer deployment does not wait for the old one's rollout.
            let manifest = try await Workload("web").manifest(on: scene.cluster)
            try scene.project.replace("nix/workload.json", manifest.text)
            _ = try await loopd.event("rolledOut", from: place, limit: .seconds(90))
        }
    }

    @Test("a save that changes nothing leaves the rollout that is under way to be told of")
    func keepsFollowing() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, Self.flake(replicas: 1, maps: []))
            let waiting = Workload(
                "web",
                container: [
                    "readinessProbe": ["exec": ["command": ["test", "-e", "/tmp/ready"]], "periodSeconds": 1]
                ])
            try scene.project.write("nix/workload.json", try await waiting.manifest(on: scene.cluster).text)
            let loopd = try await scene.loopd("watch", environment: store.environment)
            _ = try await loopd.event("deployed", limit: .seconds(90)) {
                $0["objects"]?.array?.contains("deployment/web") == true
            }
            let place = loopd.log.count
            try scene.project.replace("nix/flake.nix", Self.flake(replicas: 1, maps: []) + "# a comment\n")
            let same = try await loopd.event("deployed", from: place, limit: .seconds(60))
            #expect(same["objects"]?.array == [])
            try await scene.exec(try await scene.running()[0].name, ["touch", "/tmp/ready"])
            let rolled = try await loopd.event("rolledOut", from: place, limit: .seconds(90))
            #expect(rolled["workloads"]?.array == ["deployment/web"])
        }
    }

    /// What is wrong, and what is said about it.
    struct Wrong: Sendable, CustomTestStringConvertible {
        let name: String
        var flake = "{ outputs = { self }: { manifests = 1; }; }"
        var nix: JSON = ".#manifests"
        var isRepository = false
        var environment: [String: String] = [:]
        /// How the line begins; what follows in some is another program's words.
        let summary: String
        let nextStep: String
        var testDescription: String { name }
    }

    static let wrong = [
        Wrong(
            name: "an attribute that is missing", nix: ".#manifest",
            summary: "nix build .#manifest: the flake has no attribute \"manifest\"",
            nextStep: "did you mean manifests?"),
        Wrong(
            name: "a file that git does not track",
            flake: "{ outputs = { self }: { manifests = import ./lib.nix; }; }", isRepository: true,
            summary: "nix build .#manifests: git does not track nix/lib.nix, so that the flake does not see it",
            nextStep: "git add lib.nix"),
        Wrong(
            name: "an error in an expression", flake: "{ outputs = { self }: { manifests = throw \"no stage\"; }; }",
            summary: "nix build .#manifests: no stage", nextStep: ""),
        Wrong(
            name: "an input that is away",
            flake: "{ inputs.far.url = \"http://127.0.0.1:1/x.tar.gz\"; outputs = { self, far }: { manifests = 1; }; }",
            summary: "nix build .#manifests: Nix could not download http://127.0.0.1:1/x.tar.gz",
            nextStep: "go online, or build from what is in the store: NIX_CONFIG='substitute = false'"),
        Wrong(
            name: "a builder that is missing",
            flake: """
                { outputs = { self }: { manifests = derivation {
                  name = "m"; system = "riscv64-linux"; builder = "/bin/sh"; }; }; }
                """,
            summary: "nix build .#manifests: no builder for riscv64-linux: this machine is \(PrivateStore.system)",
            nextStep: "name one in Nix's `builders`, or let binfmt run its programs here"),
        Wrong(
            name: "an argument that is missing", nix: ["file": "lib.nix", "attribute": "manifests"],
            summary: "nix build -f lib.nix manifests: its function wants the argument \"stage\"",
            nextStep: "\"args\": {\"stage\": \"…\"} in loop.json"),
        Wrong(
            name: "no nix", environment: ["PATH": "NIXLESS"],
            summary: "there is no nix in PATH to build .#manifests with",
            nextStep: "install it: `apt-get install nix-bin`, or https://nixos.org/download"),
    ]

    @Test("what Nix refuses is one line with what to do, and exit code 1", arguments: wrong)
    func refusals(wrong: Wrong) async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, wrong.flake, rule: ["nix": wrong.nix])
            try scene.project.write("nix/lib.nix", "{ stage }: { manifests = stage; }")
            if wrong.isRepository {
                for command in [["init", "-q"], ["add", "nix/flake.nix"]] {
                    try await Child.succeed(["git", "-C", scene.project.path] + command)
                }
            }
            var environment = store.environment.merging(wrong.environment) { $1 }
            if environment["PATH"] == "NIXLESS" {
                let kubectl = try await Child.succeed(["sh", "-c", "command -v kubectl"]).text.trimmed
                try scene.project.folder("bin")
                try scene.project.link("bin/kubectl", to: kubectl)
                environment["PATH"] = "\(scene.project.path)/bin"
            }
            let loopd = try await scene.loopd("deploy", "--dry-run", environment: environment)
            #expect(try await loopd.end(limit: .seconds(90)) == .exited(1), "\(loopd.transcript)")
            let failed = try await loopd.event("failed")
            #expect(failed["summary"]?.string?.hasPrefix(wrong.summary) == true, "\(failed)")
            #expect(failed["nextStep"]?.string ?? "" == wrong.nextStep)
        }
    }

    @Test("on a terminal deploy asks: no applies nothing, yes applies")
    func asks() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await prepare(scene, Self.flake(replicas: 1, maps: ["one"]))
            for (answer, isApplied) in [("n", false), ("y", true)] {
                // `script` gives it a terminal, and types what it gets.
                var launch = Launch(["script", "-qec", "\(Built.loopd) deploy --no-color", "/dev/null"])
                launch.directory = scene.project.path
                launch.environment = environment(
                    with: store.environment.merging(["LOOPD_STATE_DIR": scene.stateDirectory]) { $1 })
                launch.standardInput = .pipe
                let child = try await Child.spawn(launch)
                let said = try await within(.seconds(120), "the end of loopd deploy") {
                    var said = ""
                    var isAnswered = false
                    while let bytes = try await child.standardOutput?.read(), !bytes.isEmpty {
                        said += String(decoding: bytes, as: UTF8.self)
                        if !isAnswered, said.contains("apply? [y/N]") {
                            isAnswered = true
                            try await child.standardInput?.write(Array("\(answer)\n".utf8))
                        }
                    }
                    return said
                }
                #expect(await child.wait() == .exited(0), "\(said)")
                #expect(said.contains("nothing was applied") == !isApplied, "\(said)")
                let maps = try await scene.kubectl(["get", "configmap", "-o", "name"]).text
                #expect(maps.contains("configmap/one") == isApplied)
            }
        }
    }

    @Test(
        "a kluctl project is kluctl's to diff and to deploy, on the guarded context (a double of kluctl)",
        arguments: [true, false])
    func kluctl(hasDiscriminator: Bool) async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            let line = hasDiscriminator ? "discriminator: it" : "targets: []"
            let flake = """
                { outputs = { self }: { manifests = derivation {
                  name = "project"; system = "\(PrivateStore.system)"; builder = "/bin/sh";
                  args = [ "-c" "mkdir -p $out; echo '\(line)' >$out/.kluctl.yaml" ];
                }; }; }
                """
            try await prepare(scene, flake, rule: ["kluctl": ["target": "local"]])
            let kluctl = try KluctlDouble()
            let environment = store.environment.merging(kluctl.environment) { $1 }
            let loopd = try await scene.loopd("deploy", "--yes", environment: environment)
            #expect(try await loopd.end(limit: .seconds(90)) == .exited(0), "\(loopd.transcript)")
            #expect(loopd.log.events().filter { $0["event"] == "diff" }.flatMap(lines).contains("kluctl says diff"))
            let said = try kluctl.calls()
            #expect(said.count == 4)
            let folder = try #require(said.first?.split(separator: " ").dropFirst(2).first)
            #expect(folder.hasPrefix("\(store.root)/nix/store/") && folder.hasSuffix("-project"))
            let common = "--project-dir \(folder) --context \(scene.cluster.context) -t local"
            #expect(said.first == "diff \(common)")
            #expect(said.dropFirst(2).first == "deploy \(common) --yes" + (hasDiscriminator ? " --prune" : ""))
            let notices = loopd.log.events().filter { $0["event"] == "notice" }.compactMap { $0["text"]?.string }
            #expect(notices.contains { $0.contains("no discriminator") } == !hasDiscriminator)
            #expect(said.dropFirst().first == scene.cluster.kubeconfig)
        }
    }
}
