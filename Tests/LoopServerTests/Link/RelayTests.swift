import Glibc
import Reactor
import Synchronization
import Testing
import Wire

@testable import LoopServer

@Suite("A relay between a cluster's connection and a local one", .serialized, .turn)
struct RelayTests {
    /// A connection through the helper that a relay joins with a local one: the far end, the near end, and the relay.
    private func joined(
        _ helper: LinkedHelper
    ) async throws -> (far: Reactor.Stream, near: Reactor.Stream, relay: Task<Void, Never>) {
        let (socket, far) = try await helper.connection()
        let (near, local) = try await tcpPair()
        return (far, near, Task { await Relay.join(socket, local) })
    }

    private func tcpPair() async throws -> (Reactor.Stream, Reactor.Stream) {
        let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
        defer { listener.close() }
        let near = try await Reactor.Stream.connect(to: listener.endpoint)
        return (near, try await listener.accept())
    }

    private func expectReset(_ stream: Reactor.Stream) async {
        let error = await #expect(throws: SystemError.self) { while try await !stream.read().isEmpty {} }
        #expect(error?.code == ECONNRESET)
    }

    @Test("bytes go both ways, and each end may finish first")
    func carries() async throws {
        try await LinkedHelper.run { helper in
            for nearFirst in [true, false] {
                let (far, near, relay) = try await joined(helper)
                let (first, second) = nearFirst ? (near, far) : (far, near)
                let content = (0..<3_000_000).map { UInt8(truncatingIfNeeded: $0 / 251) }
                async let sent: Void = {
                    try await first.write(content)
                    first.shutdownWrite()
                }()
                #expect(try await second.all() == content)
                try await sent
                try await second.write([1, 2, 3])
                second.shutdownWrite()
                #expect(try await first.all() == [1, 2, 3])
                await relay.value
                far.close()
                near.close()
            }
        }
    }

    @Test("a reset of either end is one of the other, also when that one has finished, or cannot send")
    func resets() async throws {
        try await LinkedHelper.run { helper in
            for isNear in [true, false] {
                for state in 0..<3 {
                    let (far, near, relay) = try await joined(helper)
                    let (breaking, other) = isNear ? (near, far) : (far, near)
                    switch state {
                    case 1:
                        breaking.shutdownWrite()
                        #expect(try await other.read() == [])
                    case 2: _ = Task { try? await other.write([UInt8](repeating: 0, count: 64 << 20)) }
                    default: break
                    }
                    breaking.reset()
                    await relay.value
                    // Who has read the end reads no error any more.
                    if state == 0 { await expectReset(other) } else if state == 1 { try await other.untilBroken() }
                    other.close()
                }
            }
        }
    }

    @Test("the end of its task, or of the link, breaks both ends")
    func ends() async throws {
        try await LinkedHelper.run { helper in
            let (far, near, relay) = try await joined(helper)
            relay.cancel()
            await relay.value
            await expectReset(far)
            await expectReset(near)
            let (other, local, second) = try await joined(helper)
            helper.child.signal(SIGKILL)
            await second.value
            await expectReset(other)
            await expectReset(local)
        }
    }

    @Test("what nobody reads is not read from the other end either")
    func waits() async throws {
        try await LinkedHelper.run { helper in
            let (far, near, relay) = try await joined(helper)
            let written = Mutex(0)
            let floods = [far, near].map { stream in
                Task { @Sendable in
                    while true {
                        try await stream.write([UInt8](repeating: 0, count: 1 << 20))
                        written.withLock { $0 += 1 }
                    }
                }
            }
            // Others go on meanwhile.
            for _ in 0..<3 {
                let (far, near, relay) = try await joined(helper)
                async let sent: Void = near.write([UInt8](repeating: 7, count: 4 << 20))
                var got = 0
                while got < 4 << 20 { got += try await far.read().count }
                try await sent
                far.close()
                near.close()
                await relay.value
            }
            // The kernel's buffers of four sockets.
            #expect(written.withLock { $0 } < 64)
            for flood in floods { flood.cancel() }
            far.close()
            near.close()
            await relay.value
        }
    }

    @Test("the figures of 64 MB each way, and of a byte there and back")
    func figures() async throws {
        try await LinkedHelper.run { helper in
            let clock = ContinuousClock()
            let piece = [UInt8](repeating: 1, count: 1 << 18)
            let count = 256
            for (name, isDown) in [("to the cluster", false), ("from the cluster", true)] {
                let (far, near, relay) = try await joined(helper)
                let (from, to) = isDown ? (far, near) : (near, far)
                let took = try await clock.measure {
                    async let sent: Void = {
                        for _ in 0..<count { try await from.write(piece) }
                        from.shutdownWrite()
                    }()
                    var got = 0
                    while true {
                        let bytes = try await to.read(upTo: 1 << 18)
                        if bytes.isEmpty { break }
                        got += bytes.count
                    }
                    #expect(got == count * piece.count)
                    try await sent
                }
                print("relay: \((count * piece.count) >> 20) MB \(name) in \(took)")
                to.shutdownWrite()
                await relay.value
            }
            let (far, near, relay) = try await joined(helper)
            let took = try await clock.measure {
                for _ in 0..<1000 {
                    try await near.write([1])
                    #expect(try await far.read() == [1])
                    try await far.write([2])
                    #expect(try await near.read() == [2])
                }
            }
            print("relay: \(took / 1000) for a byte there and back")
            near.close()
            far.close()
            await relay.value
        }
    }
}
