import Testing
import Watcher

@testable import LoopServer

@Suite("Rules that deploy") struct DeployRulesTests {
    private func service(_ name: String, _ rules: [([String], Deployment)]) throws -> Service {
        var service = Service(name: name, root: "/p/\(name)")
        service.rules = try rules.map { watch, deployment in
            Rule(watch: try watch.map { try Glob($0) }, action: .deploy(deployment))
        }
        return service
    }

    @Test("manifests and kustomizations of a service are one set, each chart is one of its own, and Nix has its own")
    func entries() throws {
        let web = try service(
            "web",
            [
                (["k8s/**"], Deployment(.manifests(["/p/web/k8s"]))), (["o/**"], Deployment(.kustomize("/p/web/o"))),
                (["chart/**"], Deployment(.helm(HelmRelease("/p/web/chart", name: "web")))),
            ])
        let rules = DeployRules([web, try service("empty", [])], project: "/p")
        #expect(rules.entries.map(\.rules) == [[0, 1], [2]])
        #expect(rules.entries[0].release == nil && rules.entries[1].release?.name == "web")
        #expect(
            ManifestSources(rules.entries[0].deployments, project: "/p").places
                == [.files("/p/web/k8s"), .kustomization("/p/web/o")])
    }

    @Test("a change asks for the deployments that watch it, and a folder to be looked through for all in it")
    func changes() throws {
        let web = try service("web", [(["k8s/**"], Deployment(.manifests(["/p/web/k8s"])))])
        let api = try service("api", [(["chart/**"], Deployment(.helm(HelmRelease("/p/api/chart", name: "api"))))])
        let rules = DeployRules([web, api], project: "/p")
        func entries(_ paths: [String], rescan: [String] = []) -> [Int] {
            rules.entries(
                for: ChangeSet(
                    paths: Set(paths.map { RelativePath($0) }), rescan: Set(rescan.map { RelativePath($0) }),
                    firstEvent: 0))
        }
        #expect(entries(["web/k8s/a.yaml"]) == [0])
        #expect(entries(["web/README"]) == [])
        #expect(entries(["web/k8s/a.yaml", "api/chart/values.yaml"]) == [0, 1])
        #expect(entries([], rescan: ["web"]) == [0])
        #expect(entries([], rescan: [""]) == [0, 1])
    }
}
