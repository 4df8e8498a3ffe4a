import Testing
import Watcher

@testable import LoopServer

@Suite("Builds and sideloads in loop.json") struct BuildConfigurationTests {
    private static func builds(_ text: String) -> String {
        "{\"builds\": \(text), \"services\": {\"web\": {\"workload\": \"deployment/web\"}}}"
    }

    private static func rule(_ members: String) -> String { ConfigurationProblemTests.rule(members) }

    private static let item = "\"sideload\": {\"from\": \"a\", \"to\": \"/a\"}"

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (builds("{\"a\": {}}"), "$.builds.a: \"run\" is missing"),
        (builds("{\"a\": \"make\"}"), "$.builds.a: an array should be here, not a string"),
        (builds("{\"a\": []}"), "$.builds.a: no program is named"),
        (builds("{\"A_b\": [\"make\"]}"), "$.builds.A_b: \"A_b\" is not a DNS label"),
        (builds("{\"a\": {\"run\": [\"x\"], \"wacht\": []}}"), "unknown key \"wacht\""),
        (builds("{\"a\": {\"run\": [\"x\"], \"watch\": []}}"), "$.builds.a.watch: no pattern"),
        (builds("{\"a\": {\"run\": [\"x\"], \"env\": {\"B\": 1}}}"), "$.builds.a.env.B: a string should be here"),
        (builds("{\"a\": {\"run\": [\"x\"], \"dir\": \"../x\"}}"), "$.builds.a.dir: \"../x\" leads out with .."),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"build\": [\"make\"]"),
            "\"build\" without \"sideload\""
        ),
        (rule("\"build\": \"mkae\", \(item)"), ".build: there is no build \"mkae\""),
        (rule("\"build\": [\"make\"], \(item)"), "\"watch\" is missing (what the build is made from"),
        (
            rule("\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \(item)"),
            ".sync: a rule has \"sync\" or \"sideload\", not both"
        ),
        (rule("\"watch\": [\"a\"], \"sideload\": {\"to\": \"/a\"}"), ".sideload: \"from\" is missing"),
        (rule("\"watch\": [\"a\"], \"sideload\": {\"from\": \"a\"}"), ".sideload: \"to\" is missing"),
        (rule("\"watch\": [\"a\"], \"sideload\": []"), ".sideload: nothing is sideloaded"),
        (
            rule("\"watch\": [\"a\"], \"sideload\": {\"from\": \"a\", \"to\": \"a\"}"),
            ".sideload.to: \"a\" is not absolute"
        ),
        (
            rule("\"watch\": [\"a\"], \"sideload\": {\"from\": \"../a\", \"to\": \"/a\"}"),
            ".sideload.from: \"../a\" leads out with .."
        ),
        (rule("\"watch\": [\"a\"], \"sideload\": {\"from\": \".\", \"to\": \"/a\"}"), "the whole project is no output"),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("paths are absolute, a folder as place takes the name, and own builds belong to their rule")
    func reads() throws {
        let text = """
            {
              "builds": {"all": {"run": ["make", "-j"], "dir": "src", "env": {"A": "b"}, "watch": ["src/**"]}},
              "services": {"web": {"root": "web", "workload": "deployment/web", "rules": [
                {"build": "all", "sideload": {"from": "out/web", "to": "/usr/bin/"}},
                {"watch": ["x"], "build": ["cc"], "sideload": [{"from": "y", "to": "/y"}, {"from": "z", "to": "/opt/z"}]},
              ]}},
            }
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty)
        let checked = try #require(configuration)
        var all = Build(name: "all", command: ["make", "-j"], directory: "/p/src", root: "/p")
        all.environment = ["A": "b"]
        all.watch = [try Glob("src/**")]
        let own = Build(name: "web/rules[1]", command: ["cc"], directory: "/p/web", root: "/p/web")
        #expect(checked.builds == [all, own])
        #expect(own.title == "web")
        let rules = checked.services[0].rules
        #expect(rules[0].action == .sideload([Sideload(from: "/p/web/out/web", to: "/usr/bin/web")]))
        #expect(rules[0].build == "all")
        #expect(
            rules[1].action
                == .sideload([Sideload(from: "/p/web/y", to: "/y"), Sideload(from: "/p/web/z", to: "/opt/z")]))
        #expect(rules[1].build == "web/rules[1]")
    }
}
