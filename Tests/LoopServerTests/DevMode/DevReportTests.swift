import HTTP
import JSON
import OCI
@testable import LoopServer
import Reactor
import Testing

@Suite("What is said of dev mode", .turn) struct DevReportTests {
    @Test(
        "each change is a calm line, and an object for programs",
        arguments: [
            (
                LoopEvent.DevModeChange(.entered, container: "web", milliseconds: 2700), "dev mode: rolled out  2.7 s",
                ["change": "entered", "container": "web", "milliseconds": 2700.0] as JSON
            ),
            (
                .init(.takenUp, container: "web"), "dev mode: taken up as it was left",
                ["change": "takenUp", "container": "web"]
            ),
            (
                .init(.reverted, container: "web", by: "helm"), "dev mode: taken back by helm; rolling it out again",
                ["change": "reverted", "container": "web", "by": "helm"]
            ),
            (
                .init(.restored, container: "web", kept: ["containers[web].command"]),
                "dev mode: undone; kept what others changed: containers[web].command",
                ["change": "restored", "container": "web", "kept": ["containers[web].command"]]
            ),
        ] as [(LoopEvent.DevModeChange, String, JSON)])
    func events(change: LoopEvent.DevModeChange, line: String, fields: JSON) {
        let event = LoopEvent(.devMode(change), service: "web")
        let text = TextRenderer(services: ["web"], usesColour: false).render(event).lines
        #expect(text.map { String($0.dropFirst("00:00:00 web  ".count)) } == [line])
        var expected = fields
        expected["time"] = event.json["time"]
        expected["event"] = "devMode"
        expected["service"] = "web"
        #expect(event.json == expected)
    }

