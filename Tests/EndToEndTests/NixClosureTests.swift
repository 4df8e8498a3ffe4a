import Glibc
import JSON
import Reactor
import TestCluster
import Testing

@Suite("Closures that Nix builds, in pods", .turn) struct NixClosureTests {
    private static let dependencies = 199

    /// An output that refers to 199 store paths and one of its own source.
    private static let flake = """
        {
          outputs = { self }:
            let
              \(PrivateStore.write)
              names = builtins.genList (number: "dependency-${toString number}") \(dependencies - 1);
              dependencies = map (name: builtins.toFile name "what ${name} says") names;
              source = builtins.path { path = ./source; name = "source-of-app"; };
            in {
              app = write "app" ''
                ${builtins.readFile ./message}
                ${source}
                ${builtins.concatStringsSep "\\n" dependencies}
              '';
            };
        }
        """

    private func prepare(_ scene: Scene) throws {
        try scene.project.configure(
            scene.configuration([
                "app": [
                    "workload": "deployment/app",
                    "rules": [
                        [
                            "watch": ["flake.nix", "message", "source/**"],
                            "sideload": ["nix": ".#app", "profile": "/nix/var/nix/profiles/app"],
                            "then": [["exec": ["sh", "-c", "cat /nix/var/nix/profiles/app >/tmp/seen"]]],
                        ]
                    ],
                ]
            ]))
        try scene.project.write("flake.nix", Self.flake)
        try scene.project.write("message", "one\n")
        try scene.project.write("source/tool", "echo tool\n", mode: 0o755)
        try scene.project.write("source/deep/text", "text\n")
        try scene.project.link("source/link", to: "tool")
    }

    /// What the profile in a pod leads to, and the store path's name.
    private func profile(in pod: String, _ scene: Scene) async throws -> (name: String, text: String) {
        let link = try await scene.exec(pod, ["sh", "-c", "ls -l /nix/var/nix/profiles/app"]).text.trimmed
        let text = try await scene.exec(pod, ["cat", "/nix/var/nix/profiles/app"]).text
        return (String(link.split(separator: "/").last ?? ""), text)
    }

    @Test("of a closure of two hundred paths with one changed only that one travels; profile, steps, modes")
    func oneChanged() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await scene.deploy(Workload())
            try prepare(scene)
            let pod = try await scene.running()[0].name
            let loopd = try await scene.loopd("watch", environment: store.environment)
            let first = try await loopd.event("landed", limit: .seconds(90))
            _ = try await loopd.event("executed", limit: .seconds(60))
            #expect(first["files"]?.integer ?? 0 > Int64(Self.dependencies))
            let before = try await profile(in: pod, scene)
            #expect(before.text.hasPrefix("one\n"))
            #expect(try await scene.text("/tmp/seen", in: pod) == before.text)
            let names = try await scene.exec(pod, ["ls", "/nix/store"]).text.split(separator: "\n")
            #expect(names.count == Self.dependencies + 1)
            let source = try #require(names.first { $0.hasSuffix("-source-of-app") })
            let kept = try await scene.exec(
                pod, ["stat", "-c", "%a %Y %F", "/nix/store/\(source)/tool", "/nix/store/\(source)/deep/text"])
            #expect(kept.text == "555 1 regular file\n444 1 regular file\n")
            #expect(try await scene.exec(pod, ["sh", "-c", "/nix/store/\(source)/link"]).text == "tool\n")

            // What is in use is kept when garbage is collected.
            let collection = Launch(["nix-store", "--gc"], environment: environment(with: store.environment))
            #expect(try await Child.run(collection).status == .exited(0))
            #expect(access("\(store.root)/nix/store/\(before.name)", F_OK) == 0)
            #expect(access("\(store.root)/nix/store/\(source)", F_OK) == 0)

            let place = loopd.log.count
            try scene.project.replace("message", "two!\n")
            let second = try await loopd.event("landed", from: place, limit: .seconds(60))
            let after = try await profile(in: pod, scene)
            #expect(after.text.hasPrefix("two!\n") && after.name != before.name)
            #expect(second["paths"]?.array == [.string(after.name), "/nix/var/nix/profiles/app"])
            #expect(second["bytesSent"]?.integer == Int64(after.text.utf8.count))
            #expect(second["files"]?.integer == 2)
            let more = try await scene.exec(pod, ["ls", "/nix/store"]).text.split(separator: "\n")
            #expect(Set(more).subtracting(names) == [Substring(after.name)])
        }
    }

    @Test("loopd killed in the middle: the next one completes the store, and the profile was never ahead of it")
    func killed() async throws {
        try await Scene.run { scene in
            let store = try PrivateStore()
            try await scene.deploy(Workload())
            try prepare(scene)
            // Enough that something is still to come when the first part is there.
            for number in 0..<400 {
                let bytes = [UInt8](repeating: UInt8(number % 251), count: 50_000)
                try scene.project.write("source/data/\(number)", bytes)
            }
            let pod = try await scene.running()[0].name
            let victim = try await scene.loopd("watch", environment: store.environment)
            _ = try await victim.event("built", limit: .seconds(90))
            victim.child.signal(SIGKILL)
            _ = try await victim.end()
            let link = try await scene.exec(pod, ["ls", "/nix/var/nix/profiles"], codes: [0, 1]).text
            if link.contains("app") { #expect(try await profile(in: pod, scene).text.hasPrefix("one\n")) }

            let loopd = try await scene.loopd("sync", environment: store.environment)
            #expect(try await loopd.end(limit: .seconds(90)) == .exited(0), "\(loopd.transcript)")
            let now = try await profile(in: pod, scene)
            let source = try #require(
                now.text.split(separator: "\n").first { $0.hasSuffix("-source-of-app") }.map(String.init))
            let mine = try await Tree.local("\(store.root)\(source)")
            #expect(mine.difference(from: try await scene.tree(source, in: pod)) == [])
            for path in now.text.split(separator: "\n") where path.hasPrefix("/nix/store/") {
                #expect(access("\(store.root)\(path)", F_OK) == 0)
            }
            let count = try await scene.exec(
                pod, ["sh", "-c", "ls -d $(cat /nix/var/nix/profiles/app | grep ^/nix) | wc -l"])
            #expect(count.text.trimmed == "\(Self.dependencies)")
        }
    }
}
