@testable import LoopServer
import Testing

@Suite("What a session knows of the names of images", .turn) struct RegistryClueTests {
    private func session(playground: String? = nil) throws -> SessionRun {
        let text = """
            {"registry": "configured:5000", "services": {"web": {"workload": "deployment/web", "rules": [{"image": {"name": "web"}}]}}}
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty, "\(problems)")
        var options = Session.Options(stateDirectory: "/tmp", programs: Programs.find())
        options.registry = playground
        return SessionRun(configuration: try #require(configuration), options: options) { _ in }
    }

    @Test("the names of a registry that was found count from then on, and before that the configured ones")
    func found() async throws {
        let images = ImageSet()
        let clues = try session().clues(images)
        #expect(await clues() == RegistryClues(names: RegistryNames(push: "configured:5000")))
        let names = RegistryNames(push: "localhost:5000", pull: "k3d-registry.localhost:5000")
        await images.set("web", to: "k3d-registry.localhost:5000/web:1", in: .registry(names))
        #expect(await clues() == RegistryClues(names: names))
    }

    @Test("the playground's nodes know no registry but its own")
    func playground() async throws {
        let own = "127.0.0.1:5005"
        let clues = try session(playground: own).clues(ImageSet())
        #expect(await clues() == RegistryClues(names: RegistryNames(push: own), playground: own))
    }
}
