import OCI
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("The engine that nodes share", .turn) struct EngineStoreTests {
    @Test(
        "old images go that nothing uses and that this project has made; a builder leaves them to the pruner",
        arguments: TestEngine.usable.filter { $0 == .classic })
    func prunes(engine: TestEngine) async throws {
        try await EngineFixture.run(engine) { fixture in
            let store = EngineStore(engine: fixture.engine, leash: EngineFixture.leash)
            let home = ImageHome.nodes(.shared(context: "docker-desktop"))
            let used = Mutex<Set<String>>([])
            let pruner = ImagePruner(
                PushedTags(path: nil), registry: { _ in store }, isPrivate: { EngineStore.isStore($0) },
                used: { used.withLock { $0 } }
            ) { _ in }
            var tags: [String] = []
            for number in 1...12 {
                try fixture.write("COPY page /page\n", ["page": "\(number)"])
                // The first one is somebody else's.
                let built =
                    if number == 1 {
                        try await fixture.build(fixture.builder(), to: home)
                    } else {
                        try await fixture.build(
                            PrunedBuilder(builder: fixture.builder(), name: "acme/web", pruner: pruner), to: home)
                    }
                tags.append(try #require(ImageName(built.reference).tag))
            }
            let place = EngineStore.repository(of: "acme/web", context: "docker-desktop")
            #expect(place == "engine:docker-desktop/docker.io/acme/web")
            #expect(try await Set(store.tags(in: "docker.io/acme/web")) == Set(tags))
            used.withLock { $0 = [tags[2]] }
            let gone = Set(tags[1..<7]).subtracting([tags[2]])
            #expect(await Set(pruner.prune(place)) == gone)
            #expect(try await Set(store.tags(in: "docker.io/acme/web")) == Set(tags).subtracting(gone))
        }
    }
}
