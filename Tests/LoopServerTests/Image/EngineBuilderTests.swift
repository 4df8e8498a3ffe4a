import Glibc
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

/// Builds with the real programs, pushed to a real registry.
@Suite("Images from Dockerfiles", .serialized, .turn) struct EngineBuilderTests {
    @Test(
        "the same content keeps its tag and does not travel; another content gets another one",
        arguments: TestEngine.usable)
    func content(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("COPY page /page\nCMD [\"/bin/busybox\"]\n", ["page": "one"])
            let first = try await fixture.build(fixture.builder(alias: "dev"))
            #expect(first.reference.wholeMatch(of: /registry\.inside:5000\/acme\/web:loopd-[0-9a-f]{16}/) != nil)
            #expect(!first.isUnchanged)
            let tag = ImageName(first.reference).reference
            let digest = try await fixture.digest(tag)
            #expect(digest != nil)
            #expect(try await fixture.digest("dev") == digest)

            let files = fixture.registry.files
            let again = try await fixture.build(fixture.builder(alias: "dev"))
            #expect(again == BuiltImage(reference: first.reference, bytesSent: 0, isUnchanged: true))
            #expect(fixture.registry.files == files)

            try fixture.tree.write("page", "two")
            let second = try await fixture.build(fixture.builder(alias: "dev"))
            #expect(second.reference != first.reference)
            let newest = try await fixture.digest(ImageName(second.reference).reference)
            #expect(newest != digest)
            #expect(try await fixture.digest("dev") == newest)
            #expect(try await fixture.digest("latest") == nil)

            // Back to what the registry has: the alias follows without a push.
            try fixture.tree.write("page", "one")
            let back = try await fixture.build(fixture.builder(alias: "dev"))
            if back.reference == first.reference { #expect(back.isUnchanged) }
            #expect(try await fixture.digest("dev") == fixture.digest(ImageName(back.reference).reference))
        }
    }

