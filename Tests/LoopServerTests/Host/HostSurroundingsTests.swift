import JSON
import Reactor
import TestCluster
import Testing

@testable import LoopServer

@Suite("What a program on this machine finds around it", .turn)
struct HostSurroundingsTests {
    private static func prints(_ line: String, _ events: [LoopEvent.Kind]) -> Bool {
        events.contains(LoopEvent.Kind.hostOutput(line: line))
    }

    private static func starts(_ events: [LoopEvent.Kind]) -> Int {
        events.count { if case .hostStarted = $0 { true } else { false } }
    }

    @Test("a program whose variables name an image starts when that is built, and anew with each other one")
    func images() async throws {
        let api = NamesAPI()
        try await withAPI({ try await api.handle($0) }) { client, _ in
            var host = Host(command: ["sh", "-c", "echo image $RUNNER; exec sleep 1000"], directory: "")
            host.environment = ["RUNNER": "${image:runner}"]
            let fixture = try SurroundingsFixture(client, host)
            let (log, surroundings) = (fixture.log, fixture.surroundings)
            let emit: @Sendable (LoopEvent.Kind) -> Void = { log.add(LoopEvent($0)) }
            let process = HostProcess(
                fixture.host, leash: Built.leash, ports: [], input: false, debug: false, isStartedByChanges: false,
                environment: { try await surroundings.environment() }, emit: emit)
            let plan = try #require(HostPlan(fixture.service, project: fixture.folder.path))
            let run = HostRun(
                plan, fixture.service, fixture.host, process: process, surroundings: surroundings, intercept: nil,
                route: nil, claims: HostPortClaims(), emit: emit)
            // Nothing starts what is not to be started yet.
            await run.settle(images: ["runner"])
            #expect(process.state == .down)
            let running = Task { await run.run() }
            await run.start(firstEvent: nil)
            let waits = "the program waits for image runner, which has not been built yet"
            try await fixture.until { $0.contains(LoopEvent.Kind.notice(waits)) }
            fixture.built("other", "registry/other:1")
            await run.settle(images: ["other"])
            #expect(HostSurroundingsTests.starts(log.all) == 0 && process.state == .starting)

            fixture.built("runner", "registry/runner:1")
            await run.settle(images: ["runner"])
            try await fixture.until { HostSurroundingsTests.prints("image registry/runner:1", $0) }
            for await state in process.states where state == .up([]) { break }
            // The same content again, and an image that it does not name, start nothing.
            await run.settle(images: ["runner"])
            fixture.built("other", "registry/other:2")
            await run.settle(images: ["other"])
            #expect(process.state == .up([]))
            fixture.built("runner", "registry/runner:2")
            await run.settle(images: ["runner", "other"])
            try await fixture.until { HostSurroundingsTests.prints("image registry/runner:2", $0) }
            #expect(HostSurroundingsTests.starts(log.all) == 2)
            #expect(fixture.notices.filter { $0.contains("waits for") } == [waits])
            #expect(log.failed.isEmpty, "\(log.failed)")
            running.cancel()
            #expect(await running.value == nil)
            await run.end()
        }
    }

    @Test("the ways into the cluster are opened once, whatever becomes of the starts that need them")
    func ways() async throws {
        let api = HeldAPI()
        try await withAPI({ try await api.handle($0) }) { client, _ in
            defer { api.letGo() }
            let port = try freePort()
            api.names.service("late", "10.96.0.8", ports: [port])
            var host = Host(command: ["true"], directory: "")
            host.needs = [Dependency(name: "late", port: port)]
            let fixture = try SurroundingsFixture(client, host, target: .workload(.deployment, name: "web"))
            let surroundings = fixture.surroundings
            let secret: JSON = ["name": "PW", "valueFrom": ["secretKeyRef": ["name": "s", "key": "pw"]]]
            let pod: JSON = [
                "metadata": ["name": "web-1", "uid": "1"],
                "spec": ["containers": [["name": "c", "env": [secret]]], "enableServiceLinks": false],
            ]
            await surroundings.know(.init(pod: pod, container: "c", isRunning: true))
            let cancelled = Task { try await surroundings.environment() }
            await api.untilAsked()
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            // Who waited for it is not who does it.
            #expect(try ListeningPorts.now().sockets.count { $0.port == port } == 1)
            api.letGo()
            // The Secret is not there yet.
            await #expect(throws: LoopFailure.self) { try await surroundings.environment() }
            let opened = try #require(fixture.forwarded.first)
            api.names.put("/api/v1/namespaces/web/secrets/s", ["data": ["pw": "eA=="]])
            let first = try await surroundings.environment()
            let second = try await surroundings.environment()
            #expect(first["PW"] == "x" && first["LATE_PORT"] == "tcp://\(opened)")
            #expect(first["ALL_PROXY"] != nil && first["ALL_PROXY"] == second["ALL_PROXY"])
            #expect(second["LATE_PORT"] == first["LATE_PORT"])
            #expect(fixture.forwarded == [opened])
            await surroundings.end()
        }
    }
}
