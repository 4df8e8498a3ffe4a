import Glibc
import Reactor
import Testing
import Wire

@Suite("The helper's sockets", .timeLimit(.minutes(10)))
struct SocketTests {
    /// A session with a connection that the helper made to a server of the test's.
    private func withConnection(
        _ body: (_ client: HelperClient, _ stream: UInt32, _ peer: Reactor.Stream) async throws -> Void
    ) async throws {
        let listener = try Reactor.Listener.local()
        defer { listener.close() }
        let client = try await HelperClient.connect()
        let stream = try await client.connect(to: listener.port)
        let peer = try await listener.accept()
        defer { peer.close() }
        try await body(client, stream, peer)
        await client.hangUp()
        _ = await client.child.wait()
    }

    @Test("a connection carries bytes both ways, half closed in either order")
    func carries() async throws {
        try await withConnection { client, stream, peer in
            try await client.send(.data([1, 2, 3]), on: stream)
            #expect(try await peer.bytes(3) == [1, 2, 3])
            try await peer.write([4, 5])
            #expect(try await client.bytes(2, on: stream) == [4, 5])
            try await client.send(.finish, on: stream)
            #expect(try await peer.read() == [])
            try await peer.write([6])
            #expect(try await client.bytes(1, on: stream) == [6])
            peer.shutdownWrite()
            try await client.expect(.finish, on: stream)
        }
        try await withConnection { client, stream, peer in
            peer.shutdownWrite()
            try await client.expect(.finish, on: stream)
            try await client.send(.data([7]), on: stream)
            try await client.send(.finish, on: stream)
            #expect(try await peer.bytes(2) == [7])
        }
    }

    @Test("what is sent before the connection stands arrives when it does")
    func early() async throws {
        let listener = try Reactor.Listener.local()
        let client = try await HelperClient.connect()
        let stream = await client.newStream()
        let target = SocketAddress(address: [UInt8]("127.0.0.1"), port: listener.port)
        var bytes: [UInt8] = []
        for message in [.connect(Connect(target: target, timeoutMilliseconds: 0)), .data([1, 2]), Message.finish] {
            Frame(message, on: stream).append(to: &bytes)
        }
        try await client.sendRaw(bytes)
        let peer = try await listener.accept()
        #expect(try await peer.bytes(3) == [1, 2])
        try await client.end()
    }

    @Test("a reset of either end, or the session's end, is a reset of the other")
    func resets() async throws {
        func expectReset(_ peer: Reactor.Stream) async {
            let error = await #expect(throws: SystemError.self) { try await peer.read() }
            #expect(error?.code == ECONNRESET)
        }
        try await withConnection { client, stream, peer in
            peer.reset()
            try await client.expect(.reset(ECONNRESET), on: stream)
        }
        try await withConnection { client, stream, peer in
            // Half closed, and without credit: still noticed.
            try await client.send(.data([1]), on: stream)
            #expect(try await peer.bytes(1) == [1])
            peer.shutdownWrite()
            try await client.expect(.finish, on: stream)
            peer.reset()
            try await client.expect(.reset(ECONNRESET), on: stream)
        }
        try await withConnection { client, stream, peer in
            try await client.send(.reset(0), on: stream)
            await expectReset(peer)
        }
        try await withConnection { client, stream, peer in
            // An answer, and a program that did not read its question to the end.
            try await client.sendRaw(
                Frame(.data([7, 8, 9]), on: stream).encoded + Frame(.reset(0), on: stream).encoded)
            #expect(try await peer.bytes(3) == [7, 8, 9])
            await expectReset(peer)
        }
        try await withConnection { client, _, peer in
            try await client.end()
            await expectReset(peer)
        }
        try await withConnection { client, _, peer in
            client.child.signal(SIGKILL)
            _ = await client.child.wait()
            await expectReset(peer)
        }
    }