    @Test("a step that fails is named by file and line, with what it said", arguments: TestEngine.running)
    func failing(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("RUN echo fine\nRUN echo 'no rule to make target' >&2; exit 3\n")
            let failure = try await fixture.failure(fixture.builder())
            #expect(
                failure.summary
                    == "image acme/web: Dockerfile:5: RUN echo 'no rule to make target' >&2; exit 3: exit code 3")
            #expect(failure.details == ["no rule to make target"])
            #expect(fixture.printed.contains("no rule to make target"))
            #expect(!fixture.printed.contains("DEPRECATED"))
        }
    }

    @Test("a file that is not in the context is named with the line that wants it", arguments: TestEngine.usable)
    func missing(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("COPY absent.txt /\n")
            let failure = try await fixture.failure(fixture.builder())
            #expect(failure.summary.hasPrefix("image acme/web: Dockerfile:4: COPY absent.txt /: absent.txt is not in"))
        }
    }

    @Test("a base image of the registry is used; one that is not there is named", arguments: TestEngine.usable)
    func base(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("")
            let base = try await fixture.build(fixture.builder())
            let tag = ImageName(base.reference).reference
            try fixture.tree.write(
                "Dockerfile", "ARG TAG\nFROM \(fixture.registry.name)/acme/web:${TAG}\nCOPY Dockerfile /\n")
            _ = try await fixture.build(fixture.builder { $0.arguments = ["TAG": tag] })
            let failure = try await fixture.failure(fixture.builder { $0.arguments = ["TAG": "gone"] })
            #expect(
                failure.summary
                    == "image acme/web: Dockerfile:2: the base image \(fixture.registry.name)/acme/web:gone cannot be pulled: "
                    + "\(fixture.registry.name) does not have it")
        }
    }

    @Test("arguments, target and further contexts reach the build", arguments: TestEngine.running)
    func recipe(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write(
                "ARG GREETING\nRUN test \"$GREETING\" = 'hello there'\nFROM scratch AS other\nCOPY absent /\n")
            try fixture.tree.write(
                "Dockerfile",
                "FROM scratch AS one\nCOPY busybox /bin/sh\nARG GREETING\nRUN test \"$GREETING\" = 'hello there'\n"
                    + (engine == .classic ? "" : "COPY --from=more file /file\n")
                    + "FROM scratch AS two\nCOPY absent /\n")
            let more = try ScratchPath()
            try more.write("file", "content")
            _ = try await fixture.build(
                fixture.builder {
                    $0.arguments = ["GREETING": "hello there"]
                    $0.target = "one"
                    if engine != .classic { $0.contexts = ["more": more.path] }
                })
        }
    }

    @Test("secrets are in no output and no command line", arguments: TestEngine.withSecrets)
    func secrets(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            let token = "t0ken-\(UInt64.random(in: .min ... .max))"
            let key = "key-\(UInt64.random(in: .min ... .max))"
            try fixture.tree.write("../\(fixture.tree.path.split(separator: "/").last ?? "")/id.key", key)
            try fixture.write(
                "ARG API_TOKEN\n"
                    + "RUN --mount=type=secret,id=tok --mount=type=secret,id=key "
                    + "cat /run/secrets/tok /run/secrets/key; echo; echo $API_TOKEN; exit 4\n")
            var inherited = ProcessEnvironment.inherited
            inherited["MY_TOKEN"] = token
            let failure = try await fixture.failure(
                fixture.builder(inherited: inherited) {
                    $0.secrets = ["tok": .environment("MY_TOKEN"), "key": .file("\(fixture.tree.path)/id.key")]
                    $0.arguments = ["API_TOKEN": "arg-\(token)"]
                })
            #expect(failure.details.contains("******"), "\(failure)")
            for text in [fixture.printed, "\(failure)"] {
                #expect(!text.contains(token))
                #expect(!text.contains(key))
            }
            let lines = try await commandLines(of: fixture, inherited: inherited) {
                $0.secrets = ["tok": .environment("MY_TOKEN")]
                $0.arguments = ["API_TOKEN": "arg-\(token)", "SSH_PRIVATE_KEY": token, "REGISTRY_PASSWORD": token]
            }
            #expect(lines.contains { $0.contains("SSH_PRIVATE_KEY") })
            #expect(!lines.contains { $0.contains(token) })
        }
    }

    /// The command lines of all processes while a step of a build runs.
    private func commandLines(
        of fixture: EngineFixture, inherited: [String: String], _ change: (inout EngineBuild) -> Void
    ) async throws -> [String] {
        let mark = "\(Int.random(in: 100_000...999_999))"
        try fixture.write("RUN [\"/bin/busybox\", \"sleep\", \"\(mark)\"]\n")
        let builder = fixture.builder(inherited: inherited, change)
        let building = Task { try await fixture.build(builder) }
        defer { building.cancel() }
        return try await within(.seconds(60), "the step runs", state: { fixture.printed }) {
            while true {
                let lines = ProcessTable.now().entries.values.map(\.command)
                if lines.contains(where: { $0.hasPrefix("/bin/busybox sleep \(mark)") }) { return lines }
                try await Task.sleep(for: .milliseconds(20))
            }
        }
    }

    @Test("a secret that is not there is said before anything starts")
    func missingSecret() async throws {
        let tree = try ScratchPath()
        try tree.write("Dockerfile", "FROM scratch\n")
        var recipe = EngineBuild(nil, context: tree.path, dockerfile: "\(tree.path)/Dockerfile")
        recipe.secrets = ["npm": .environment("LOOPD_NO_SUCH_VARIABLE")]
        #expect(
            await refusal(recipe)
                == "image web: the variable LOOPD_NO_SUCH_VARIABLE, which its secret npm comes from, is not set")
        recipe.secrets = ["npm": .file("/no/such/file")]
        #expect(await refusal(recipe) == "image web: the file of its secret npm, /no/such/file, cannot be read")
        recipe.secrets = [:]
        recipe.arguments = ["SSH_PRIVATE_KEY": "a", "SSH_AUTH_SOCK": "/x"]
        #expect(
            await refusal(recipe)
                == "image web: its build argument SSH_AUTH_SOCK looks like a secret, but docker goes by it itself: it would be in the command line"
        )
        recipe.arguments = [:]
        recipe.dockerfile = "\(tree.path)/Dockerfile.absent"
        #expect(await refusal(recipe) == "image web: there is no \(tree.path)/Dockerfile.absent")
        recipe.dockerfile = tree.path
        #expect(await refusal(recipe) == "image web: \(tree.path) is not a file that can be read")
        recipe.context = "/no/such/folder"
        #expect(await refusal(recipe) == "image web: there is no folder /no/such/folder to be its build context")
    }

    private func refusal(_ recipe: EngineBuild) async -> String? {
        // A program that would do something is not started.
        let builder = EngineBuilder(
            image: Image("web", .engine(recipe)), build: recipe, engine: ContainerEngine(.docker),
            access: ImageAccess.live(), leash: "/no/such/leash")
        let thrown = await #expect(throws: LoopFailure.self) {
            try await builder.build(to: .nodes(.k3s)) { _ in }
        }
        return thrown?.failure.summary
    }

    @Test("a cancelled build leaves no process behind", arguments: TestEngine.running)
    func cancelled(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            let mark = "\(Int.random(in: 100_000...999_999))"
            try fixture.write("RUN [\"/bin/busybox\", \"sleep\", \"\(mark)\"]\n")
            let building = Task { try await fixture.build(fixture.builder()) }
            defer { building.cancel() }
            let sleeper = try await within(.seconds(60), "the step runs", state: { fixture.printed }) {
                while true {
                    // The builder and its helpers have the step in their own arguments, too.
                    let found = ProcessTable.now().entries.values.first {
                        $0.command.hasPrefix("/bin/busybox sleep \(mark)")
                    }
                    if let found { return found }
                    try await Task.sleep(for: .milliseconds(20))
                }
            }
            building.cancel()
            _ = await building.result
            try await within(.seconds(30), "the step has ended") { try await sleeper.ended() }
            let left = ProcessTable.now().entries.values.filter { $0.command.contains(fixture.tree.path) }
            #expect(left.map(\.command) == [])
        }
    }

    @Test("a registry that is restarted during a push gets the image all the same", arguments: TestEngine.usable)
    func restarted(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("CMD [\"/bin/busybox\"]\n")
            let live = ImageAccess.live()
            let resumed = Mutex<Task<DockerRegistry, any Error>?>(nil)
            var access = live
            access.digest = { reference in
                let isFirst = resumed.withLock { $0 == nil }
                guard isFirst else { return try await live.digest(reference) }
                // Nothing listens when the push begins.
                await fixture.registry.pause()
                resumed.withLock { task in
                    task = Task {
                        try await Task.sleep(for: .milliseconds(200))
                        return try await fixture.registry.resume()
                    }
                }
                return nil
            }
            let built = try await fixture.build(fixture.builder(access: access))
            #expect(!built.isUnchanged)
            #expect(try await fixture.digest(ImageName(built.reference).reference) != nil)
            try await resumed.withLock(\.self)?.value.pause()
        }
    }

    @Test("a registry that is not there is named, after a few attempts", arguments: TestEngine.usable)
    func unreachable(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("CMD [\"/bin/busybox\"]\n")
            var access = ImageAccess.live()
            access.digest = { _ in nil }
            await fixture.registry.pause()
            let failure = try await fixture.failure(fixture.builder(access: access))
            #expect(
                failure.summary
                    == "image acme/web cannot be pushed to \(fixture.registry.name): nothing listens at \(fixture.registry.name)"
            )
        }
    }

    @Test("of loopd's own tags the engine keeps the last few", arguments: TestEngine.usable)
    func old(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("COPY page /page\n", ["page": "0"])
            var newest = ""
            for number in 1...6 {
                try fixture.tree.write("page", "\(number)")
                newest = ImageName(try await fixture.build(fixture.builder()).reference).reference
            }
            let tags = try await fixture.tags()
            #expect(tags.count == EngineDelivery.kept + 1, "\(tags)")
            #expect(tags.contains { $0.hasSuffix(":\(newest)") })
        }
    }

    @Test("without a registry the image gets its whole name, and goes to the nodes", arguments: TestEngine.usable)
    func nodes(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            try fixture.write("CMD [\"/bin/busybox\"]\n")
            let loaded = Mutex<[String]>([])
            var access = ImageAccess.live()
            access.load = { reference, _, _ in
                loaded.withLock { $0.append(reference) }
                return false
            }
            let built = try await fixture.build(fixture.builder(alias: "dev", access: access), to: .nodes(.k3s))
            let tag = try #require(ImageName(built.reference).tag)
            #expect(built.reference == "acme/web:\(tag)")
            let names = loaded.withLock(\.self)
            #expect(names == ["docker.io/acme/web:\(tag)", "docker.io/acme/web:dev"])
            let delivery = EngineDelivery(
                image: Image("acme/web", nil), engine: fixture.engine, access: access, leash: EngineFixture.leash)
            for name in names {
                let id = try await delivery.id(of: name)
                #expect(id.map { ImageHome.tag(ofHex: String($0.dropFirst(7))) } == tag)
            }
        }
    }
}
