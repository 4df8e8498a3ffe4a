import Synchronization
import Testing
import Wire

@testable import LoopServer

@Suite("A container's service over a link", .turn) struct LinkServiceTests {
    /// The next request about the service that the link sends, pings passed over.
    private func request(_ channel: ScriptedChannel) async throws -> (request: ServiceRequest, stream: UInt32) {
        while let frame = await channel.heard() {
            if case .service(let request) = frame.message { return (request, frame.stream) }
        }
        throw LinkError.disconnected("the test's channel is closed")
    }

    @Test("who follows is told every state, pings meanwhile, and takes leave when cancelled")
    func follows() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let told = Mutex<[ServiceState]>([])
        let following = Task {
            try await link.follow(heartbeat: 7, pulse: .milliseconds(1)) { state in told.withLock { $0.append(state) } }
        }
        let (asked, stream) = try await request(channel)
        #expect(asked == .follow(heartbeatSeconds: 7))
        let states: [ServiceState] = [.starting, .running(pid: 7, starts: 1), .ended(.code(3), starts: 1), .held]
        for state in states { channel.say(.serviceState(state), on: stream) }
        while told.withLock({ $0.count }) < states.count, !Task.isCancelled { await Task.yield() }
        #expect(told.withLock { $0 } == states)
        var pings = 0
        while pings < 3, let frame = await channel.heard() {
            if case .ping = frame.message { pings += 1 }
        }
        following.cancel()
        await #expect(throws: CancellationError.self) { try await following.value }
        let (parting, same) = try await request(channel)
        #expect(parting == .unfollow && same == stream)
        link.drop("done")
    }

    @Test("the end of the link, and a refusal, end the following")
    func ends() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let refused = Task { try await link.follow { _ in } }
        let failure = Failure(.service, code: 2, path: [], uid: 0, text: Array("no supervisor".utf8))
        channel.say(.failure(failure), on: try await request(channel).stream)
        await #expect(throws: LinkError.refused(failure)) { try await refused.value }
        let following = Task { try await link.follow { _ in } }
        while try await request(channel).request == .unfollow {}
        channel.say([])
        await #expect(throws: LinkError.self) { try await following.value }
    }

    @Test("requests say what they ask, and give the answer or the refusal")
    func asks() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let running = ServiceState.running(pid: 9, starts: 2)
        let restarting = Task { try await link.restart(grace: .milliseconds(1500)) }
        let restart = try await request(channel)
        #expect(restart.request == .restart(graceMilliseconds: 1500))
        channel.say(.serviceState(running), on: restart.stream)
        #expect(try await restarting.value == running)

        let failure = Failure(.service, code: 8, path: [], uid: 0, text: Array("no program".utf8))
        let requests: [ServiceRequest] = [
            .restart(graceMilliseconds: .max), .restart(graceMilliseconds: 0), .state, .signal(1),
            .hold(graceMilliseconds: 10_000), .release,
        ]
        for wanted in requests {
            for answer in [Message.serviceState(running), .failure(failure), .closed] {
                let asking = Task { try await ask(wanted, link) }
                let asked = try await request(channel)
                #expect(asked.request == wanted)
                channel.say(answer, on: asked.stream)
                switch answer {
                case .serviceState: try await asking.value
                case .failure: await #expect(throws: LinkError.refused(failure)) { try await asking.value }
                default: await #expect(throws: LinkError.self) { try await asking.value }
                }
            }
        }
        link.drop("done")
    }

    private func ask(_ request: ServiceRequest, _ link: HelperLink) async throws {
        switch request {
        case .restart(graceMilliseconds: 0): _ = try await link.restart(grace: .seconds(-1))
        case .restart: _ = try await link.restart(grace: .seconds(Int64.max))
        case .signal(let number): try await link.signalService(number)
        case .hold: try await link.hold(grace: .seconds(10))
        case .release: try await link.release()
        default: _ = try await link.serviceState()
        }
    }

    @Test("staged content is located by its destination and number")
    func locates() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let asking = Task { try await link.locate(destination: 3, stage: 4) }
        let asked = try #require(await channel.heard())
        #expect(asked.message == .locate(Locate(destination: 3, stage: 4)))
        channel.say(.located(Array("/srv/.loopd-1/a".utf8)), on: asked.stream)
        #expect(try await asking.value == "/srv/.loopd-1/a")
        link.drop("done")
    }
}
