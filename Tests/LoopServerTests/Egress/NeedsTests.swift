import Reactor
import Synchronization
import TestCluster
import Testing

@testable import LoopServer

@Suite("Ports of this machine for what a program needs", .turn)
struct NeedsTests {
    /// How many sockets listen at a port.
    private static func listeners(_ port: UInt16) throws -> Int {
        try ListeningPorts.now().sockets.count { $0.port == port }
    }

    private static func local(_ event: LoopEvent.Kind) -> String? {
        if case .forwarding(let local, let target) = event { "\(target) \(local)" } else { nil }
    }

    @Test(
        "what listens is kept when it is asked for again, what was cancelled is tried again, and nothing listens twice")
    func again() async throws {
        let api = HeldAPI()
        try await withAPI({ try await api.handle($0) }) { client, _ in
            defer { api.letGo() }
            let log = EventLog()
            let egress = Egress(
                names: ClusterNames(client, namespace: "web", patience: .seconds(60)), route: NoRoute()
            ) { log.add(LoopEvent($0)) }
            let early = Dependency(name: "early", port: try freePort())
            let late = Dependency(name: "late", port: try freePort())
            api.names.service("early", "10.96.0.7", ports: [early.port])
            api.names.service("late", "10.96.0.8", ports: [late.port])
            let proxy = try await egress.start()
            #expect(try await egress.start() == proxy)
            let first = try await egress.needs([early])

            let cancelled = Task { try await egress.needs([early, late]) }
            await api.untilAsked()
            #expect(try NeedsTests.listeners(late.port) == 1)
            cancelled.cancel()
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            #expect(try NeedsTests.listeners(late.port) == 0)
            #expect(try NeedsTests.listeners(early.port) == 1)

            api.letGo()
            let second = try await egress.needs([early, late])
            #expect(second["EARLY_PORT"] == first["EARLY_PORT"])
            #expect(second["LATE_PORT"] == "tcp://127.0.0.1:\(late.port)")
            #expect(try await egress.needs([early, late]) == second)
            #expect(try await egress.needs([early]) == first)
            #expect(try await egress.start() == proxy)
            for need in [early, late] { #expect(try NeedsTests.listeners(need.port) == 1) }
            #expect(
                log.all.compactMap(NeedsTests.local) == [
                    "early:\(early.port) 127.0.0.1:\(early.port)", "late:\(late.port) 127.0.0.1:\(late.port)",
                ])

            await egress.end()
            for need in [early, late] { #expect(try NeedsTests.listeners(need.port) == 0) }
            await #expect(throws: CancellationError.self) { try await egress.start() }
        }
    }
}
