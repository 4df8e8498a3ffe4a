import Reactor
import Testing

@testable import LoopServer

@Suite("Why a build failed") struct BuildFailureTests {
    private static let programs = ["classic", "buildkit", "podman", "buildah"]

    private func explain(_ recording: String, _ name: String, target: String? = nil) throws -> LoopEvent.Failure {
        let (status, lines) = try BuildRecording.read(recording)
        var recipe = EngineBuild(
            nil, context: "/home/ann/shop/ctx", dockerfile: "/home/ann/shop/ctx/Dockerfile.\(name)")
        recipe.target = target
        let failure = BuildFailure(
            image: "web", recipe: recipe, engine: BuildRecording.engine(recording),
            dockerfile: try BuildRecording.dockerfile(name))
        return failure.explain(status, lines)
    }

    @Test("a step that fails is named by its line, with what it printed and not the whole log", arguments: programs)
    func step(program: String) throws {
        let failure = try explain("\(program)-shell", "shell")
        #expect(
            failure.summary
                == "image web: Dockerfile.shell:5: RUN echo compiling && echo 'main.c:3:1: error: expected ;' >&2 && exit 2: exit code 2"
        )
        #expect(Set(failure.details) == ["compiling", "main.c:3:1: error: expected ;"])
    }

    @Test("a step without a shell, in its array form, is found by its line", arguments: programs)
    func array(program: String) throws {
        let failure = try explain("\(program)-run", "run")
        #expect(failure.summary.hasPrefix("image web: Dockerfile.run:4: RUN [\"/bin/busybox\", \"sh\""))
        #expect(failure.summary.hasSuffix("…: exit code 2"))
        #expect(
            failure.details == ["compiling 1", "compiling 2", "compiling 3", "main.c:3:1: error: expected ; before }"])
    }

    @Test("of several stages it is the line in the right one, whatever variables are shown as", arguments: programs)
    func stages(program: String) throws {
        let failure = try explain("\(program)-multi", "multi")
        #expect(failure.summary == "image web: Dockerfile.multi:11: RUN echo $A $V; false: exit code 1")
        #expect(failure.details == ["b"])
    }

    /// What each program says in its own words, and loopd in one line.
    private static let causes: [(name: String, summary: String, nextStep: String?)] = [
        (
            "copy",
            "Dockerfile.copy:2: COPY missing.txt /: missing.txt is not in the build context, or .dockerignore leaves it out",
            "the context is /home/ann/shop/ctx"
        ),
        ("syntax", "Dockerfile.syntax:2: unknown instruction: COPPY", nil),
        ("nofrom", "Dockerfile.nofrom has no FROM before its first instruction", nil),
        ("empty", "Dockerfile.empty is empty", nil),
        (
            "nosh", "Dockerfile.nosh:2: RUN make: there is no /bin/sh in the image to run it with",
            "RUN [\"/program\", \"argument\"] needs none"
        ),
        (
            "base",
            "Dockerfile.base:1: the base image 127.0.0.1:5871/nobase:1 cannot be pulled: 127.0.0.1:5871 does not have it",
            "check its name and tag"
        ),
        (
            "notag",
            "Dockerfile.notag:1: the base image 127.0.0.1:5871/web:nope cannot be pulled: 127.0.0.1:5871 does not have it",
            "check its name and tag"
        ),
        (
            "down",
            "Dockerfile.down:1: the base image 127.0.0.1:1/base cannot be pulled: nothing listens at 127.0.0.1:1",
            "start the registry, or push the image to another one"
        ),
        (
            "host",
            "Dockerfile.host:1: the base image nothere.invalid/team/base:1 cannot be pulled: the name nothere.invalid is not known here",
            "go online, or build on an image that is here"
        ),
        (
            "hub", "Dockerfile.hub:1: the base image debian:12 cannot be pulled: the name docker.io is not known here",
            "go online, or build on an image that is here"
        ),
    ]

    @Test("the same cause is the same line whichever program found it", arguments: causes.indices, programs)
    func cause(number: Int, program: String) throws {
        let (name, summary, nextStep) = BuildFailureTests.causes[number]
        let failure = try explain("\(program)-\(name)", name)
        #expect(failure.summary == "image web: \(summary)")
        #expect(failure.nextStep == nextStep)
    }

    @Test("a base image that wants a login says how to log in", arguments: programs)
    func login(program: String) throws {
        let failure = try explain("\(program)-auth", "auth")
        #expect(
            failure.summary
                == "image web: Dockerfile.auth:1: the base image 127.0.0.1:5872/team/base:1 cannot be pulled: 127.0.0.1:5872 wants a login"
        )
        let login = ["podman", "buildah"].contains(program) ? program : "docker"
        #expect(failure.nextStep == "\(login) login 127.0.0.1:5872")
    }

    @Test("a short name that podman knows no registry for is to be written out", arguments: ["podman", "buildah"])
    func short(program: String) throws {
        let failure = try explain("\(program)-short", "short")
        #expect(
            failure.summary
                == "image web: Dockerfile.short:1: the base image nosuchbase cannot be pulled: \(program) does not know which registry it is in"
        )
        #expect(failure.nextStep == "write its whole name: FROM docker.io/library/nosuchbase")
    }

    @Test("a stage that is not there is named with those that are", arguments: programs)
    func target(program: String) throws {
        let failure = try explain("\(program)-target", "target", target: "nope")
        #expect(failure.summary == "image web: Dockerfile.target has no stage nope")
        #expect(failure.nextStep == "its stages are: a")
    }

    @Test("a full disk is said as such, with what makes room", arguments: ["podman", "buildah"])
    func space(program: String) throws {
        let failure = try explain("\(program)-space", "space")
        #expect(failure.summary == "image web: Dockerfile.space:2: COPY big /big: no space left on device")
        #expect(failure.nextStep?.contains(program) == true)
        #expect(failure.details == [])
    }

    @Test("a mount that classic docker cannot make says what is missing")
    func mount() throws {
        for recording in ["classic-mount", "classic20-mount"] {
            let failure = try explain(recording, "mount")
            #expect(failure.summary.hasPrefix("image web: Dockerfile.mount:3: RUN --mount=type=secret"))
            #expect(failure.summary.hasSuffix("docker without BuildKit cannot mount anything into a RUN"))
            #expect(failure.nextStep?.contains("docker-buildx-plugin") == true)
        }
    }

    private static let engines: [(recording: String, summary: String, nextStep: String)] = [
        ("classic-flag", "\"secrets\": this docker cannot build with them", "docker-buildx-plugin"),
        ("buildx-missing", "its buildx component is not installed", "unset DOCKER_BUILDKIT"),
        ("docker-down", "docker does not answer at unix:///var/run/docker.sock", "systemctl start docker"),
        ("docker20-down", "docker does not answer at unix:///var/run/docker.sock", "systemctl start docker"),
        ("docker-tcp-down", "docker does not answer at unix:///var/run/docker.sock", "systemctl start docker"),
        ("docker-denied", "this user may not use docker at unix:///var/run/docker.sock", "usermod -aG docker"),
    ]

    @Test("an engine that cannot be worked with is told from a build that fails", arguments: engines.indices)
    func engine(number: Int) throws {
        let (recording, summary, nextStep) = BuildFailureTests.engines[number]
        let failure = try explain(recording, "copy")
        #expect(failure.summary.contains(summary))
        #expect(failure.nextStep?.contains(nextStep) == true)
    }

    /// As newer versions of BuildKit print it: written down from its sources, because there is no buildx here.
    @Test("the failing step is also found where BuildKit quotes the Dockerfile")
    func quoted() throws {
        let lines = """
            #1 [internal] load build definition from Dockerfile.shell
            #1 DONE 0.0s

            #5 [3/3] RUN echo compiling &&     echo 'main.c:3:1: error: expected ;' >&2 &&     exit 2
            #5 0.112 compiling
            #5 0.113 main.c:3:1: error: expected ;
            #5 ERROR: process "/bin/sh -c echo compiling && exit 2" did not complete successfully: exit code: 2
            #6 CANCELED
            ------
             > [3/3] RUN echo compiling &&     echo 'main.c:3:1: error: expected ;' >&2 &&     exit 2:
            0.112 compiling
            0.113 main.c:3:1: error: expected ;
            ------
            Dockerfile.shell:5
            --------------------
               4 |     COPY busybox /bin/sh
               5 | >>> RUN echo compiling && \\
               6 | >>>     echo 'main.c:3:1: error: expected ;' >&2 && \\
            --------------------
            ERROR: failed to build: failed to solve: process "/bin/sh -c echo compiling && exit 2" did not complete successfully: exit code: 2
            """.split(separator: "\n").map(String.init)
        let recipe = EngineBuild(nil, context: "/home/ann/shop/ctx", dockerfile: "/home/ann/shop/ctx/Dockerfile.shell")
        let failure = BuildFailure(
            image: "web", recipe: recipe, engine: ContainerEngine(.docker),
            dockerfile: try BuildRecording.dockerfile("shell")
        ).explain(.exited(1), lines)
        #expect(failure.summary.hasPrefix("image web: Dockerfile.shell:5: RUN echo compiling"))
        #expect(failure.summary.hasSuffix(": exit code 2"))
        #expect(failure.details == ["compiling", "main.c:3:1: error: expected ;"])
    }
}

