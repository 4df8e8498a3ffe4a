import Testing

@testable import LoopServer

@Suite("Sideloads onto nodes in loop.json") struct NodeConfigurationTests {
    private static func rule(_ sideload: String, _ more: String = "") -> String {
        ConfigurationProblemTests.rule("\"watch\": [\"a\"], \"build\": [\"make\"], \"sideload\": \(sideload)\(more)")
    }

    private static let onNode = #"{"from": "a", "to": "/opt/a", "on": "node"}"#

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (
            rule("[\(onNode), {\"from\": \"b\", \"to\": \"/opt/b\"}]"),
            ".sideload: a rule sideloads onto nodes or into containers, not both (make two rules of it)"
        ),
        (
            rule(#"{"from": "a", "to": "/a", "on": "node"}"#),
            ".sideload.to: \"/a\" lies in the root of a node, which loopd does not mount (choose a folder of its own: \"/opt/a\")"
        ),
        (
            rule(onNode, #", "then": [{"exec": ["true"]}]"#),
            ".then: \"then\" of a sideload onto nodes (the pods of a node restart when something lands there"
        ),
        (
            rule(onNode, #", "then": [{"restart": "pod"}, {"exec": ["true"]}]"#),
            ".then: \"then\" of a sideload onto nodes"
        ),
        (
            """
            {"services": {
              "a": {"workload": "ds/a", "rules": [{"watch": ["a"], "build": ["make"], "sideload": \(onNode)}]},
              "b": {"workload": "ds/b", "rules": [{"watch": ["a"], "build": ["make"],
                "sideload": {"from": "b", "to": "/opt/b", "on": "node"}}]}}}
            """,
            "$.services.b.rules[0].sideload: services \"a\" and \"b\" both sideload onto nodes, to /opt (make them"
        ),
        (rule(#"{"from": "a", "to": "/opt/a", "on": "nodes"}"#), ".sideload.on: unknown value \"nodes\""),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("that pods restart may be said, although it is so anyhow")
    func impliedRestart() {
        let text = NodeConfigurationTests.rule(NodeConfigurationTests.onNode, #", "then": [{"restart": "pod"}]"#)
        #expect(ConfigurationProblemTests.problems(text).isEmpty)
    }
}
