import HTTP
import JSON
import Synchronization
import Testing

@testable import LoopServer

@Suite("Nix's command lines", .turn) struct NixCommandTests {
    private static let start = [
        "nix", "build", "--extra-experimental-features", "nix-command flakes", "--no-link", "--json",
        "--print-build-logs", "--no-write-lock-file",
    ]

    struct Case: Sendable {
        let installable: Installable
        var system: String?
        var isEmulated = false
        var overrides: [FlakeLock.Override] = []
        let words: [String]
    }

    static let cases = [
        Case(installable: Installable(.flake(".#app"), in: "/p"), words: [".#app"]),
        Case(
            installable: Installable(.flake(".#app"), in: "/p"), system: "aarch64-linux",
            words: ["--system", "aarch64-linux", "--max-jobs", "0", ".#app"]),
        Case(
            installable: Installable(.flake(".#app"), in: "/p"), system: "aarch64-linux", isEmulated: true,
            words: ["--system", "aarch64-linux", ".#app"]),
        Case(
            installable: Installable(.flake("./nix#app"), in: "/p"),
            overrides: [FlakeLock.Override(input: "lib", folder: "/p/lib")],
            words: ["--override-input", "lib", "path:/p/lib", "./nix#app"]),
        Case(
            installable: Installable(
                .file("/p/default.nix", attribute: "manifests"), arguments: ["stage": "local", "host": "a b"], in: "/p"),
            words: [
                "-f", "/p/default.nix", "--argstr", "host", "a b", "--argstr", "stage", "local", "manifests",
            ]),
        Case(installable: Installable(.file("/p/a.nix", attribute: nil), in: "/p"), words: ["-f", "/p/a.nix", ""]),
    ]

    @Test("a build is one argument array, with experimental features allowed in it", arguments: cases)
    func build(example: Case) {
        let words = NixCommand.build(
            example.installable, system: example.system, isEmulated: example.isEmulated, overrides: example.overrides)
        #expect(words == NixCommandTests.start + example.words)
    }

