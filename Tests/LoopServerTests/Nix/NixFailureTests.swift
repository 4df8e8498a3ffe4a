import Reactor
import Testing

@testable import LoopServer

/// What Nix prints, recorded from Nix 2.8 unless it says otherwise, and what people are told.
@Suite("Failures of Nix") struct NixFailureTests {
    struct Recording: Sendable, CustomTestStringConvertible {
        let name: String
        let printed: String
        var status = ExitStatus.exited(1)
        let summary: String
        var nextStep: String?
        var details: [String] = []
        var testDescription: String { name }
    }

    private static let build = "nix build .#x: "

    static let recordings = [
        Recording(
            name: "no nix", printed: "", status: .exited(127), summary: "there is no nix in PATH to build .#x with",
            nextStep: "install it: `apt-get install nix-bin`, or https://nixos.org/download"),
        Recording(
            name: "an attribute that is nearly there",
            printed: """
                error: flake 'path:/tmp/nixlab/a' does not provide attribute 'packages.x86_64-linux.helo', \
                'legacyPackages.x86_64-linux.helo' or 'helo'
                       Did you mean hello?
                """, summary: build + "the flake has no attribute \"helo\"", nextStep: "did you mean hello?"),
        Recording(
            name: "an attribute that is not there",
            printed: """
                error: flake 'path:/tmp/nixlab/a' does not provide attribute 'packages.x86_64-linux.nothing.here', \
                'legacyPackages.x86_64-linux.nothing.here' or 'nothing.here'
                """, summary: build + "the flake has no attribute \"nothing.here\"",
            nextStep: "`nix flake show` lists what it has"),
        Recording(
            name: "a file that git does not track",
            printed: """
                warning: Git tree '/p' is dirty
                error: getting status of '/nix/store/whb4nwxfgh0j45cq9i60g2wrs5ilbrnz-source/lib/lib.nix': No such file \
                or directory
                (use '--show-trace' to show detailed location information)
                """, summary: build + "git does not track lib/lib.nix, so that the flake does not see it",
            nextStep: "git add lib/lib.nix"),
        Recording(
            name: "a file that git does not track, in the words of Nix 2.26",
            printed: """
                error: Path 'lib/lib.nix' in the repository "/p" is not tracked by Git.

                       To make it visible to Nix, run:

                       git -C "/p" add "lib/lib.nix"
                """, summary: build + "git does not track lib/lib.nix, so that the flake does not see it",
            nextStep: "git add lib/lib.nix"),
        Recording(
            name: "a file that is nowhere",
            printed: """
                error: getting status of '/nix/store/dimrg66sxwzwq9wiz6pn9al93mmadz55-source/nothere.nix': No such file \
                or directory
                """, summary: build + "the flake has no file nothere.nix"),
        Recording(
            name: "no flake",
            printed: """
                path '/p' does not contain a 'flake.nix', searching up
                error: could not find a flake.nix file
                """, summary: build + "there is no flake.nix in /p",
            nextStep: "the rule's flake is relative to its service's \"root\""),
        Recording(
            name: "an error in an expression",
            printed: """
                error: attribute 'b' missing

                       at /tmp/root/nix/store/dimrg66sxwzwq9wiz6pn9al93mmadz55-source/flake.nix:8:12:

                            7|     missingfile = import ./nothere.nix;
                            8|     typo = { a = 1; }.b;
                             |            ^
                       Did you mean a?
                """, summary: build + "attribute 'b' missing, at flake.nix:8:12", nextStep: "Did you mean a?"),
        Recording(
            name: "an error in an expression, with the trace that Nix 2.20 prints first",
            printed: """
                error:
                       … while evaluating the attribute 'packages.x'
                         at /nix/store/0000-source/flake.nix:2:3:

                       error: attribute 'b' missing
                       at /nix/store/0000-source/lib.nix:8:12:
                """, summary: build + "attribute 'b' missing, at lib.nix:8:12"),
        Recording(
            name: "throw",
            printed: """
                error: the stage is unknown
                (use '--show-trace' to show detailed location information)
                """, summary: build + "the stage is unknown"),
        Recording(
            name: "an argument that is missing",
            printed: """
                error: cannot evaluate a function that has an argument without a value ('stage')

                       Nix attempted to evaluate a function as a top level expression; in
                """, summary: build + "its function wants the argument \"stage\"",
            nextStep: "\"args\": {\"stage\": \"…\"} in loop.json"),
        Recording(
            name: "a builder that is missing",
            printed: """
                error: a 'riscv64-linux' with features {} is required to build \
                '/nix/store/c1g8dk4qf4wqsrl9m9g6vjajx90mkg38-arm.drv', but I am a 'x86_64-linux' with features \
                {benchmark, big-parallel, kvm, nixos-test}
                """, summary: build + "no builder for riscv64-linux: this machine is \(NixSystem.native)",
            nextStep: "name one in Nix's `builders`, or let binfmt run its programs here"),
        Recording(
            name: "no builder at all",
            printed: """
                error: unable to start any build; either increase '--max-jobs' or enable remote builds.
                       https://nixos.org/manual/nix/stable/advanced-topics/distributed-builds.html
                """, summary: build + "no builder for riscv64-linux: this machine is \(NixSystem.native)",
            nextStep: "name one in Nix's `builders`, or let binfmt run its programs here"),
        Recording(
            name: "an input that cannot be fetched",
            printed: """
                error: unable to download 'https://api.github.com/repos/nixos/nixpkgs/commits/HEAD': Couldn't resolve \
                host name (6)
                (use '--show-trace' to show detailed location information)
                """,
            summary: build
                + "Nix could not download https://api.github.com/repos/nixos/nixpkgs/commits/HEAD: Couldn't resolve host name (6)",
            nextStep: "go online, or build from what is in the store: NIX_CONFIG='substitute = false'"),
        Recording(
            name: "a substituter that is away",
            printed: """
                warning: unable to download 'http://127.0.0.1:1/nix-cache-info': Couldn't connect to server (7)
                error: path '/nix/store/a0xm7xykdg1dm9qz7nrbjrz7xvk8qzbx-hello' is required, but there is no substituter \
                that can build it
                """,
            summary: build
                + "Nix could not download http://127.0.0.1:1/nix-cache-info: Couldn't connect to server (7)",
            nextStep: "go online, or build from what is in the store: NIX_CONFIG='substitute = false'"),
        Recording(
            name: "a program of the build, after a substituter that was away",
            printed: """
                warning: unable to download 'http://127.0.0.1:1/nix-cache-info': Couldn't connect to server (7)
                building '/nix/store/fw18gncvvzpb6nn0p5ammj1sxf7d9lz0-dep.drv'...
                dep> compiling
                dep> main.c:3: no
                error: builder for '/nix/store/fw18gncvvzpb6nn0p5ammj1sxf7d9lz0-dep.drv' failed with exit code 1
                error: 1 dependencies of derivation '/nix/store/8212a3da8b4x74ar834krlcl7aspvwwy-d.drv' failed to build
                """, summary: build + "the build of dep failed with exit code 1",
            nextStep: "what runs in the cluster stays",
            details: [
                "warning: unable to download 'http://127.0.0.1:1/nix-cache-info': Couldn't connect to server (7)",
                "dep> compiling", "dep> main.c:3: no",
            ]),
        Recording(
            name: "a full disk",
            printed: "error: writing to file: No space left on device",
            summary: build + "writing to file: No space left on device",
            nextStep: "make room, for example with `nix-collect-garbage`"),
        Recording(
            name: "something that nobody knows", printed: "Segmentation fault", status: .signalled(11),
            summary: build + "signal 11 (Segmentation fault)", details: ["Segmentation fault"]),
    ]

