import HTTP
import JSON
@testable import LoopServer
import Reactor
import Synchronization
import Testing

/// One Deployment with merge patches and resource versions, as the API server has it.
private final class StoredWorkload: Sendable {
    private let state = Mutex<(version: Int, annotations: JSON)>((1, [:]))
    private let conflicts = Mutex(0)

    func failNextPatches(_ count: Int) { conflicts.withLock { $0 = count } }

    var object: JSON {
        state.withLock { state in
            [
                "metadata": [
                    "name": "web", "resourceVersion": .string("\(state.version)"), "annotations": state.annotations,
                ]
            ]
        }
    }
    var lease: Lease? { Lease(of: object) }

    func handle(_ exchange: HTTPExchange) async throws {
        guard exchange.request.method == "PATCH" else { return try await exchange.answer(object) }
        let patch = try JSON(parsing: try await exchange.body())
        let isRefused = conflicts.withLock { left in
            guard left > 0 else { return false }
            left -= 1
            return true
        }
        let isDone = state.withLock { state in
            guard !isRefused, patch.at("metadata", "resourceVersion")?.string == "\(state.version)" else {
                return false
            }
            for (key, value) in patch.at("metadata", "annotations")?.object ?? JSONObject() {
                state.annotations[key] = value.isNull ? nil : value
            }
            state.version += 1
            return true
        }
        if isDone { try await exchange.answer(object) } else { try await exchange.fail(409, "Conflict", "changed") }
    }
}

@Suite("Leases", .turn)
struct LeaseTests {
    /// Two keepers of one workload and a clock that both read.
    private func withTwo(
        _ body: (LeaseKeeper, LeaseKeeper, StoredWorkload, Clock) async throws -> Void
    ) async throws {
        let stored = StoredWorkload()
        let clock = Clock(1000)
        try await withAPI({ try await stored.handle($0) }) { client, _ in
            let keepers = ["one", "two"].map { session in
                LeaseKeeper(client, .deployment, name: "web", namespace: "d", session: session) { clock.now }
            }
            try await body(keepers[0], keepers[1], stored, clock)
        }
    }

    private final class Clock: Sendable {
        private let value: Mutex<Int64>
        init(_ start: Int64) { value = Mutex(start) }
        var now: Int64 {
            get { value.withLock { $0 } }
            set { value.withLock { $0 = newValue } }
        }
    }

    @Test("the first gets it, the second is told who has it and since when")
    func held() async throws {
        try await withTwo { one, two, stored, clock in
            try await one.take()
            clock.now = 1059
            let error = await #expect(throws: LeaseHeld.self) { try await two.take() }
            #expect(error?.lease.session == "one")
            #expect(error?.description.contains("deployment/web is synced by ") == true)
            #expect(error?.description.contains("since 1970-01-01T00:16:40") == true)
            #expect(stored.lease?.session == "one")
        }
    }

    @Test("one that was not renewed for a minute is taken")
    func stale() async throws {
        try await withTwo { one, two, stored, clock in
            try await one.take()
            clock.now = 1060
            try await two.take()
            #expect(stored.lease?.session == "two")
            #expect(one.loss(in: stored.object)?.lease.session == "two")
            #expect(two.loss(in: stored.object) == nil)
        }
    }

    @Test("a take-over takes a fresh one, and the loser learns it and gives nothing back")
    func takeOver() async throws {
        try await withTwo { one, two, stored, _ in
            try await one.take()
            let before = stored.object
            try await two.take(takeOver: true)
            await #expect(throws: LeaseHeld.self) { try await one.keep(every: .milliseconds(1)) }
            await one.release(limit: .seconds(60))
            #expect(stored.lease?.session == "two")
            // An object from before the take-over is no loss of it.
            #expect(two.loss(in: before) == nil)
            await two.release(limit: .seconds(60))
            #expect(stored.lease == nil)
        }
    }

    @Test("a session that is cancelled gives its lease back")
    func releaseWhenCancelled() async throws {
        try await withTwo { one, _, stored, _ in
            try await one.take()
            let session = Task {
                try? await Task.sleep(for: .seconds(3600))
                await withTaskGroup { group in
                    group.addTask { await one.release(limit: .seconds(60)) }
                }
            }
            session.cancel()
            await session.value
            #expect(stored.lease == nil)
        }
    }

    @Test("a server that does not answer holds up nobody who leaves")
    func releaseWithoutAnswer() async throws {
        try await withAPI({ _ in try await Task.sleep(for: .seconds(3600)) }) { client, _ in
            let keeper = LeaseKeeper(client, .deployment, name: "web", namespace: "d", session: "one") { 1000 }
            let error = await keeper.release(limit: .milliseconds(10)) as? KubeError
            #expect(error?.message.hasPrefix("no answer within") == true)
        }
    }

    @Test("renewal moves the time, by one request while nobody else writes")
    func renewal() async throws {
        try await withTwo { one, _, stored, clock in
            try await one.take()
            clock.now = 1020
            let keeping = Task { try await one.keep(every: .milliseconds(1)) }
            while stored.lease?.renewed != 1020 { await Task.yield() }
            keeping.cancel()
            await #expect(throws: CancellationError.self) { try await keeping.value }
            #expect(stored.lease?.since == 1000)
        }
    }

    @Test("of two that write at once, one looks again")
    func conflict() async throws {
        try await withTwo { one, _, stored, _ in
            stored.failNextPatches(3)
            try await one.take()
            #expect(stored.lease?.session == "one")
        }
    }

    @Test("what is no lease protects nobody", arguments: ["", "{", "[]", "{\"holder\":1}"])
    func unreadable(text: String) {
        let workload: JSON = ["metadata": ["annotations": ["loopd.dev/lease": .string(text)]]]
        #expect(Lease(of: workload) == nil)
    }

    @Test("a lease is read as it was written")
    func roundTrip() {
        let lease = Lease.mine(session: "s\"", now: 5)
        #expect(Lease(of: ["metadata": ["annotations": ["loopd.dev/lease": .string(lease.text)]]]) == lease)
        #expect(lease.holder.contains("@"))
        #expect(!lease.isFresh(at: 5 + 60) && lease.isFresh(at: 5 + 59))
        #expect(lease.isFresh(at: 0) && !lease.isFresh(at: -4000))
    }
}
