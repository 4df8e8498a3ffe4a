import Testing
import Watcher

@testable import LoopServer

@Suite("Which images a change asks for", .turn) struct ImagePlanTests {
    /// A Dockerfile with synced files, layers with and without a build on a base of their own, and one who only runs.
    private func configuration() throws -> Configuration {
        let text = """
            {
              "builds": {"all": {"run": ["make"], "watch": ["src/**"]}, "other": {"run": ["make"], "watch": ["other/**"]}},
              "services": {
                "web": {"root": "web", "workload": "deployment/web", "container": "app", "rules": [
                  {"watch": ["static/**", "*.css"], "sync": {"to": "/static"}},
                  {"image": {"name": "acme/web"}}]},
                "api": {"workload": "deployment/api", "rules": [
                  {"watch": ["deps/**"], "image": {"name": "api-base", "context": "deps"}},
                  {"build": "all", "image": {"base": "api-base", "container": "main", "files": {"from": "out/api", "to": "/api"}}},
                  {"watch": ["assets/**"], "image": {"to": "/assets"}},
                  {"watch": ["tool/**"], "build": ["cc"], "image": {"files": {"from": "tool/out", "to": "/tool"}}}]},
                "worker": {"workload": "deployment/worker", "rules": [
                  {"image": "api"}, {"build": "other", "sideload": {"from": "out/worker", "to": "/worker"}}]},
              },
            }
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty, "\(problems)")
        return try #require(configuration)
    }

    private func plan(chosen: Set<String>? = nil) throws -> ImagePlan {
        let configuration = try configuration()
        return ImagePlan(configuration.services, chosen: chosen, project: configuration.directory)
    }

    private func names(_ plan: ImagePlan, _ numbers: Set<Int>) -> [String] {
        numbers.map { plan.entries[$0].name }.sorted()
    }

    @Test("each image has its owner, its rules, its builds and those who run it")
    func entries() throws {
        let plan = try plan()
        #expect(plan.entries.map(\.name) == ["acme/web", "api-base", "api"])
        #expect(plan.entries.map(\.owner.name) == ["web", "api", "api"])
        #expect(plan.entries.map(\.rules) == [[1], [0], [1, 2, 3]])
        #expect(plan.entries.map(\.builds) == [[], [], ["all", "api/rules[3]"]])
        #expect(plan.entries.map(\.base) == [nil, nil, 1])
        #expect(plan.entries.map { $0.layers.map(\.rule) } == [[], [], [1, 2, 3]])
        let users = plan.entries.map { $0.users.map { "\($0.service.name)/\($0.container ?? "-")" } }
        #expect(users == [["web/app"], [], ["api/main", "worker/-"]])
    }

    @Test("services that were not chosen build what a chosen one runs, and are not rolled out")
    func chosen() throws {
        let worker = try plan(chosen: ["worker"])
        #expect(worker.entries.map(\.name) == ["api-base", "api"])
        #expect(worker.entries[1].users.map(\.service.name) == ["worker"])
        let web = try plan(chosen: ["web"])
        #expect(web.entries.map(\.name) == ["acme/web"])
        #expect(try plan(chosen: []).entries.isEmpty)
    }

    @Test(
        "the first rule that matches a path takes it; files of builds and what is appended to another image wait",
        arguments: [
            (["web/Dockerfile"], ["acme/web"]),
            (["web/static/a.css"], []),
            (["web/a.css", "web/main.py"], ["acme/web"]),
            (["web/a.css", "assets/x"], ["api"]),
            (["deps/list"], ["api-base"]),
            (["deps/list", "assets/x"], ["api-base"]),
            (["src/main.c"], []), (["out/api"], []), (["tool/main.c"], []), (["tool/out"], []), (["readme"], []),
        ])
    func paths(paths: [String], expected: [String]) throws {
        let plan = try plan()
        let changes = ChangeSet(paths: Set(paths.map { RelativePath($0) }))
        #expect(names(plan, plan.images(for: changes)) == expected)
    }

    @Test(
        "a folder that is looked at as a whole asks for what can lie in it and no earlier rule takes",
        arguments: [
            ("", ["acme/web", "api-base"]), ("web", ["acme/web"]), ("web/static/new", []), ("web/lib", ["acme/web"]),
            ("assets/deep", ["api"]), ("tool", []), ("docs", []),
        ])
    func rescans(folder: String, expected: [String]) throws {
        let plan = try plan()
        let changes = ChangeSet(paths: [], rescan: [RelativePath(folder)])
        #expect(names(plan, plan.images(for: changes)) == expected)
    }

    /// A service whose image two containers run, one with a base of its own, and images that only texts name.
    private static let shared = """
        {
          "builds": {"all": {"run": ["make"], "watch": ["src/**"]}},
          "services": {
            "web": {"workload": "deployment/web",
              "host": {"command": ["w"], "build": "all", "env": {"IMAGE": "${image:task}"}},
              "rules": [
                {"watch": ["deps/**"], "image": {"name": "web-base", "context": "deps"}},
                {"build": "all",
                 "image": {"name": "web", "base": "web-base", "files": {"from": "out", "to": "/web"}}}]},
            "api": {"workload": "deployment/api", "host": {"command": ["a"]}, "rules": [
              {"watch": ["api/**"], "image": {"name": "api", "context": "api"}}]},
            "worker": {"workload": "deployment/worker", "rules": [{"image": "api"}],
              "dev": {"env": {"TASK": "${image:task}"}}},
            "tasks": {"rules": [{"watch": ["task/**"], "image": {"name": "task", "context": "task"}}]},
            "other": {"manifests": ["other.yaml"], "rules": [
              {"watch": ["other/**"], "image": {"name": "other", "context": "other"}}]},
          },
        }
        """

    @Test(
        "an image rests while all who run it run on this machine, unless one of their programs names it",
        arguments: [
            ([], [], ["web-base", "web", "api", "task", "other"], []),
            (["web"], ["web"], ["web-base", "web", "task"], ["web-base", "web"]),
            (["web"], [], ["web-base", "web", "api", "task", "other"], ["web-base", "web"]),
            (["api"], [], ["web-base", "web", "api", "task", "other"], []),
            (["api"], ["api"], ["api"], ["api"]),
            (["api"], ["api", "worker"], ["api", "task"], []),
        ])
    func resting(hosts: [String], running: [String], built: [String], resting: [String]) async throws {
        let (parsed, problems) = Configuration.parse(Array(Self.shared.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty, "\(problems)")
        var choice = HostChoice()
        choice.services = hosts
        let configuration = try #require(parsed).hosting(choice, running: running)
        let plan = ImagePlan(
            configuration.services, chosen: running.isEmpty ? nil : Set(running), project: configuration.directory)
        #expect(plan.entries.map(\.name) == built)
        #expect(plan.entries.filter(\.isResting).map(\.name) == resting)
        // A service that runs here does not keep its image from those that it is not the only one of.
        if let api = plan.entries.firstIndex(where: { $0.name == "api" }) {
            #expect(plan.images(for: ChangeSet(paths: [RelativePath("api/x")])) == [api])
        }
        let set = ImageSet()
        for entry in plan.entries {
            #expect(await set.isDue(entry))
            await set.set(entry.name, to: "registry/\(entry.name):1")
            #expect(await set.isDue(entry) == !resting.contains(entry.name))
        }
    }

    @Test("an image waits for the builds that the same change starts, and then follows them")
    func builds() throws {
        let (plan, configuration) = (try plan(), try configuration())
        let lanes = configuration.services.flatMap { ServicePlan.parts(of: $0, project: "/p") }
        let builds = BuildPlan(configuration.builds, plans: lanes, images: plan, project: "/p")
        #expect(builds.builds.map(\.name) == ["all", "other", "api/rules[3]"])
        func asked(_ paths: String...) -> [String] {
            builds.builds(for: ChangeSet(paths: Set(paths.map { RelativePath($0) }))).map { builds.builds[$0].name }
                .sorted()
        }
        #expect(asked("src/a.c") == ["all"])
        #expect(asked("tool/a.c") == ["api/rules[3]"])
        #expect(asked("tool/out", "out/api", "web/x", "assets/x") == [])
        #expect(
            builds.builds(for: ChangeSet(paths: [], rescan: [RelativePath("tool")])).map { builds.builds[$0].name }
                == ["api/rules[3]"])
        #expect(builds.services(using: 0) == ["api"])
        #expect(builds.plans(using: 0).isEmpty)
        let changes = ChangeSet(paths: [RelativePath("src/a.c"), RelativePath("assets/x"), RelativePath("web/x")])
        #expect(names(plan, plan.images(for: changes, building: ["all"])) == ["acme/web"])
        #expect(names(plan, plan.images(after: "all")) == ["api"])
        #expect(names(plan, plan.images(on: 1)) == ["api"])
    }
}
