import JSON
@testable import LoopServer
import Testing

@Suite("Probes in dev mode") struct ProbeRewritingTests {
    struct Case: Sendable, CustomTestStringConvertible {
        let testDescription: String
        let probe: JSON
        var startup: JSON?
        /// What follows `helper probe`; `nil` where the probe is left out.
        let words: [String]?
        var detail: String?
    }

    @Test(
        "every kind of check is the helper's",
        arguments: [
            Case(
                testDescription: "exec", probe: ["exec": ["command": ["sh", "-c", "true"]]],
                words: ["--timeout", "1", "exec", "--", "sh", "-c", "true"]),
            Case(
                testDescription: "http with everything",
                probe: [
                    "httpGet": [
                        "path": "/live", "port": "web", "scheme": "HTTP", "host": "10.0.0.1",
                        "httpHeaders": [["name": "X-A", "value": "b: c"]],
                    ], "timeoutSeconds": 3, "initialDelaySeconds": 7,
                ],
                words: [
                    "--initial-delay", "7", "--timeout", "3", "http", "8080", "/live", "--host", "10.0.0.1", "--header",
                    "X-A:b: c",
                ]),
            Case(
                testDescription: "http by number, no path", probe: ["httpGet": ["port": 80]],
                words: ["--timeout", "1", "http", "80", "/"]),
            Case(
                testDescription: "https only connects", probe: ["httpGet": ["port": 443, "scheme": "HTTPS"]],
                words: ["--timeout", "1", "tcp", "443"], detail: "TLS"),
            Case(
                testDescription: "tcp by name", probe: ["tcpSocket": ["port": "web", "host": "localhost"]],
                words: ["--timeout", "1", "tcp", "8080", "--host", "127.0.0.1"]),
            Case(
                testDescription: "grpc only connects", probe: ["grpc": ["port": 9, "service": "x"]],
                words: ["--timeout", "1", "tcp", "9"], detail: "gRPC"),
            Case(
                testDescription: "time to start again", probe: ["tcpSocket": ["port": 1]],
                startup: ["initialDelaySeconds": 5, "periodSeconds": 2, "failureThreshold": 30],
                words: ["--startup", "65", "--timeout", "1", "tcp", "1"]),
            Case(
                testDescription: "a host's name", probe: ["httpGet": ["port": 80, "host": "example.org"]], words: nil,
                detail: "example.org"),
            Case(
                testDescription: "a port that is not there", probe: ["tcpSocket": ["port": "nosuch"]], words: nil,
                detail: "nosuch"),
        ])
    func kinds(_ test: Case) {
        let result = ProbeRewriting.rewritten(
            test.probe, ports: [["name": "web", "containerPort": 8080]], startup: test.startup)
        #expect(
            result.probe?.at("exec", "command")?.words == test.words.map { ["/.loopd/bin/helper", "probe"] + $0 })
        #expect((result.detail == nil) == (test.detail == nil))
        if let detail = test.detail { #expect(result.detail?.contains(detail) == true) }
        guard let probe = result.probe else { return }
        #expect(["httpGet", "tcpSocket", "grpc"].allSatisfy { probe[$0] == nil })
        #expect(probe["timeoutSeconds"]?.integer == (test.probe["timeoutSeconds"]?.integer ?? 1) + 1)
    }

    @Test("periods, thresholds, readiness and hooks stay")
    func others() throws {
        let readiness: JSON = ["httpGet": ["path": "/", "port": 80]]
        let hooks: JSON = ["preStop": ["sleep": ["seconds": 5]]]
        let liveness: JSON = [
            "tcpSocket": ["port": 80], "periodSeconds": 3, "failureThreshold": 4, "successThreshold": 1,
        ]
        let workload = DevFixture.deployment(
            container: ["livenessProbe": liveness, "readinessProbe": readiness, "lifecycle": hooks])
        let container = try DevFixture.template(workload, DevFixture.inputs()).spec.named("app", in: "containers")
        #expect(container?["readinessProbe"] == readiness)
        #expect(container?["lifecycle"] == hooks)
        #expect(container?.at("livenessProbe", "periodSeconds") == 3)
        #expect(container?.at("livenessProbe", "failureThreshold") == 4)
    }
}
