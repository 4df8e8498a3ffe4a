import Glibc
import OCI
import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

/// Programs that push by themselves: buildah, in a script, to a real registry.
@Suite(
    "Images by any command", .serialized, .turn,
    .enabled(if: TestEngine.buildah.obstacle == nil, "buildah and docker-registry are needed")
) struct CommandBuilderTests {
    /// Builds and pushes what is in the folder, under the name that it is told.
    private static let script = """
        set -e
        echo "building $LOOPD_IMAGE with $1 and token $API_TOKEN"
        test "$1" = "$LOOPD_IMAGE"
        buildah build --layers --tag "$LOOPD_IMAGE" .
        buildah push --tls-verify=false "$LOOPD_IMAGE"
        """

    private func builder(
        _ fixture: EngineFixture, _ script: String, alias: String? = nil, engine: ContainerEngine? = nil,
        access: ImageAccess = ImageAccess.live()
    ) -> CommandBuilder {
        let environment = fixture.engine.environment.merging(["API_TOKEN": "t0ken-value"]) { $1 }
        let recipe = ImageCommand(
            ["sh", "-c", script, "sh", "${image}"], directory: fixture.tree.path, environment: environment)
        return CommandBuilder(
            image: Image("acme/web", .command(recipe), alias: alias), command: recipe,
            turns: BuildTurns(of: "acme/web", in: fixture.tree.path, stateDirectory: fixture.tree.path), engine: engine,
            access: access,
            leash: EngineFixture.leash)
    }

    private func tags(_ fixture: EngineFixture) async throws -> [String] {
        try await Registry(fixture.registry.name).tags(in: "acme/web").sorted()
    }

    @Test("what the program has pushed gets a tag by its content, and its temporary one goes away")
    func content() async throws {
        try await EngineFixture.run(.buildah) { fixture in
            try fixture.write("COPY page /page\n", ["page": "one"])
            let first = try await fixture.build(builder(fixture, CommandBuilderTests.script, alias: "dev"))
            let tag = ImageName(first.reference).reference
            #expect(first.reference == "registry.inside:5000/acme/web:\(tag)")
            #expect(try await tags(fixture) == ["dev", tag].sorted())
            #expect(try await fixture.digest("dev") == fixture.digest(tag))
            #expect(!fixture.printed.contains("t0ken-value"))

            let again = try await fixture.build(builder(fixture, CommandBuilderTests.script, alias: "dev"))
            #expect(again.reference == first.reference)
            #expect(again.isUnchanged)
            #expect(try await fixture.digest(tag) != nil)

            try fixture.tree.write("page", "two")
            let second = try await fixture.build(builder(fixture, CommandBuilderTests.script, alias: "dev"))
            #expect(second.reference != first.reference)
            #expect(try await tags(fixture) == ["dev", tag, ImageName(second.reference).reference].sorted())
        }
    }

    @Test("a program that pushes nothing, or fails, or is not there, is told apart")
    func failures() async throws {
        try await EngineFixture.run(.buildah) { fixture in
            let nothing = try await fixture.failure(builder(fixture, "true"))
            #expect(
                nothing.summary.hasPrefix(
                    "image acme/web: sh -c true sh ${image} has ended well, but the registry has no"))
            #expect(nothing.nextStep?.contains("LOOPD_IMAGE") == true)

            let failed = try await fixture.failure(builder(fixture, "echo no rule for $API_TOKEN >&2; exit 7"))
            #expect(failed.summary.hasSuffix(": exit code 7"))
            #expect(failed.details == ["no rule for ***"])

            let recipe = ImageCommand(["loopd-no-such-program", "${image}"], directory: fixture.tree.path)
            let missing = try await fixture.failure(
                CommandBuilder(
                    image: Image("acme/web", .command(recipe)), command: recipe,
                    turns: BuildTurns(of: "acme/web", in: fixture.tree.path, stateDirectory: fixture.tree.path),
                    engine: nil,
                    access: ImageAccess.live(), leash: EngineFixture.leash))
            #expect(missing.summary == "image acme/web: there is no program loopd-no-such-program")
        }
    }

    @Test("without a registry the engine has what the program has built")
    func nodes() async throws {
        try await EngineFixture.run(.buildah) { fixture in
            try fixture.write("COPY page /page\n", ["page": "one"])
            let loaded = Mutex<[String]>([])
            var access = ImageAccess.live()
            access.load = { reference, _, _ in
                loaded.withLock { $0.append(reference) }
                return false
            }
            let script = "buildah build --layers --tag \"$LOOPD_IMAGE\" ."
            let built = try await fixture.build(
                builder(fixture, script, engine: fixture.engine, access: access), to: .nodes(.k3s))
            #expect(loaded.withLock(\.self) == ["docker.io/\(built.reference)"])

            let thrown = await #expect(throws: LoopFailure.self) {
                try await fixture.build(builder(fixture, "true", engine: fixture.engine), to: .nodes(.k3s))
            }
            #expect(thrown?.failure.summary.contains("has ended well, but buildah has no docker.io/acme/web:") == true)
            let none = await #expect(throws: LoopFailure.self) {
                try await fixture.build(builder(fixture, "true"), to: .nodes(.k3s))
            }
            #expect(none?.failure.summary.contains("neither a registry to push it to nor an engine") == true)
        }
    }
}
