import Testing

@testable import LoopServer

@Suite("Runs on this machine and forwards in loop.json") struct HostConfigurationTests {
    private static func service(_ members: String) -> String {
        "{\"services\": {\"web\": {\"workload\": \"deployment/web\", \(members)}}}"
    }

    private static func host(_ members: String) -> String {
        service("\"host\": {\"command\": [\"x\"], \(members)}")
    }

    /// Documents with one mistake each, and words of the line that names it.
    static let mistakes: [(text: String, problem: String)] = [
        (service("\"host\": \"x\""), ".host: an array should be here, not a string (there is no shell"),
        (service("\"host\": {}"), ".host: \"command\" is missing"),
        (service("\"host\": {\"comand\": [\"x\"], \"command\": [\"x\"]}"), "unknown key \"comand\" (did you mean"),
        (service("\"host\": []"), ".host: no program is named"),
        (host("\"dir\": \"/x\""), ".host.dir: \"/x\" is not relative"),
        (host("\"build\": [\"make\"]"), ".host.build: \"watch\" is missing (what the build is made from"),
        (host("\"build\": \"make\""), ".host.build: there is no build \"make\""),
        (host("\"ports\": [0]"), ".host.ports[0]: a port should be here"),
        (host("\"ports\": [65536]"), ".host.ports[0]: a port should be here"),
        (host("\"ports\": [\"53/udp\"]"), ".host.ports[0]: UDP is not carried: \"53/udp\""),
        (host("\"ports\": [{\"container\": 80}]"), ".host.ports[0]: \"host\" is missing"),
        (host("\"ports\": [80, 80]"), ".host.ports: port 80 is here twice"),
        (
            host("\"ports\": [80, {\"container\": 81, \"host\": 80}]"), ".host.ports: port 80 is here twice"
        ),
        (host("\"needs\": [\"postgres\"]"), ".host.needs[0]: \"postgres\" names no port: for example"),
        (host("\"needs\": [\"postgres:x\"]"), ".host.needs[0]: \"postgres:x\" ends with no port"),
        (host("\"needs\": [\"dns:53/udp\"]"), ".host.needs[0]: \"dns:53/udp\": only TCP is carried"),
        (host("\"needs\": [\"a_b:1\"]"), ".host.needs[0]: \"a_b\" is not a name that pods could look up"),
        (host("\"identity\": \"pod\""), ".host.identity: unknown value \"pod\""),
        (host("\"replicas\": \"two\""), ".host.replicas: unknown value \"two\""),
        (host("\"fallback\": \"pods\""), ".host.fallback: unknown value \"pods\" (did you mean \"pod\"?)"),
        (host("\"wait\": \"1h\""), ".host.wait: \"1h\" is not a duration"),
        (host("\"grace\": \"1000s\""), ".host.grace: \"1000s\" is out of range"),
        (host("\"debug\": \"dlv\""), ".host.debug: an array should be here"),
        (
            "{\"services\": {\"web\": {\"selector\": \"a=b\", \"host\": [\"x\"]}}}",
            "$.services.web.host: \"host\" beside a \"selector\""
        ),
        (
            "{\"services\": {\"web\": {\"workload\": \"job/x\", \"host\": [\"x\"]}}}",
            "$.services.web.host: connections of a Job cannot be handed over"
        ),
        (
            "{\"services\": {\"web\": {\"host\": {\"command\": [\"x\"], \"ports\": [80]}}}}",
            "$.services.web.host: \"ports\" without a \"workload\""
        ),
        (
            "{\"services\": {\"web\": {\"manifests\": [\"x\"], \"forward\": [80]}}}",
            "$.services.web.forward: \"forward\" needs a \"workload\" or a \"selector\""
        ),
        (service("\"forward\": {}"), ".forward: an array should be here"),
        (service("\"forward\": [\"80:a\"]"), ".forward[0]: \"80:a\" is not LOCAL:REMOTE or PORT"),
        (service("\"forward\": [\"1:2:3\"]"), ".forward[0]: \"1:2:3\" is not LOCAL:REMOTE"),
        (service("\"forward\": [\"53/udp\"]"), ".forward[0]: \"53/udp\": only TCP"),
        (service("\"forward\": [80, \"80:81\"]"), ".forward[1]: port 80 is here twice"),
        (service("\"needs\": []"), "unknown key \"needs\" (\"needs\" belongs in host)"),
    ]

    @Test("each mistake is named where it stands", arguments: mistakes)
    func mistake(text: String, problem: String) {
        let problems = ConfigurationProblemTests.problems(text)
        #expect(problems.count == 1, "\(problems)")
        #expect(problems.first?.contains(problem) == true, "\(problems)")
    }

    @Test("a run on this machine has everything that the file says, and its defaults")
    func reads() throws {
        let text = """
            {"builds": {"all": {"run": ["make"], "watch": ["src/**"]}}, "services": {
              "web": {"workload": "deployment/web", "root": "web", "forward": [9000, "8080:80", ":81", "0:82"], "host": {
                "command": ["a", ""], "dir": "bin", "build": "all", "watch": ["*.yaml"], "env": {"A": "$(B)"},
                "ports": [8080, {"container": 80, "host": 8000}], "needs": ["postgres:5432", "a.b.svc.cluster.local:1"],
                "identity": "serviceAccount", "replicas": "one", "fallback": "pod", "wait": "0s", "grace": "1s",
                "debug": ["dlv", "exec"]}},
              "short": {"workload": "sts/short", "host": ["run"]},
              "own": {"host": {"command": ["run"], "build": ["make"], "watch": ["src/**"]}},
            }}
            """
        let (configuration, problems) = Configuration.parse(Array(text.utf8), file: "loop.json", directory: "/p")
        #expect(problems == [])
        let services = try #require(configuration).services
        let web = try #require(services[0].host)
        #expect(web.command == ["a", ""])
        #expect(web.directory == "/p/web/bin")
        #expect(web.build == "all")
        #expect(web.watch.count == 1)
        #expect(web.environment == ["A": "$(B)"])
        #expect(web.ports == [HostPort(container: 8080, host: 8080), HostPort(container: 80, host: 8000)])
        #expect(web.needs.map(\.description) == ["postgres:5432", "a.b.svc.cluster.local:1"])
        #expect(web.identity == .serviceAccount)
        #expect(web.replicas == .one)
        #expect(web.fallback == .pod)
        #expect(web.patience == .zero)
        #expect(web.grace == .seconds(1))
        #expect(web.debugCommand == ["dlv", "exec"])
        #expect(services[0].forwards.map(\.description) == ["9000:9000", "8080:80", "0:81", "0:82"])
        let short = try #require(services[1].host)
        #expect(short == Host(command: ["run"], directory: "/p"))
        #expect(short.patience == .seconds(10))
        #expect(short.grace == .seconds(5))
        #expect(services[2].host?.build == "own/host")
        #expect(configuration?.builds.map(\.name) == ["all", "own/host"])
    }
}
