import JSON
import Testing

@testable import LoopServer

@Suite("Events on the terminal and for programs")
struct RendererTests {
    static let time = Timestamp(seconds: 1_770_000_000, nanoseconds: 123_456_789)
    static let landed = LoopEvent.Landed(
        files: 3, bytes: 12, pods: 2, paths: ["app/a.py"], milliseconds: 6.41,
        legs: .init(detect: 5.1, stage: 0.8, commit: 0.5123456))

    static let events: [(kind: LoopEvent.Kind, text: [String], json: String)] = [
        (
            .started(project: "shop", context: "kind-a", namespace: "dev"), ["shop on kind-a, namespace dev"],
            #""event":"started","service":"web","project":"shop","context":"kind-a","namespace":"dev""#
        ),
        (
            .watching(folders: 1, milliseconds: 3.14159), ["watching 1 folder  3.1 ms"],
            #""event":"watching","service":"web","folders":1,"milliseconds":3.142"#
        ),
        (
            .deployed(objects: ["deployment/web"], milliseconds: 1234), ["applied deployment/web  1.2 s"],
            #""event":"deployed","service":"web","objects":["deployment/web"],"milliseconds":1234.0"#
        ),
        (
            .deployed(objects: [], milliseconds: 12), ["manifests are unchanged  12 ms"],
            #""event":"deployed","service":"web","objects":[],"milliseconds":12.0"#
        ),
        (
            .rollingOut(workload: "deployment/web", container: "app", image: "r/web:loopd-1", by: nil),
            ["rolling out deployment/web: app gets r/web:loopd-1"],
            #""event":"rollingOut","service":"web","workload":"deployment/web","container":"app","image":"r/web:loopd-1""#
        ),
        (
            .rollingOut(workload: "deployment/web", container: "app", image: "r/web:loopd-1", by: "argocd"),
            ["deployment/web: argocd has taken r/web:loopd-1 back; rolling it out again"],
            #""event":"rollingOut","service":"web","workload":"deployment/web","container":"app","image":"r/web:loopd-1","by":"argocd""#
        ),
        (
            .connected(pods: ["web-1", "web-2"], container: "app", way: "helper by exec"),
            ["connected to web-1, web-2 (container app, helper by exec)"],
            #""event":"connected","service":"web","pods":["web-1","web-2"],"container":"app","way":"helper by exec""#
        ),
        (
            .leftAlone(paths: ["node_modules", "x"], total: 7),
            ["left alone in the container: node_modules, x and 5 more"],
            #""event":"leftAlone","service":"web","paths":["node_modules","x"],"total":7"#
        ),
        (
            .landed(landed), ["3 files → 2 pods  6.4 ms"],
            #""event":"landed","service":"web","files":3,"deleted":0,"bytes":12,"bytesSent":12,"pods":2,"paths":["app/a.py"],"milliseconds":6.41,"legs":{"detect":5.1,"stage":0.8,"commit":0.512},"initial":false"#
        ),
        (
            .landed(.init(files: 1, deleted: 2, bytes: 50_000_000, pods: 1, milliseconds: 512.3)),
            ["1 file, 2 deleted, 50.0 MB → 1 pod  512 ms"],
            #""event":"landed","service":"web","files":1,"deleted":2,"bytes":50000000,"bytesSent":50000000,"pods":1,"paths":[],"milliseconds":512.3,"legs":{"detect":0.0,"stage":0.0,"commit":0.0},"initial":false"#
        ),
        (
            .landed(.init(files: 0, pods: 1, milliseconds: 4, isInitial: true)),
            ["in step, nothing to send → 1 pod  4.0 ms"],
            #""event":"landed","service":"web","files":0,"deleted":0,"bytes":0,"bytesSent":0,"pods":1,"paths":[],"milliseconds":4.0,"legs":{"detect":0.0,"stage":0.0,"commit":0.0},"initial":true"#
        ),
        (
            .skipped(path: "a\u{1B}[2J", reason: "no space"), ["skipped a\\u{1B}[2J: no space"],
            #""event":"skipped","service":"web","path":"a\u001b[2J","reason":"no space""#
        ),
        (.unmatched(path: "a\nb"), ["a\\nb: no rule takes it"], #""event":"unmatched","service":"web","path":"a\nb""#),
        (
            .progress(done: 12_000_000, total: 50_000_000, path: "big.bin"), [],
            #""event":"progress","service":"web","done":12000000,"total":50000000,"path":"big.bin""#
        ),
        (
            .output(pod: "web-1", line: "ok"), ["web-1 | ok"],
            #""event":"output","service":"web","pod":"web-1","line":"ok""#
        ),
        (
            .executed(pod: "web-1", command: ["kill", "-HUP", "1"], exitCode: 0, milliseconds: 20),
            ["kill -HUP 1 → web-1  20 ms"],
            #""event":"executed","service":"web","pod":"web-1","command":["kill","-HUP","1"],"exitCode":0,"milliseconds":20.0"#
        ),
        (
            .executed(pod: "web-1", command: ["false"], exitCode: 1, milliseconds: 125_400),
            ["false → web-1: exit code 1  2 min 5 s"],
            #""event":"executed","service":"web","pod":"web-1","command":["false"],"exitCode":1,"milliseconds":125400.0"#
        ),
        (
            .restarted(pod: "web-1", pid: 17, milliseconds: 5.94), ["restarted → web-1  5.9 ms"],
            #""event":"restarted","service":"web","pod":"web-1","pid":17,"milliseconds":5.94"#
        ),
        (
            .signalled(pod: "web-1", signal: "HUP", milliseconds: 0.8), ["sent HUP → web-1  0.8 ms"],
            #""event":"signalled","service":"web","pod":"web-1","signal":"HUP","milliseconds":0.8"#
        ),
        (
            .podDeleted(pod: "web-1", milliseconds: 12), ["deleted web-1: its controller makes another  12 ms"],
            #""event":"podDeleted","service":"web","pod":"web-1","milliseconds":12.0"#
        ),
        (
            .imageBuilt(
                .init(
                    "web", reference: "r:5000/web:loopd-1", bytesSent: 1_200_000, isUnchanged: false, milliseconds: 88)),
            ["image web → r:5000/web:loopd-1 (1.2 MB sent)  88 ms"],
            #""event":"imageBuilt","service":"web","image":"web","reference":"r:5000/web:loopd-1","bytesSent":1200000,"unchanged":false,"milliseconds":88.0"#
        ),
        (
            .imageBuilt(.init("web", reference: "web:loopd-1", isUnchanged: true, milliseconds: 5)),
            ["image web is unchanged  5.0 ms"],
            #""event":"imageBuilt","service":"web","image":"web","reference":"web:loopd-1","unchanged":true,"milliseconds":5.0"#
        ),
        (
            .podsChanged(added: ["web-2"], removed: ["web-1"]), ["pods: +web-2 −web-1"],
            #""event":"podsChanged","service":"web","added":["web-2"],"removed":["web-1"]"#
        ),
        (
            .failed(.init("no pod runs", details: ["web-1: ImagePullBackOff"], nextStep: "check the image")),
            ["✗ no pod runs", "  web-1: ImagePullBackOff", "  → check the image"],
            #""event":"failed","service":"web","summary":"no pod runs","details":["web-1: ImagePullBackOff"],"nextStep":"check the image""#
        ),
        (
            .failed(.init("no pod runs")), ["✗ no pod runs"],
            #""event":"failed","service":"web","summary":"no pod runs","details":[]"#
        ),
        (.notice("waiting"), ["waiting"], #""event":"notice","service":"web","text":"waiting""#),
        (.detail("lease taken"), [], #""event":"detail","service":"web","text":"lease taken""#),
        (.stopped, ["stopped"], #""event":"stopped","service":"web""#),
    ]

    @Test("each kind of event is a calm line with its service", arguments: events)
    func text(kind: LoopEvent.Kind, text: [String], json: String) {
        let event = LoopEvent(kind, service: "web", time: RendererTests.time)
        let renderer = TextRenderer(services: ["web", "gateway"], usesColour: false)
        let clock = RendererTests.time.timeOfDay
        let expected = text.enumerated().map { line in
            line.offset == 0 ? "\(clock) web      \(line.element)" : String(repeating: " ", count: 18) + line.element
        }
        #expect(renderer.render(event).lines == expected)
    }

    @Test("each kind of event is one JSON line with documented keys", arguments: events)
    func json(kind: LoopEvent.Kind, text: [String], json: String) {
        let event = LoopEvent(kind, service: "web", time: RendererTests.time)
        #expect(event.json.text == #"{"time":"2026-02-02T02:40:00.123Z",\#(json)}"#)
    }

    @Test("docs/events.md has a row for each kind of event, and every key is in it", arguments: events)
    func documented(kind: LoopEvent.Kind, text: [String], json: String) throws {
        let event = LoopEvent(kind, service: "web", time: RendererTests.time)
        let row = try #require(try Page.events().first { $0.hasPrefix("| `\(event.name)` |") }, "\(event.name)")
        let keys = event.json.object.map { Array($0.keys) } ?? []
        for key in keys where !["time", "event", "service"].contains(key) {
            #expect(row.contains("`\(key)`"), "\(event.name): \(key)")
        }
    }

    @Test("what is about no service is indented as the services are, and has no service in JSON")
    func withoutService() {
        let event = LoopEvent(.stopped, time: RendererTests.time)
        let renderer = TextRenderer(services: ["web"], usesColour: false)
        #expect(renderer.render(event).lines == ["\(RendererTests.time.timeOfDay)      stopped"])
        #expect(event.json["service"] == nil)
        let alone = TextRenderer(services: [], usesColour: false)
        #expect(alone.render(event).lines == ["\(RendererTests.time.timeOfDay) stopped"])
    }

    @Test("with --verbose, paths, legs and decisions are shown")
    func verbose() {
        let renderer = TextRenderer(services: ["web"], usesColour: false, isVerbose: true)
        let lines = renderer.render(LoopEvent(.landed(RendererTests.landed), service: "web")).lines
        #expect(
            lines.dropFirst().map { $0.drop { $0 == " " } } == [
                "app/a.py", "detect 5.1 ms, stage 0.8 ms, commit 0.5 ms",
            ])
        #expect(renderer.render(LoopEvent(.detail("lease taken"))).lines.count == 1)
    }

    @Test("progress is a line that the next one replaces")
    func progress() {
        let renderer = TextRenderer(services: ["web"], usesColour: false)
        let event = LoopEvent(
            .progress(done: 12_000_000, total: 50_000_000, path: "big"), service: "web", time: RendererTests.time)
        #expect(
            renderer.render(event).transient
                == "\(RendererTests.time.timeOfDay) web  12.0 MB of 50.0 MB  24 %  big")
    }

    @Test("colour is only there where it is wanted, and always ends", arguments: events)
    func colour(kind: LoopEvent.Kind, text: [String], json: String) {
        let event = LoopEvent(kind, service: "web", time: RendererTests.time)
        let plain = TextRenderer(services: ["web"], usesColour: false).render(event)
        let coloured = TextRenderer(services: ["web"], usesColour: true).render(event)
        #expect(plain.lines.allSatisfy { !$0.contains("\u{1B}") })
        let stripped = coloured.lines.map { $0.replacing(/\u{1B}\[[0-9]+m/, with: "") }
        #expect(stripped == plain.lines)
        for line in coloured.lines where line.contains("\u{1B}") { #expect(line.contains("\u{1B}[0m")) }
    }

    static let figures: [(milliseconds: Double, text: String)] = [
        (0, "0.0 ms"), (0.04, "0.0 ms"), (6.44, "6.4 ms"), (9.94, "9.9 ms"), (9.96, "10 ms"), (999.4, "999 ms"),
        (999.6, "1.0 s"), (59_900, "59.9 s"), (60_000, "1 min 0 s"), (3_599_600, "60 min 0 s"),
    ]

    @Test("durations are short", arguments: figures)
    func duration(milliseconds: Double, text: String) {
        #expect(Figures.duration(milliseconds: milliseconds) == text)
    }

    static let sizes: [(bytes: Int64, text: String)] = [
        (0, "0 B"), (999, "999 B"), (1000, "1.0 KB"), (999_949, "999.9 KB"), (999_960, "1.0 MB"),
        (2_147_483_648, "2.1 GB"),
    ]

    @Test("sizes are short", arguments: sizes)
    func size(bytes: Int64, text: String) {
        #expect(Figures.bytes(bytes) == text)
    }

    @Test("moments are RFC 3339 in UTC, before 1970 and in leap years too")
    func timestamps() {
        #expect(Timestamp(seconds: 0).rfc3339 == "1970-01-01T00:00:00.000Z")
        #expect(Timestamp(seconds: 951_782_400, nanoseconds: 999_999_999).rfc3339 == "2000-02-29T00:00:00.999Z")
        #expect(Timestamp(seconds: -1).rfc3339 == "1969-12-31T23:59:59.000Z")
    }
}

@Suite("loopd status")
struct StatusReportTests {
    private let report = StatusReport(
        context: "kind-a", namespace: "dev",
        services: [
            .init(
                service: "web", target: "deployment/web",
                pods: [
                    .init(name: "web-1", phase: "Running", isReady: true),
                    .init(name: "web-22", phase: "Pending", isReady: false, restarts: 3, reason: "ImagePullBackOff"),
                ], holder: "alice@laptop"),
            .init(service: "api", target: "deployment/api", problem: "no such deployment"),
        ])

    @Test("the table has aligned columns, and notes below")
    func table() {
        #expect(
            report.lines == [
                "kind-a, namespace dev",
                "SERVICE  TARGET          POD     STATUS              READY  RESTARTS",
                "web      deployment/web  web-1   Running             yes    0",
                "                         web-22  Pending             no     3",
                "api      deployment/api  –       no such deployment  –      –",
                "web-22: ImagePullBackOff",
                "web is held by alice@laptop",
            ])
    }

    @Test("a cluster that does not answer is said, and nothing else")
    func unreachable() {
        let report = StatusReport(context: "kind-a", namespace: "dev", unreachable: "connection refused")
        #expect(report.lines == ["kind-a, namespace dev", "✗ connection refused"])
        #expect(report.json["reachable"] == false)
    }

    @Test("docs/events.md has every key of the report")
    func documented() throws {
        let rows = try Page.events().filter { $0.hasPrefix("| `status`") }
        try #require(rows.count == 4)
        let services = try #require(report.json["services"]?.array)
        let pods = services.flatMap { $0["pods"]?.array ?? [] }
        var whole = report
        whole.unreachable = "no answer"
        for (row, objects) in zip(rows, [[whole.json], services, services.compactMap { $0["devMode"] }, pods]) {
            for key in objects.flatMap({ $0.object.map { Array($0.keys) } ?? [] }) {
                #expect(row.contains("`\(key)`"), "\(row): \(key)")
            }
        }
    }

    @Test("JSON has every pod")
    func json() {
        #expect(report.json["services"]?[0]?["pods"]?[1]?["reason"] == "ImagePullBackOff")
        #expect(report.json["services"]?[0]?["holder"] == "alice@laptop")
        #expect(report.json["services"]?[1]?["problem"] == "no such deployment")
        #expect(report.json["reachable"] == true)
    }
}