    @Test("what is built is kept from being collected by a link, where there is a place for one")
    func root() {
        let words = NixCommand.build(Installable(.flake(".#app"), in: "/p"), root: "/run/nix-0")
        #expect(
            words == NixCommandTests.start.flatMap { $0 == "--no-link" ? ["--out-link", "/run/nix-0"] : [$0] } + [
                ".#app"
            ])
    }

    @Test("an installable may say itself what it is for")
    func namesSystem() {
        #expect(Installable(.flake(".#packages.aarch64-linux.app"), in: "/p").namesSystem)
        #expect(
            Installable(.file("a.nix", attribute: nil), arguments: ["system": "aarch64-linux"], in: "/p").namesSystem)
        #expect(!Installable(.flake("./linux#app"), in: "/p").namesSystem)
    }

    @Test("for nodes of which none is of a known kind nothing is built")
    func obstacle() {
        for architectures in [[], ["amd64", "s390x"]] as [Set<String>] {
            #expect(NixSystem.obstacle(forNodes: architectures) == nil)
        }
        #expect(NixSystem.obstacle(forNodes: ["s390x", "ppc64le"])?.summary.hasSuffix(": ppc64le, s390x") == true)
    }

    @Test("the nodes are asked for until they are listed, and then not again")
    func nodes() async throws {
        let asked = Mutex(0)
        try await withAPI({ exchange in
            let count = asked.withLock { asked in
                asked += 1
                return asked
            }
            guard count > 1 else { return try await exchange.fail(403, "Forbidden", "not yet") }
            try await exchange.answer([
                "metadata": [:], "items": [["status": ["nodeInfo": ["architecture": "arm64"]]]],
            ])
        }) { client, _ in
            let nodes = NodeSystems(client)
            #expect(await nodes.architectures == [])
            #expect(await nodes.architectures == ["arm64"])
            #expect(await nodes.architectures == ["arm64"])
        }
        #expect(asked.withLock { $0 } == 2)
    }

    @Test(
        "the output is found in what Nix answers",
        arguments: [
            (
                """
                [{"drvPath":"/nix/store/hdav-d.drv","outputs":{"out":"/nix/store/n2vx-d"}}]
                """, "/nix/store/n2vx-d"
            ),
            ("[{\"drvPath\":\"/nix/store/a.drv\",\"outputs\":{\"bin\":\"/nix/store/b-bin\"}}]", "/nix/store/b-bin"),
            ("[{\"outputs\":{\"dev\":\"/nix/store/dev\",\"out\":\"/nix/store/out\"}}]", "/nix/store/out"),
            ("[{\"path\":\"/nix/store/c-source\"}]", "/nix/store/c-source"), ("[]", nil), ("error", nil),
        ])
    func output(answer: String, path: String?) {
        #expect(NixCommand.output(of: Array(answer.utf8)) == path)
    }

    @Test(
        "builds are for the nodes' system where this machine's is none of them",
        arguments: [
            ([], nil), (["amd64", "arm64"], nil), (["s390x"], nil),
            (["riscv64"], "riscv64-linux"),
        ] as [(Set<String>, String?)])
    func system(architectures: Set<String>, system: String?) {
        #expect(NixSystem.needed(forNodes: architectures) == system)
    }

    @Test(
        "a store may lie in another folder of this disk",
        arguments: [
            ("", ""), ("daemon", ""), ("/mnt", "/mnt"), ("local?root=/tmp/x", "/tmp/x"),
            ("local?log=/l&root=/tmp/x", "/tmp/x"),
        ])
    func store(remote: String, root: String) {
        let store = NixStore(environment: ["NIX_REMOTE": remote])
        #expect(store.place(of: "/nix/store/a") == root + "/nix/store/a")
    }

    @Test(
        "only what lies directly in the store is a store path",
        arguments: [
            ("/nix/store/abc-hello", "abc-hello"), ("/nix/store/abc-hello/bin", nil), ("/nix/store/", nil),
            ("/nix/store/.links", nil), ("/etc", nil),
        ])
    func name(path: String, name: String?) { #expect(NixStore.name(of: path) == name) }
}

@Suite("A flake.lock", .turn) struct FlakeLockTests {
    /// As Nix 2.8 wrote it.
    private static let text = """
        {"nodes": {
          "abs": {"locked": {"lastModified": 1795759360, "narHash": "sha256-TQeI", "path": "/work/abs", "type": "path"},
                  "original": {"path": "/work/abs", "type": "path"}},
          "nixpkgs": {"original": {"owner": "nixos", "repo": "nixpkgs", "type": "github"}},
          "root": {"inputs": {"abs": "abs", "sub": "sub_2", "nixpkgs": "nixpkgs", "same": ["sub", "nixpkgs"]}},
          "sub_2": {"locked": {"path": "./sub", "type": "path"}, "original": {"path": "./../libs/sub", "type": "path"}}
        }, "root": "root", "version": 7}
        """

    @Test("inputs that are folders here are read from there, not from the copy that is locked")
    func overrides() {
        let overrides = FlakeLock(Array(FlakeLockTests.text.utf8))?.overrides(in: "/p/nix") ?? []
        #expect(
            Set(overrides.map { "\($0.input)=\($0.folder)" }) == ["abs=/work/abs", "sub=/p/libs/sub"])
    }

    @Test(
        "the flake's folder is where its reference leads",
        arguments: [
            (".#x", "/p"), ("#x", "/p"), ("./nix#x", "/p/./nix"), ("path:/abs?dir=a#x", "/abs"), ("/abs#x", "/abs"),
            ("..#x", "/p/.."),
            ("git+file:///abs#x", "/abs"), ("github:nixos/nixpkgs#hello", nil), ("nixpkgs#hello", nil),
        ])
    func folder(reference: String, folder: String?) {
        #expect(Installable(.flake(reference), in: "/p").flakeFolder == folder)
    }
}
