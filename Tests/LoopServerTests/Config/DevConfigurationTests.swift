import Glibc
import Testing

@testable import LoopServer

@Suite("Dev mode and restarts in loop.json") struct DevConfigurationTests {
    private static func service(_ members: String) -> String {
        "{\"services\": {\"web\": {\"workload\": \"deployment/web\", \(members)}}}"
    }

    private static func step(_ value: String, dev: String = "\"dev\": true, ") -> String {
        service("\(dev)\"rules\": [{\"watch\": [\"a\"], \"sync\": {\"to\": \"/a\"}, \"then\": [\(value)]}]")
    }

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (service("\"dev\": \"yes\""), "$.services.web.dev: true or false should be here"),
        (service("\"dev\": {\"comand\": [\"x\"]}"), "unknown key \"comand\" (did you mean \"command\"?)"),
        (service("\"dev\": {\"command\": \"sh\"}"), "$.services.web.dev.command: an array should be here"),
        (service("\"dev\": {\"command\": []}"), "$.services.web.dev.command: no program is named"),
        (service("\"dev\": {\"args\": [1]}"), "$.services.web.dev.args[0]: a string should be here"),
        (service("\"dev\": {\"env\": {\"A\": 1}}"), "$.services.web.dev.env.A: a string should be here"),
        (service("\"dev\": {\"workingDir\": \"x\"}"), "$.services.web.dev.workingDir: \"x\" is not absolute"),
        (
            "{\"services\": {\"web\": {\"selector\": \"a=b\", \"dev\": true}}}",
            "$.services.web.dev: \"dev\" needs a \"workload\""
        ),
        (
            "{\"services\": {\"a\": {\"workload\": \"ds/x\", \"dev\": true}, \"b\": {\"workload\": \"ds/x\", \"dev\": {}}}}",
            "$.services.b: services \"a\" and \"b\" both have one workload in dev mode"
        ),
        (step("{\"restart\": \"process\"}", dev: ""), ".then: \"restart\" of a process needs dev mode"),
        (step("{\"restart\": \"signal:HUP\"}", dev: "\"dev\": false, "), "\"restart\" of a process needs dev mode"),
        (step("{\"restart\": \"proces\"}"), ".then[0].restart: unknown value \"proces\" (did you mean \"process\"?)"),
        (step("{\"restart\": \"signal:HUB\"}"), ".then[0].restart: there is no signal \"HUB\" to send (did you mean"),
        (step("{\"restart\": \"pod\", \"exec\": [\"x\"]}"), ".then[0].exec: one step does one thing"),
        (step("{}"), ".then[0]: \"exec\" is missing"),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("dev mode has what is different then, and steps have their signals")
    func reads() throws {
        let text = """
            {"services": {
              "web": {"workload": "deployment/web", "dev": {"command": ["a", ""], "args": [""], "env": {"A": "b"}, "workingDir": "/x/"},
                "rules": [{"watch": ["a"], "sync": {"to": "/a"},
                  "then": [{"restart": "process"}, {"restart": "signal:sigusr1"}, {"restart": "pod"}]}]},
              "own": {"workload": "deployment/own", "dev": true},
              "off": {"workload": "deployment/off", "dev": false},
            }}
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems.isEmpty)
        let services = try #require(configuration).services
        var dev = DevMode()
        dev.command = ["a", ""]
        dev.arguments = [""]
        dev.environment = ["A": "b"]
        dev.workingDirectory = "/x"
        #expect(services.map(\.dev) == [dev, DevMode(), nil])
        #expect(
            services[0].rules[0].then
                == [.restart(.process), .restart(.signal(SIGUSR1)), .restart(.pod)])
    }
}
