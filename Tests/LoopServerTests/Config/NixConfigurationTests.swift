import Testing

@testable import LoopServer

@Suite("Nix in loop.json") struct NixConfigurationTests {
    private static func rule(_ members: String) -> String {
        ConfigurationProblemTests.rule("\"watch\": [\"*.nix\"], \(members)")
    }

    private static func deploy(_ nix: String) -> String { rule("\"deploy\": {\"nix\": \(nix)}") }

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (rule("\"deploy\": {}"), ".deploy: neither \"nix\", \"manifests\", \"kustomize\" nor \"helm\""),
        (rule("\"deploy\": {\"nix\": \".#a\"}, \"then\": []"), ".then: \"then\" after a \"deploy\""),
        (rule("\"deploy\": {\"nix\": \".#a\"}, \"build\": [\"x\"]"), ".build: a rule has \"build\" or \"deploy\""),
        (ConfigurationProblemTests.rule("\"deploy\": {\"nix\": \".#a\"}"), "\"watch\" is missing"),
        (deploy("\".\""), ".deploy.nix: \".\" names no attribute (\".#name\""),
        (deploy("\"--impure#x\""), "\"--impure#x\" is an option, not a flake"),
        (deploy("{}"), ".deploy.nix: neither \"flake\" nor \"file\""),
        (deploy("{\"flake\": \".#a\", \"args\": {}}"), ".deploy.nix.args: a flake's attribute takes no \"args\""),
        (deploy("{\"flake\": \".#a\", \"attribute\": \"b\"}"), ".deploy.nix.attribute: \"attribute\" beside \"flake\""),
        (deploy("{\"flake\": \".#a\", \"file\": \"b\"}"), ".deploy.nix.file: \"flake\" or \"file\", not both"),
        (deploy("{\"file\": \"../b\"}"), ".deploy.nix.file: \"../b\" leads out with .."),
        (deploy("{\"file\": \"b\", \"args\": {\"a\": 1}}"), ".deploy.nix.args.a: a string should be here"),
        (rule("\"deploy\": {\"nix\": \".#a\", \"kluctl\": {}}"), "neither \"target\" nor \"discriminator\""),
        (
            rule("\"deploy\": {\"nix\": \".#a\", \"kluctl\": {\"target\": \"a\", \"discriminator\": \"b\"}}"),
            ".deploy.kluctl.discriminator: a \"target\" or a \"discriminator\", not both"
        ),
        (rule("\"sideload\": {\"nix\": \".#a\", \"to\": \"/x\"}"), ".sideload.to: \"to\" beside \"nix\""),
        (rule("\"sideload\": {\"nix\": \".#a\", \"profile\": \"/nix/store/x\"}"), "is no place for a link"),
        (rule("\"sideload\": [{\"nix\": \".#a\"}]"), ".sideload[0].nix: \"nix\" among other sideloads"),
        (
            rule("\"sideload\": {\"nix\": \".#a\"}, \"build\": [\"x\"]"),
            ".build: \"build\" beside a sideload of \"nix\""
        ),
        (ConfigurationProblemTests.rule("\"sideload\": {\"nix\": \".#a\"}"), "\"watch\" is missing"),
        (rule("\"sideload\": {\"nix\": \".#a\", \"copyTo\": \"node\"}"), ".copyTo: \"node\" is no store"),
        (
            rule("\"sideload\": {\"nix\": \".#a\", \"copyTo\": \"ssh://n\"}, \"then\": []"),
            ".then: \"then\" beside \"copyTo\""
        ),
        (
            rule("\"sideload\": {\"from\": \"a\", \"to\": \"/a\", \"on\": \"host\"}"),
            ".sideload.on: unknown value \"host\""
        ),
        (rule("\"sideload\": {\"from\": \"a\", \"to\": \"/a\", \"profile\": \"/p\"}"), "\"profile\" without \"nix\""),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("a service deploys one set of manifests")
    func onlyOne() {
        let rule = "{\"watch\": [\"*.nix\"], \"deploy\": {\"nix\": \".#a\"}}"
        let problems = ConfigurationProblemTests.problems("{\"services\": {\"a\": {\"rules\": [\(rule), \(rule)]}}}")
        #expect(problems.count == 1)
        #expect(problems.first?.contains("rules[1]: a second \"deploy\" in one service") == true, "\(problems)")
    }

    @Test("flakes run in the service's root, files are absolute, and a deployment needs no pods")
    func reads() throws {
        let text = """
            {"services": {
              "platform": {"root": "nix", "rules": [
                {"watch": ["*.nix"], "deploy": {"nix": ".#local", "kluctl": {"discriminator": "dev"}}},
              ]},
              "more": {"root": "nix", "rules": [
                {"watch": ["x"], "deploy": {"nix": {"file": "default.nix", "attribute": "m", "args": {"stage": "local"}}}},
              ]},
              "app": {"workload": "deployment/app", "rules": [
                {"watch": ["src/**"], "sideload": {"nix": ".#app", "profile": "/nix/var/nix/profiles/app"}},
                {"watch": ["y"], "sideload": {"from": "y", "to": "/opt/", "on": "node"}},
              ]},
            }}
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty)
        let services = try #require(configuration).services
        #expect(services[0].target == nil)
        #expect(
            services.flatMap(\.rules).map(\.action) == [
                .deploy(Deployment(Installable(.flake(".#local"), in: "/p/nix"), kluctl: .discriminator("dev"))),
                .deploy(
                    Deployment(
                        Installable(
                            .file("/p/nix/default.nix", attribute: "m"), arguments: ["stage": "local"], in: "/p/nix"))),
                .closure(Closure(Installable(.flake(".#app"), in: "/p"), profile: "/nix/var/nix/profiles/app")),
                .sideload([Sideload(from: "/p/y", to: "/opt/y", isOnNode: true)]),
            ])
    }
}