    @Test("status names container, age, holder, and what somebody has taken back")
    func status() {
        var entry = StatusReport.Entry(service: "web", target: "deployment/web")
        entry.devMode = StatusReport.DevMode(
            container: "web", since: Timestamp(seconds: 0), holder: "alice@laptop", lost: ["containers[web].command"])
        let report = StatusReport(context: "c", namespace: "n", services: [entry])
        #expect(
            report.lines.suffix(2) == [
                "web is in dev mode since 1970-01-01T00:00:00.000Z: container web, by alice@laptop",
                "somebody has taken a part of it back: containers[web].command",
            ])
        #expect(
            report.json["services"]?[0]?["devMode"] == [
                "container": "web", "since": "1970-01-01T00:00:00.000Z", "by": "alice@laptop",
                "lost": ["containers[web].command"],
            ])
        entry.devMode = nil
        #expect(StatusReport(context: "c", namespace: "n", services: [entry]).json["services"]?[0]?["devMode"] == nil)
    }

    @Test("restore says what it did, what it kept and what it could not do")
    func restore() {
        var report = RestoreReport(context: "c", namespace: "n")
        #expect(report.lines == ["nothing is in dev mode in namespace n"])
        report.workloads = [
            .init(target: "deployment/web", service: "web", container: "web", kept: ["containers[web].command"]),
            .init(target: "statefulset/db", problem: "it is held"),
            .init(target: "deployment/api", isGivenBack: true),
        ]
        #expect(
            report.lines == [
                "deployment/web is out of dev mode (container web); kept what others changed: containers[web].command",
                "✗ statefulset/db: it is held",
                "deployment/api keeps its image, which is for others to change again",
            ])
        #expect(
            report.json["workloads"] == [
                [
                    "target": "deployment/web", "service": "web", "restored": true, "container": "web",
                    "kept": ["containers[web].command"],
                ],
                ["target": "statefulset/db", "restored": false, "problem": "it is held"],
                ["target": "deployment/api", "restored": true, "givenBack": true],
            ])
    }

    @Test("a registry on this machine is asked what its image runs, by index, manifest and configuration")
    func image() async throws {
        let config: JSON = ["config": ["Entrypoint": ["/app"], "Cmd": ["run"], "User": "7:7"]]
        let configDigest = Digest(of: config.bytes)
        let manifest: JSON = [
            "config": ["digest": .string("\(configDigest)"), "size": .integer(Int64(config.bytes.count))], "layers": [],
        ]
        let digest = Digest(of: manifest.bytes)
        let index: JSON = [
            "manifests": [
                [
                    "digest": .string("\(Digest(of: []))"), "size": 0,
                    "platform": ["os": "linux", "architecture": "arm64"],
                ],
                [
                    "digest": .string("\(digest)"), "size": .integer(Int64(manifest.bytes.count)),
                    "platform": ["os": "linux", "architecture": "amd64"],
                ],
            ]
        ]
        try await withAPI({ exchange in
            switch exchange.request.path.suffix(2).joined(separator: "/") {
            case "manifests/1": try await exchange.answer(index)
            case "manifests/\(digest)": try await exchange.answer(manifest)
            case "blobs/\(configDigest)": try await exchange.answer(config)
            default: try await exchange.fail(404, "NotFound", "no")
            }
        }) { _, endpoint in
            var lookup = ImageLookup(leash: "/bin/false", architecture: "amd64")
            lookup.patience = .seconds(240)
            let found = await lookup.configuration(of: "\(endpoint)/team/app:1", isNeeded: true)
            #expect(found == ImageConfiguration(entrypoint: ["/app"], command: ["run"], user: "7:7"))
            #expect(found?.isRoot == false)
            #expect(await lookup.configuration(of: "\(endpoint)/team/app:2", isNeeded: true) == nil)
        }
    }

    @Test("an engine on this machine is asked, and is given the time to answer")
    func engine() async throws {
        let scratch = try ScratchTree()
        // A double of docker: what it answers, a moment after it was asked.
        try scratch.write(
            "docker",
            """
            #!/bin/sh
            sleep 0.1
            [ "$1 $2 $3" = "image inspect team/app:1" ] || exit 1
            echo '[{"Config": {"Entrypoint": ["/app"], "Cmd": ["run"], "User": "7"}}]'
            """, mode: 0o755)
        var lookup = ImageLookup(leash: try BuildLaneTests.leash, architecture: "amd64")
        lookup.engines = [scratch.path + "/docker"]
        lookup.patience = .seconds(240)
        let found = await lookup.configuration(of: "team/app:1", isNeeded: false)
        #expect(found == ImageConfiguration(entrypoint: ["/app"], command: ["run"], user: "7"))
        #expect(await lookup.configuration(of: "team/app:2", isNeeded: false) == nil)
    }

    private static let supervise = ["/.loopd/bin/helper", "supervise", "--patience", "10", "--"]

    @Test(
        "the entrypoint is what stands before the manifest's arguments, whose values stay out",
        arguments: [
            (["app"], [], nil, ["app"]),
            (["app", "--token", "hunter2", "x"], ["--token", "$(TOKEN)", "x"], nil, ["app"]),
            (supervise + ["app", "sub", "hunter2"], ["$(TOKEN)"], nil, ["app", "sub"]),
            (["app", "a"], ["a"], ["b"], ["app"]),
            (supervise + ["app", "b", "c"], ["a"], ["b", "c"], ["app"]),
            (supervise + ["app"], ["a"], [], ["app"]),
            // What the arguments belong to has replaced itself.
            (["a"], ["a"], nil, nil),
            (["sh", "-c", "app"], ["a"], nil, nil),
            // Nobody knows which of them are the image's command.
            (["app", "run"], [], ["b"], nil),
        ] as [([String], [String], [String]?, [String]?)])
    func entrypoint(words: [String], own: [String], dev: [String]?, result: [String]?) {
        #expect(RunningContainer.entrypoint(of: words, own, devArguments: dev) == result)
    }

    @Test("a process's arguments are read as /proc has them")
    func arguments() {
        #expect(RunningContainer.words("a\0b c\0\0") == ["a", "b c", ""])
        #expect(RunningContainer.words("") == nil)
        #expect(RunningContainer.words("\0") == nil)
    }
}
