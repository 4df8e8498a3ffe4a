import Glibc
import Reactor
import Testing
import Wire

@Suite("The helper with many connections", .serialized, .timeLimit(.minutes(10)))
struct SocketLoadTests {
    @Test("a stream without credit stops where its window ends, and others go on")
    func independent() async throws {
        let listener = try Reactor.Listener.local()
        defer { listener.close() }
        let client = try await HelperClient.connect()
        let stuck = try await client.connect(to: listener.port)
        let stuckPeer = try await listener.accept()
        let writing = Task { try await stuckPeer.write([UInt8](repeating: 1, count: 64 << 20)) }
        #expect(try await client.bytes(WireProtocol.socketWindow, on: stuck).count == WireProtocol.socketWindow)
        let other = try await client.connect(to: listener.port)
        let otherPeer = try await listener.accept()
        async let sent: Void = otherPeer.write([UInt8](repeating: 2, count: 8 << 20))
        #expect(try await client.bytes(8 << 20, on: other, granting: true).allSatisfy { $0 == 2 })
        try await sent
        // Not a byte more has come meanwhile.
        try await client.send(.window(3), on: stuck)
        #expect(try await client.bytes(3, on: stuck) == [1, 1, 1])
        writing.cancel()
        stuckPeer.close()
        try await client.end()
    }

    @Test("every connection is heard while some send without end")
    func fair() async throws {
        let client = try await HelperClient.connect()
        let (listener, port) = try await client.listen()
        var floods: [Task<Void, any Error>] = []
        for _ in 0..<4 {
            let peer = try await Reactor.Stream.local(port)
            let stream = try await client.accept(on: listener).stream
            floods.append(
                Task {
                    while case .data(let bytes)? = await client.receive(on: stream) {
                        try await client.send(.window(UInt32(bytes.count)), on: stream)
                    }
                })
            floods.append(
                Task {
                    let piece = [UInt8](repeating: 0, count: 1 << 16)
                    defer { peer.close() }
                    while !Task.isCancelled { try await peer.write(piece) }
                })
        }
        for number in 0..<20 {
            let peer = try await Reactor.Stream.local(port)
            let stream = try await client.accept(on: listener).stream
            try await peer.write([UInt8(number)])
            #expect(try await client.bytes(1, on: stream) == [UInt8(number)])
            try await client.send(.data([9]), on: stream)
            #expect(try await peer.bytes(1) == [9])
            try await client.send(.ping(UInt64(number)))
            try await client.expect(.pong(UInt64(number)), on: 0)
            peer.close()
        }
        for flood in floods { flood.cancel() }
        for flood in floods { _ = await flood.result }
        try await client.end()
    }

    @Test("beyond 512 nobody is accepted until somebody leaves, and no connection is made")
    func limit() async throws {
        let client = try await HelperClient.connect()
        let (listener, port) = try await client.listen()
        var peers: [Reactor.Stream] = []
        var streams: [UInt32] = []
        for _ in 0..<513 { peers.append(try await Reactor.Stream.local(port)) }
        for _ in 0..<512 { streams.append(try await client.accept(on: listener).stream) }
        #expect(Set(streams).count == 512)
        let refused = try await client.refusedConnect(to: port)
        #expect(refused.code == EMFILE)
        #expect(refused.text.text == "127.0.0.1:\(port): the helper has 512 connections open already")
        try await client.send(.reset(0), on: streams[7])
        #expect(try await !streams.contains(client.accept(on: listener).stream))
        for peer in peers { peer.close() }
        try await client.end()
    }

    @Test("without descriptors nobody is accepted until there are some, and the session goes on")
    func descriptors() async throws {
        let client = try await HelperClient.connect(wrapper: ["prlimit", "--nofile=24"])
        let (listener, port) = try await client.listen()
        var peers: [Reactor.Stream] = []
        for _ in 0..<40 { peers.append(try await Reactor.Stream.local(port)) }
        var streams: [UInt32] = []
        for _ in 0..<10 { streams.append(try await client.accept(on: listener).stream) }
        // All that it has are used up when a connection cannot be made.
        #expect(
            await eventually {
                let failure = try? await client.refusedConnect(to: port)
                return failure?.code == EMFILE && failure?.text.text == "127.0.0.1:\(port): too many open files"
            })
        for _ in 10..<40 {
            try await client.send(.reset(0), on: streams.removeFirst())
            streams.append(try await client.accept(on: listener).stream)
        }
        for peer in peers { peer.close() }
        try await client.end()
    }

    @Test("500 idle connections cost little, some that take nothing no more than is promised, and all is given back")
    func memory() async throws {
        let listener = try Reactor.Listener.local()
        defer { listener.close() }
        let client = try await HelperClient.connect()
        let pid = client.child.pid
        func round(_ count: Int, full: Bool = false) async throws -> Int {
            var streams: [UInt32] = []
            var peers: [Reactor.Stream] = []
            for _ in 0..<count {
                streams.append(try await client.connect(to: listener.port))
                peers.append(try await listener.accept())
            }
            if full {
                for stream in streams { try await client.fill(stream) }
            }
            try await client.send(.ping(1))
            try await client.expect(.pong(1), on: 0)
            let cost = try #require(resident(pid))
            for stream in streams { try await client.send(.reset(0), on: stream) }
            try await client.send(.ping(2))
            try await client.expect(.pong(2), on: 0)
            for peer in peers { peer.close() }
            return cost
        }
        _ = try await round(500)
        let descriptors = Disk.names("/proc/\(pid)/fd")
        let before = try #require(resident(pid))
        let idle = try await round(500)
        let slow = try await round(24, full: true)
        for _ in 0..<3 { _ = try await round(500) }
        let after = try #require(resident(pid))
        print(
            "helper: \(before) KB resident, \(idle) KB with 500 idle connections, \(slow) KB with 24 that take nothing,"
        )
        print("helper: \(after) KB resident when they have gone")
        #expect(idle < 2048)
        // 8 MiB of wider windows, and half as much again.
        #expect(slow > 24 * 64 && slow < before + 24 * 96 + (13 << 10))
        #expect(after < before + 1024)
        #expect(Disk.names("/proc/\(pid)/fd") == descriptors)
        try await client.end()
    }
}
