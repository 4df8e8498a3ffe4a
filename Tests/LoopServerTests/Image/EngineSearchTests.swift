import Testing

@testable import LoopServer

@Suite("Which engine builds images") struct EngineSearchTests {
    /// A machine as a search sees it.
    private struct Machine: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var environment: [String: String] = [:]
        var userID: UInt32 = 1000
        var isMac = false
        var programs: Set<String> = ["docker", "podman", "buildah"]
        var sockets: [String: EngineSearch.SocketState] = [:]
        var files: [String: String] = [:]
        var pinned: EngineBuild.Program?

        init(_ name: String, _ change: (inout Machine) -> Void = { _ in }) {
            testDescription = name
            change(&self)
        }

        func find() throws -> ContainerEngine {
            try EngineSearch(
                environment: environment, userID: userID, isMac: isMac, hasProgram: { programs.contains($0) },
                socket: { sockets[$0] ?? .missing }, contents: { files[$0].map { Array($0.utf8) } }
            ).find(pinned)
        }
    }

    private static let docker = "/var/run/docker.sock"
    private static let user = "/run/user/1000/podman/podman.sock"
    private static let root = "/run/podman/podman.sock"
    private static let machine = "/home/ann/.local/share/containers/podman/machine/podman.sock"

    private static let choices: [(Machine, ContainerEngine)] = [
        (
            Machine("DOCKER_HOST is what the user wants") {
                $0.environment = ["DOCKER_HOST": "unix:///somewhere/docker.sock"]
                $0.sockets = ["/somewhere/docker.sock": .answers, docker: .answers, user: .answers]
            }, ContainerEngine(.docker, address: "unix:///somewhere/docker.sock")
        ),
        (
            Machine("a DOCKER_HOST elsewhere is docker's own business") {
                $0.environment = ["DOCKER_HOST": "ssh://builder"]
            }, ContainerEngine(.docker, address: "ssh://builder")
        ),
        (
            Machine("Podman's API does not speak BuildKit") {
                $0.environment = ["DOCKER_HOST": "unix://\(user)"]
                $0.sockets = [user: .answers]
            }, ContainerEngine(.docker, address: "unix://\(user)", environment: ["DOCKER_BUILDKIT": "0"])
        ),
        (
            Machine("DOCKER_HOST is Podman's, and there is only podman") {
                $0.environment = ["DOCKER_HOST": "unix://\(user)"]
                $0.programs = ["podman"]
                $0.sockets = [user: .answers]
            },
            ContainerEngine(.podman, address: "unix://\(user)", environment: ["CONTAINER_HOST": "unix://\(user)"])
        ),
        (
            Machine("docker's default socket leaves DOCKER_HOST unset") {
                $0.sockets = [docker: .answers, user: .answers, root: .answers]
            }, ContainerEngine(.docker, address: "unix://\(docker)")
        ),
        (
            Machine("an empty variable is none") {
                $0.environment = ["DOCKER_HOST": ""]
                $0.sockets = [docker: .answers]
            }, ContainerEngine(.docker, address: "unix://\(docker)")
        ),
        (
            Machine("docker's context comes before its default socket") {
                $0.environment = ["HOME": "/home/ann"]
                $0.files = [
                    "/home/ann/.docker/config.json": #"{"currentContext": "colima"}"#,
                    // The folder is the SHA-256 of the context's name.
                    "/home/ann/.docker/contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16/meta.json":
                        #"{"Endpoints": {"docker": {"Host": "unix:///home/ann/.colima/docker.sock"}}}"#,
                ]
                $0.sockets = ["/home/ann/.colima/docker.sock": .answers, docker: .answers]
            }, ContainerEngine(.docker, address: "unix:///home/ann/.colima/docker.sock")
        ),
        (
            Machine("a context that leads nowhere does not win over the default socket") {
                $0.environment = ["HOME": "/home/ann", "DOCKER_CONTEXT": "colima"]
                $0.files = [
                    "/home/ann/.docker/contexts/meta/f24fd3749c1368328e2b149bec149cb6795619f244c5b584e844961215dadd16/meta.json":
                        #"{"Endpoints": {"docker": {"Host": "unix:///home/ann/.colima/docker.sock"}}}"#
                ]
                $0.sockets = ["/home/ann/.colima/docker.sock": .stale, docker: .answers]
            },
            passing(
                ContainerEngine(
                    .docker, address: "unix://\(docker)", environment: ["DOCKER_HOST": "unix://\(docker)"],
                    dockerHost: "unix://\(docker)"), "/home/ann/.colima/docker.sock: nothing listens there any more")
        ),
        (
            Machine("the default context is none") {
                $0.environment = ["HOME": "/home/ann"]
                $0.files = ["/home/ann/.docker/config.json": #"{"currentContext": "default"}"#]
                $0.sockets = [docker: .answers]
            }, ContainerEngine(.docker, address: "unix://\(docker)")
        ),
        (
            Machine("a stale socket is passed over, by name") { $0.sockets = [docker: .stale, user: .answers] },
            passing(
                ContainerEngine(.podman, dockerHost: "unix://\(user)"), "\(docker): nothing listens there any more")
        ),
        (
            Machine("podman's own socket says where docker finds the same images") { $0.sockets = [user: .answers] },
            ContainerEngine(.podman, dockerHost: "unix://\(user)")
        ),
        (
            Machine("XDG_RUNTIME_DIR comes first") {
                $0.environment = ["XDG_RUNTIME_DIR": "/xdg"]
                $0.sockets = ["/xdg/podman/podman.sock": .answers, user: .answers]
            }, ContainerEngine(.podman, dockerHost: "unix:///xdg/podman/podman.sock")
        ),
        (
            Machine("root's socket has other images than this user's podman") { $0.sockets = [root: .answers] },
            ContainerEngine(
                .podman, address: "unix://\(root)", environment: ["CONTAINER_HOST": "unix://\(root)"],
                dockerHost: "unix://\(root)")
        ),
        (
            Machine("root's socket is root's own") {
                $0.userID = 0
                $0.sockets = [root: .answers]
            }, ContainerEngine(.podman, dockerHost: "unix://\(root)")
        ),
        (
            Machine("docker works through Podman's socket where there is no podman") {
                $0.programs = ["docker"]
                $0.sockets = [user: .answers]
            },
            ContainerEngine(
                .docker, address: "unix://\(user)",
                environment: ["DOCKER_HOST": "unix://\(user)", "DOCKER_BUILDKIT": "0"], dockerHost: "unix://\(user)")
        ),
        (
            Machine("docker is wanted, and Podman's socket is there") {
                $0.environment = ["DOCKER_BUILDKIT": "1"]
                $0.sockets = [user: .answers]
                $0.pinned = .docker
            },
            ContainerEngine(
                .docker, address: "unix://\(user)", environment: ["DOCKER_HOST": "unix://\(user)"],
                dockerHost: "unix://\(user)")
        ),
        (
            Machine("the Podman machine of a Mac") {
                $0.isMac = true
                $0.environment = ["HOME": "/home/ann"]
                $0.sockets = [machine: .answers]
            },
            ContainerEngine(.podman, address: "unix://\(machine)", dockerHost: "unix://\(machine)")
        ),
        (Machine("podman builds without a socket"), ContainerEngine(.podman)),
        (Machine("buildah is better than nothing") { $0.programs = ["buildah"] }, ContainerEngine(.buildah)),
        (
            Machine("podman is wanted") {
                $0.sockets = [docker: .answers]
                $0.pinned = .podman
            }, ContainerEngine(.podman)
        ),
        (
            Machine("podman is told where its images are") {
                $0.environment = ["CONTAINER_HOST": "unix:///elsewhere.sock"]
                $0.pinned = .podman
            }, ContainerEngine(.podman, address: "unix:///elsewhere.sock")
        ),
        (
            Machine("buildah is wanted") {
                $0.sockets = [docker: .answers]
                $0.pinned = .buildah
            }, ContainerEngine(.buildah)
        ),
    ]

    private static func passing(_ engine: ContainerEngine, _ line: String) -> ContainerEngine {
        var engine = engine
        engine.passedOver = [line]
        return engine
    }

    @Test("the first that works is taken", arguments: choices.indices)
    func choice(number: Int) throws {
        let (machine, engine) = EngineSearchTests.choices[number]
        #expect(try machine.find() == engine, "\(machine.testDescription)")
    }

    private static let failures: [(Machine, summary: String, detail: String?, nextStep: String)] = [
        (
            Machine("nothing at all") { $0.programs = [] }, "nothing here builds images", "\(docker): not there",
            "apt-get install podman"
        ),
        (
            Machine("only docker's client, and a stale socket") {
                $0.programs = ["docker"]
                $0.sockets = [docker: .stale]
            }, "nothing here builds images", "\(docker): nothing listens there any more", "systemctl start docker"
        ),
        (
            Machine("this user may not") {
                $0.programs = ["docker"]
                $0.sockets = [docker: .denied]
            }, "nothing here builds images", "\(docker): permission denied", "usermod -aG docker"
        ),
        (
            Machine("a socket and nothing to talk to it with") {
                $0.programs = []
                $0.sockets = [docker: .answers]
            }, "nothing here builds images", "\(docker): there is no docker in PATH to talk to it with",
            "apt-get install"
        ),
        (
            Machine("DOCKER_HOST leads nowhere") {
                $0.environment = ["DOCKER_HOST": "unix:///gone.sock"]
                $0.sockets = ["/gone.sock": .stale, docker: .answers]
            }, "DOCKER_HOST is unix:///gone.sock, and nothing listens there", nil, "unset DOCKER_HOST"
        ),
        (
            Machine("DOCKER_HOST is not for this user") {
                $0.environment = ["DOCKER_HOST": "unix:///root.sock"]
                $0.sockets = ["/root.sock": .denied]
            }, "this user may not connect to it", nil, "usermod -aG docker"
        ),
        (
            Machine("DOCKER_HOST without docker") {
                $0.environment = ["DOCKER_HOST": "tcp://builder:2375"]
                $0.programs = ["podman"]
            }, "there is no docker in PATH to talk to it with", nil, "docker.io"
        ),
        (
            Machine("a Podman machine that sleeps") {
                $0.isMac = true
                $0.environment = ["HOME": "/home/ann"]
                $0.programs = ["podman"]
                $0.sockets = [machine: .stale]
            }, "nothing here builds images", "\(machine): nothing listens there any more", "podman machine start"
        ),
        (
            Machine("the wanted program is missing") {
                $0.programs = ["podman"]
                $0.sockets = [docker: .answers]
                $0.pinned = .docker
            }, "there is no docker in PATH, and loop.json wants it", nil, "docker.io"
        ),
        (
            Machine("docker is wanted and does not run") { $0.pinned = .docker }, "docker does not run here",
            "\(docker): not there", "systemctl start docker"
        ),
    ]

    @Test("without any it is said what was looked for, and what to do", arguments: failures.indices)
    func failure(number: Int) throws {
        let (machine, summary, detail, nextStep) = EngineSearchTests.failures[number]
        let thrown = #expect(throws: LoopFailure.self, "\(machine.testDescription)") { try machine.find() }
        let failure = try #require(thrown?.failure)
        #expect(failure.summary.contains(summary), "\(machine.testDescription)")
        if let detail { #expect(failure.details.contains(detail), "\(machine.testDescription): \(failure.details)") }
        #expect(failure.nextStep?.contains(nextStep) == true, "\(machine.testDescription): \(failure.nextStep ?? "")")
    }

    @Test("the choice is said in one line, with what does not work")
    func notice() {
        let engine = ContainerEngine(.docker, address: "unix:///var/run/docker.sock")
        #expect(engine.notice == "images are built by docker at unix:///var/run/docker.sock")
        let other = EngineSearchTests.passing(ContainerEngine(.podman), "/var/run/docker.sock: permission denied")
        #expect(other.notice == "images are built by podman; /var/run/docker.sock: permission denied")
    }
}