    @Test("each becomes one line with what to do", arguments: recordings)
    func explains(recording: Recording) {
        var failure = NixFailure(installable: Installable(.flake(".#x"), in: "/p"), system: "riscv64-linux")
        failure.isThere = { $0 == "/p/lib/lib.nix" }
        let lines = recording.printed.split(separator: "\n").map(String.init)
        let told = failure.explain(recording.status, lines)
        #expect(told.summary == recording.summary)
        #expect(told.nextStep == recording.nextStep)
        #expect(told.details == recording.details)
    }

    @Test("an attribute of a file, and where its errors are")
    func file() {
        let failure = NixFailure(installable: Installable(.file("/p/default.nix", attribute: "dd"), in: "/p"))
        #expect(NixFailure.isHiccup(["building", "error: SQLite database '/nix/var/nix/db/db.sqlite' is busy"]))
        #expect(!NixFailure.isHiccup(["warning: SQLite database '/nix/var/nix/db/db.sqlite' is busy"]))
        let missing = failure.explain(
            .exited(1),
            ["error: attribute 'dd' in selection path 'dd' not found", "       Did you mean one of d or m?"])
        #expect(missing.summary == "nix build -f default.nix dd: default.nix has no attribute \"dd\"")
        #expect(missing.nextStep == "did you mean one of d or m?")
        let error = failure.explain(
            .exited(1),
            ["\u{1B}[31;1merror:\u{1B}[0m undefined variable 'x'", "", "       at /p/default.nix:1:171:", ""])
        #expect(error.summary == "nix build -f default.nix dd: undefined variable 'x', at default.nix:1:171")
    }
}