    @Test("what cannot be reached is refused with its address and the reason")
    func refusals() async throws {
        let client = try await HelperClient.connect()
        let listener = try Reactor.Listener.local()
        let port = listener.port
        listener.close()
        let refused = try await client.refusedConnect(to: port)
        #expect(refused.operation == .network && refused.code == ECONNREFUSED)
        #expect(refused.text.text == "127.0.0.1:\(port): connection refused")
        let six = try await client.refusedConnect(to: port, address: "::1")
        #expect(six.text.text.hasPrefix("[::1]:\(port): "))
        let named = try await client.refusedConnect(to: port, address: "localhost")
        #expect(named.code == EINVAL && named.text.text == "localhost:\(port): not a numeric address")
        try await client.end()
    }

    @Test("who does not answer is given up after the time that the host names")
    func timeout() async throws {
        // A listener that accepts nobody, and has room for one or two who wait.
        let deaf = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        defer { close(deaf) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                #expect(bind(deaf, pointer, size) == 0 && Glibc.listen(deaf, 0) == 0)
                #expect(getsockname(deaf, pointer, &size) == 0)
            }
        }
        let port = UInt16(bigEndian: address.sin_port)
        let client = try await HelperClient.connect()
        var failures: [Failure] = []
        for _ in 0..<6 {
            let target = SocketAddress(address: [UInt8]("127.0.0.1"), port: port)
            let answer = try await client.ask(.connect(Connect(target: target, timeoutMilliseconds: 50)))
            if case .failure(let failure)? = answer { failures.append(failure) }
        }
        #expect(!failures.isEmpty)
        #expect(failures.allSatisfy { $0.code == ETIMEDOUT && $0.text.text == "127.0.0.1:\(port): no answer in time" })
        try await client.end()
    }

    @Test("a port takes connections of both families, and is free again when the host has finished")
    func listens() async throws {
        let client = try await HelperClient.connect()
        let (listener, port) = try await client.listen()
        let four = try await Reactor.Stream.local(port)
        let first = try await client.accept(on: listener)
        #expect(first.peer.address.text == "127.0.0.1")
        #expect(first.stream > WireProtocol.firstHelperStream)
        if let six = try? await Reactor.Stream.local(port, host: "::1") {
            #expect(try await client.accept(on: listener).peer.address.text == "::1")
            six.close()
        }
        try await four.write([1, 2])
        #expect(try await client.bytes(2, on: first.stream) == [1, 2])
        try await client.send(.finish, on: listener)
        try await client.expect(.finish, on: listener)
        await #expect(throws: SystemError.self) { try await Reactor.Stream.local(port) }
        // Who is there already stays.
        try await client.send(.data([3]), on: first.stream)
        #expect(try await four.bytes(1) == [3])
        let again = try await client.listen(Listen(port: port, scope: .loopback))
        #expect(again.port == port)
        let local = try await Reactor.Stream.local(port)
        _ = try await client.accept(on: again.stream)
        local.close()
        try await client.send(.reset(0), on: again.stream)
        try await client.expect(.finish, on: again.stream)
        try await client.end()
    }

    @Test("a port that is taken is refused with who has it")
    func taken() async throws {
        let listener = try Reactor.Listener.local()
        defer { listener.close() }
        let client = try await HelperClient.connect()
        for scope in [Listen.Scope.everywhere, .loopback] {
            let answer = try await client.ask(.listen(Listen(port: listener.port, scope: scope)))
            guard case .failure(let failure)? = answer else { throw Unexpected(message: answer) }
            #expect(failure.operation == .network && failure.code == EADDRINUSE)
            let text = failure.text.text
            #expect(text.hasPrefix("port \(listener.port): address already in use by "), "\(text)")
            #expect(text.hasSuffix(" (process \(getpid()))"), "\(text)")
        }
        try await client.end()
    }

    @Test("a host that says nothing any more loses its ports and connections")
    func silence() async throws {
        let client = try await HelperClient.start()
        _ = try await client.greet(heartbeat: 4)
        let (listener, port) = try await client.listen()
        let peer = try await Reactor.Stream.local(port)
        _ = try await client.accept(on: listener)
        #expect(await client.child.wait() == .exited(0))
        await #expect(throws: SystemError.self) { try await Reactor.Stream.local(port) }
        let error = await #expect(throws: SystemError.self) { try await peer.read() }
        #expect(error?.code == ECONNRESET)
    }

    @Test("a silent host loses its ports, also where new connections make the helper talk")
    func silenceUnderTraffic() async throws {
        let client = try await HelperClient.start()
        let stream = await client.newStream()
        // In one write, so that a busy machine cannot be silent between them.
        var frames: [UInt8] = []
        Frame(.hello(Hello(generation: 1, heartbeatSeconds: 10))).append(to: &frames)
        Frame(.listen(Listen(port: 0)), on: stream).append(to: &frames)
        try await client.sendRaw(frames)
        let answer = await client.receive(on: stream)
        guard case .listening(let port)? = answer else { throw Unexpected(message: answer) }
        var connections = 0
        // As a readiness probe does; nobody waits for what it gets.
        while let peer = try? await Reactor.Stream.local(port) {
            connections += 1
            peer.close()
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(connections > 0)
        #expect(await client.child.wait() == .exited(0))
    }

    @Test("a held service runs again when its host is gone, and its port is its own")
    func held() async throws {
        try await Supervised.run("echo up; exec sleep 600") { supervised, _ in
            let client = try await supervised.connect()
            let following = try await client.follow()
            _ = try await following.untilRunning()
            #expect(try await client.service(.hold(graceMilliseconds: 0)) == .held)
            let (listener, port) = try await client.listen()
            let peer = try await Reactor.Stream.local(port)
            _ = try await client.accept(on: listener)
            client.child.signal(SIGKILL)
            let next = try await supervised.connect()
            #expect(try await next.follow().untilRunning(starts: 2).starts == 2)
            await #expect(throws: SystemError.self) { try await Reactor.Stream.local(port) }
            peer.close()
            try await next.end()
        }
    }

    @Test("bytes beyond the window, and bytes after the last one, break the connection, not the session")
    func violations() async throws {
        try await withConnection { client, stream, peer in
            // The peer reads nothing, so that the kernel's buffers fill and nothing more is granted.
            let piece = [UInt8](repeating: 0, count: 1 << 16)
            for _ in 0..<400 { try await client.send(.data(piece), on: stream) }
            try await client.expect(.reset(EPROTO), on: stream)
            await #expect(throws: SystemError.self) {
                while try await !peer.read().isEmpty {}
            }
            // What was under way, and what is nobody's, is dropped.
            for message in [Message.data([1]), .finish, .window(9), .reset(1)] {
                try await client.send(message, on: stream)
                try await client.send(message, on: 77)
                try await client.send(message, on: WireProtocol.firstHelperStream + 9)
            }
        }
        try await withConnection { client, stream, _ in
            try await client.send(.finish, on: stream)
            try await client.send(.data([1]), on: stream)
            try await client.expect(.reset(EPROTO), on: stream)
        }
    }

    @Test(
        "a socket on a stream that is not free, or not the host's to number, ends the session",
        arguments: [0, 5, WireProtocol.firstHelperStream])
    func badNumbers(_ stream: UInt32) async throws {
        let client = try await HelperClient.connect()
        try await client.send(.listen(Listen(port: 0)), on: 5)
        guard case .listening? = await client.receive(on: 5) else { throw Unexpected(message: nil) }
        try await client.send(.listen(Listen(port: 0)), on: stream)
        guard case .failure(let failure)? = await client.receive(on: 0) else { throw Unexpected(message: nil) }
        #expect(failure.operation == .session && failure.code == EPROTO)
        #expect(await client.child.wait() == .exited(3))
    }
}
