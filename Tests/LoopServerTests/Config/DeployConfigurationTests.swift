import JSON
import Testing
import Watcher

@testable import LoopServer

@Suite("Deployments in loop.json") struct DeployConfigurationTests {
    private static func deploy(_ members: String) -> String {
        ConfigurationProblemTests.rule("\"deploy\": {\(members)}")
    }

    private static func helm(_ members: String) -> String { deploy("\"helm\": {\(members)}") }

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (deploy(""), ".deploy: neither \"nix\", \"manifests\", \"kustomize\" nor \"helm\" (what is applied"),
        (deploy("\"manifest\": \"k8s\""), ".deploy.manifest: unknown key \"manifest\" (did you mean \"manifests\"?)"),
        (
            deploy("\"manifests\": \"a\", \"kustomize\": \"b\""),
            ".deploy.kustomize: a deployment has \"manifests\" or \"kustomize\", not both (make a service of its own of it)"
        ),
        (
            deploy("\"kustomize\": \"a\", \"kluctl\": {\"target\": \"a\"}"),
            ".deploy.kluctl: \"kluctl\" beside \"kustomize\" (it deploys what \"nix\" builds)"
        ),
        (deploy("\"manifests\": 1"), ".deploy.manifests: an array should be here, not a number"),
        (deploy("\"manifests\": []"), ".deploy.manifests: no file is named"),
        (deploy("\"manifests\": [\"../a\"]"), ".deploy.manifests[0]: \"../a\" leads out with .."),
        (deploy("\"kustomize\": [\"a\"]"), ".deploy.kustomize: a string should be here"),
        (deploy("\"kustomize\": \"/a\""), ".deploy.kustomize: \"/a\" is not relative"),
        (deploy("\"helm\": \"chart\""), ".deploy.helm: an object should be here, not a string"),
        (helm(""), ".deploy.helm: \"chart\" is missing (its folder: \"chart\": \"charts/web\")"),
        (helm("\"chart\": \"../a\""), ".helm.chart: \"../a\" leads out with .."),
        (helm("\"chart\": \"--x\""), ".helm.chart: \"--x\" is an option, not a chart"),
        (
            helm("\"chart\": \"./a\", \"version\": \"1\""),
            ".helm.version: \"version\" of a chart in the project (its Chart.yaml says it)"
        ),
        (helm("\"chart\": \"a\", \"release\": \"A\""), ".helm.release: \"A\" is no release's name"),
        (helm("\"chart\": \"a\", \"valuesFiles\": \"v.yaml\""), ".helm.valuesFiles: an array should be here"),
        (helm("\"chart\": \"a\", \"valuesFiles\": [\"/v\"]"), ".helm.valuesFiles[0]: \"/v\" is not relative"),
        (helm("\"chart\": \"a\", \"values\": []"), ".helm.values: unknown key \"values\""),
        (
            helm("\"chart\": \"a\", \"set\": {\"a\": {\"b\": []}}"),
            ".helm.set.a.b: a string, a number, true or false should be here, not an array (other values belong into a file"
        ),
        (
            helm("\"chart\": \"a\", \"set\": {\"a\": null}"),
            ".helm.set.a: a string, a number, true or false should be here"
        ),
        (helm("\"chart\": \"a\", \"set\": [\"a=b\"]"), ".helm.set: an object should be here, not an array"),
        (
            ConfigurationProblemTests.rule("\"deploy\": {\"manifests\": \"a\"}, \"then\": []"),
            ".then: \"then\" after a \"deploy\""
        ),
        (
            ConfigurationProblemTests.service("\"workload\": \"ds/a\", \"recreate\": 1"),
            ".recreate: true or false should be here"
        ),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("what is deployed has absolute paths, and its own files are watched where no pattern says so")
    func reads() throws {
        let text = """
            {"services": {
              "one": {"root": "a", "rules": [{"deploy": {"manifests": "k8s/"}}]},
              "two": {"rules": [{"deploy": {"manifests": ["x.yaml", "."]}}]},
              "three": {"rules": [{"deploy": {"kustomize": "overlays/dev"}}]},
              "four": {"rules": [{"deploy": {"helm": {"chart": "charts/four", "valuesFiles": ["v/dev.yaml"],
                "set": {"image.tag": "1", "replicas": 2, "nested": {"on": true, "deep": {"ratio": 0.5}}}}}}]},
              "five": {"rules": [{"deploy": {"helm": {"chart": "bitnami/redis", "version": "20.1", "release": "cache"}}}]},
              "six": {"rules": [{"watch": ["y"], "deploy": {"helm": {"chart": "oci://r/c"}}}]},
            }}
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty, "\(problems)")
        let rules = try #require(configuration).services.flatMap(\.rules)
        var four = HelmRelease("/p/charts/four", name: "four")
        four.valuesFiles = ["/p/v/dev.yaml"]
        four.set = ["image.tag": "1", "replicas": 2, "nested.on": true, "nested.deep.ratio": 0.5]
        var five = HelmRelease("bitnami/redis", name: "cache")
        five.version = "20.1"
        #expect(
            rules.map(\.deployment?.source) == [
                .manifests(["/p/a/k8s"]), .manifests(["/p/x.yaml", "/p"]), .kustomize("/p/overlays/dev"), .helm(four),
                .helm(five), .helm(HelmRelease("oci://r/c", name: "six")),
            ])
        #expect(
            rules.map { $0.watch.map(\.pattern) } == [
                ["k8s", "k8s/**"], ["x.yaml", "x.yaml/**", "**"], ["overlays/dev/**"],
                ["charts/four", "charts/four/**", "v/dev.yaml"], [], ["y"],
            ])
        #expect(four.isLocal && !five.isLocal)
    }
}