@Suite("Why a push failed") struct PushFailureTests {
    private static let programs = ["docker", "podman", "buildah"]
    private static let causes: [(name: String, reference: String, cause: String, isPassing: Bool)] = [
        ("auth", "127.0.0.1:5872/web:a", "127.0.0.1:5872 wants a login", false),
        ("readonly", "127.0.0.1:5873/web:a", "the registry at 127.0.0.1:5873 is read-only", false),
        ("down", "127.0.0.1:1/web:a", "nothing listens at 127.0.0.1:1", true),
        ("nohost", "nothere.invalid/web:a", "the name nothere.invalid is not known here", false),
    ]

    @Test("the cause is named, and tried again where that may help", arguments: causes.indices, programs)
    func cause(number: Int, program: String) throws {
        let (name, reference, cause, isPassing) = PushFailureTests.causes[number]
        let recording = "push-\(program)-\(name)"
        let (status, lines) = try BuildRecording.read(recording)
        let failure = PushFailure(image: "web", reference: reference, engine: BuildRecording.engine(recording))
        let host = reference.prefix { $0 != "/" }
        #expect(failure.explain(status, lines).summary == "image web cannot be pushed to \(host): \(cause)")
        #expect(failure.explain(status, lines).nextStep != nil)
        // Podman and buildah themselves wait for a registry to come back.
        #expect(failure.attempts(lines) == (isPassing && program == "docker" ? 4 : 1))
    }

    @Test("encryption that the registry does not have says how to do without", arguments: ["podman", "buildah"])
    func encryption(program: String) throws {
        let (status, lines) = try BuildRecording.read("push-\(program)-tls")
        let failure = PushFailure(
            image: "web", reference: "127.0.0.1:5871/web:a", engine: BuildRecording.engine(program)
        ).explain(status, lines)
        #expect(failure.summary.hasSuffix("127.0.0.1:5871 speaks plain HTTP, not HTTPS"))
        #expect(failure.nextStep?.contains("insecure = true") == true)
    }

    @Test("a certificate that is not trusted says where docker is told")
    func certificate() throws {
        let (status, lines) = try BuildRecording.read("push-docker-http")
        let failure = PushFailure(
            image: "web", reference: "10.0.0.53:5871/web:a", engine: ContainerEngine(.docker)
        ).explain(status, lines)
        #expect(failure.summary.hasSuffix("the certificate of 10.0.0.53:5871 is not trusted here"))
        #expect(failure.nextStep?.contains("insecure-registries") == true)
    }
}
