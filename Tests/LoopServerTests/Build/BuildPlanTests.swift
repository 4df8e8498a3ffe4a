import Testing
import Watcher

@testable import LoopServer

@Suite("Which builds a change asks for") struct BuildPlanTests {
    /// Two services of one workspace, and a third with a build of its own.
    private func plan() throws -> BuildPlan {
        let text = """
            {
              "builds": {
                "workspace": {"run": ["make"], "watch": ["crates/**"]},
                "unused": {"run": ["make"], "watch": ["**"]},
              },
              "services": {
                "one": {"workload": "deployment/one", "rules": [
                  {"watch": ["assets/**"], "sync": {"to": "/assets"}},
                  {"build": "workspace", "sideload": {"from": "target/one", "to": "/bin/one"}}]},
                "two": {"workload": "deployment/two", "rules": [
                  {"build": "workspace", "sideload": {"from": "target/two", "to": "/bin/two"}}]},
                "three": {"workload": "deployment/three", "root": "three", "rules": [
                  {"watch": ["src/**", "bin/**"], "build": ["go", "build"],
                   "sideload": {"from": "bin/three", "to": "/bin/"}}]},
              },
            }
            """
        let (configuration, problems) = Configuration.parse(
            Array(text.utf8), file: "loop.json", directory: "/project")
        #expect(problems.isEmpty, "\(problems)")
        let checked = try #require(configuration)
        let plans = checked.services.map { ServicePlan($0, project: checked.directory) }
        return BuildPlan(checked.builds, plans: plans, project: checked.directory)
    }

    @Test(
        "a change builds what is made from it, once for all services",
        arguments: [
            ("crates/a/lib.rs", ["workspace"]), ("assets/x.css", []), ("three/src/main.go", ["three/rules[0]"]),
            ("src/main.go", []), ("target/one", []), ("three/bin/three", []), ("three/bin/other", ["three/rules[0]"]),
            ("readme", []),
        ])
    func triggers(path: String, names: [String]) throws {
        let plan = try plan()
        let needed = plan.builds(for: ChangeSet(paths: [RelativePath(path)]))
        #expect(needed.map { plan.builds[$0].name }.sorted() == names)
    }

    @Test(
        "a folder that is looked at as a whole builds what can lie in it or around it",
        arguments: [
            ("", ["three/rules[0]", "workspace"]), ("crates/a", ["workspace"]), ("three", ["three/rules[0]"]),
            ("docs", []),
        ])
    func rescans(folder: String, names: [String]) throws {
        let plan = try plan()
        let needed = plan.builds(for: ChangeSet(paths: [], rescan: [RelativePath(folder)]))
        #expect(needed.map { plan.builds[$0].name }.sorted() == names)
    }

    @Test("each service gets what its own rules name")
    func consumers() throws {
        let plan = try plan()
        let shared = try #require(plan.builds.firstIndex { $0.name == "workspace" })
        #expect(plan.plans(using: shared) == [0, 1])
        #expect(plan.services(using: shared) == ["one", "two"])
        #expect(plan.rules(of: 0, using: shared) == [1])
        #expect(plan.rules(of: 1, using: shared) == [0])
        #expect(plan.rules(of: 2, using: shared).isEmpty)
        #expect(!plan.builds.contains { $0.name == "unused" })
    }
}
