import Testing
import Watcher

@testable import LoopServer

@Suite("A service's rules for its nodes") struct NodePlanTests {
    private func configuration(_ rules: String) throws -> Configuration {
        let text = """
            {
              "builds": {"workspace": {"run": ["make"], "watch": ["crates/**"]}},
              "services": {"web": {"workload": "daemonset/web", "rules": [\(rules)]}},
            }
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/project")
        #expect(problems.isEmpty, "\(problems)")
        return try #require(configuration)
    }

    private static let sync = #"{"watch": ["app/**"], "sync": {"to": "/srv/app"}}"#
    private static let inContainer = #"{"build": "workspace", "sideload": {"from": "target/web", "to": "/bin/web"}}"#
    private static let onNode = """
        {"build": "workspace", "sideload": [
          {"from": "target/supervisor", "to": "/usr/local/bin/supervisor", "on": "node"},
          {"from": "target/share", "to": "/opt/share", "on": "node"}]}
        """

    private func plans(_ rules: [String]) throws -> [ServicePlan] {
        let configuration = try configuration(rules.joined(separator: ", "))
        return ServicePlan.parts(of: configuration.services[0], project: configuration.directory)
    }

    @Test("containers and nodes have a plan each, with only what goes there")
    func split() throws {
        let plans = try plans([NodePlanTests.sync, NodePlanTests.inContainer, NodePlanTests.onNode])
        #expect(plans.map(\.part) == [.containers, .nodes])
        let (containers, nodes) = (plans[0], plans[1])
        #expect(containers.destinations.map(\.path) == ["/srv/app", "/bin"])
        #expect(containers.outputs.map(\.rule) == [1])
        #expect(nodes.destinations.map(\.path) == ["/usr/local/bin", "/opt"])
        #expect(
            nodes.outputs.map { "\($0.local) \($0.place.path)" } == [
                "target/supervisor supervisor", "target/share share",
            ])
        #expect(nodes.placement(of: RelativePath("app/x")) == nil)
        #expect(containers.placement(of: RelativePath("app/x"))?.rule == 0)
    }

    @Test("a service has only the plans that it needs")
    func needed() throws {
        #expect(try plans([NodePlanTests.sync]).map(\.part) == [.containers])
        #expect(try plans([NodePlanTests.onNode]).map(\.part) == [.nodes])
    }

    @Test("a file that no rule takes is named once, and what goes onto nodes is no such file")
    func overlooked() throws {
        for rules in [[NodePlanTests.sync, NodePlanTests.onNode], [NodePlanTests.onNode]] {
            let plans = try plans(rules)
            #expect(plans.count { $0.isOverlooked(RelativePath("readme")) } == 1)
            #expect(!plans.contains { $0.isOverlooked(RelativePath("target/supervisor")) })
        }
    }

    @Test("a service without rules has no plan: nothing is brought into its pods, and it names no file as overlooked")
    func noRules() {
        let service = #"{"services": {"store": {"workload": "deployment/store", "forward": [6000]}}}"#
        let (configuration, _) = Configuration.parse(Array(service.utf8), file: "loop.json", directory: "/p")
        #expect(configuration?.services.map { ServicePlan.parts(of: $0, project: "/p").count } == [0])
    }

    @Test("a shared build runs once, and each lane gets what is its own")
    func builds() throws {
        let rules = [NodePlanTests.sync, NodePlanTests.inContainer, NodePlanTests.onNode]
        let configuration = try configuration(rules.joined(separator: ", "))
        let plans = ServicePlan.parts(of: configuration.services[0], project: configuration.directory)
        let builds = BuildPlan(configuration.builds, plans: plans, project: configuration.directory)
        #expect(builds.builds(for: ChangeSet(paths: [RelativePath("crates/lib.rs")])) == [0])
        #expect(builds.plans(using: 0) == [0, 1])
        #expect(builds.rules(of: 0, using: 0) == [1])
        #expect(builds.rules(of: 1, using: 0) == [2])
        #expect(builds.services(using: 0) == ["web"])
    }

    @Test("a node's pods restart by themselves: it has no steps")
    func noSteps() throws {
        let rule =
            #"{"watch": ["a"], "build": ["make"], "sideload": {"from": "b", "to": "/opt/b", "on": "node"}, "then": [{"restart": "pod"}]}"#
        #expect(try plans([rule])[0].steps(of: 0) == [])
    }
}
