import Glibc
import Reactor
import Testing
import Wire

@testable import LoopServer

@Suite("Connections through a helper", .serialized, .turn) struct LinkSocketTests {
    @Test("made there or accepted there, a connection carries megabytes both ways at once, to the last byte")
    func carries() async throws {
        var generator = SystemRandomNumberGenerator()
        let noise = Noise(&generator)
        try await LinkedHelper.run { helper in
            for (socket, peer) in [try await helper.connection(), try await helper.acceptedConnection()] {
                let (there, back) = (noise.bytes(5_000_001, from: 7), noise.bytes(4_000_003, from: 99))
                async let sent: Void = {
                    try await socket.send(there)
                    socket.finish()
                }()
                async let answered: Void = {
                    try await peer.write(back)
                    peer.shutdownWrite()
                }()
                async let heard = peer.all()
                #expect(try await socket.all() == back)
                #expect(try await heard == there)
                try await sent
                try await answered
                #expect(try await socket.receive() == [])
            }
        }
    }

    @Test("each end may finish first and still be answered")
    func halfCloses() async throws {
        try await LinkedHelper.run { helper in
            let (socket, peer) = try await helper.connection()
            #expect(socket.address.address == Array("127.0.0.1".utf8))
            try await socket.send([1])
            socket.finish()
            #expect(try await peer.all() == [1])
            try await peer.write([2])
            peer.close()
            #expect(try await socket.all() == [2])

            let (other, client) = try await helper.acceptedConnection()
            client.shutdownWrite()
            #expect(try await other.receive() == [])
            try await other.send([3])
            other.finish()
            #expect(try await client.all() == [3])
        }
    }

    @Test("a reset of either end is one of the other, after what was sent before")
    func resets() async throws {
        try await LinkedHelper.run { helper in
            for _ in 0..<20 {
                let (socket, peer) = try await helper.connection()
                let receiving = Task { try await socket.receive() }
                peer.reset()
                await #expect(throws: LinkError.reset(code: ECONNRESET)) { try await receiving.value }
                await #expect(throws: LinkError.reset(code: ECONNRESET)) { try await socket.send([1]) }

                let (other, client) = try await helper.acceptedConnection()
                let waiting = Task { try await other.receive() }
                other.reset()
                other.reset()
                await #expect(throws: LinkError.reset(code: 0)) { try await waiting.value }
                let error = await #expect(throws: SystemError.self) { try await client.read() }
                #expect(error?.code == ECONNRESET)
            }
        }
    }

    @Test("what the helper cannot do is thrown in its words")
    func refusals() async throws {
        try await LinkedHelper.run { helper in
            let listener = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
            let port = listener.port
            let taken = await #expect(throws: LinkError.self) { _ = try await helper.link.listen(port: port) }
            #expect(taken?.description.hasPrefix("port \(port): address already in use by ") == true)
            listener.close()
            let refused = await #expect(throws: LinkError.self) {
                _ = try await helper.link.connect(to: "127.0.0.1", port: port)
            }
            #expect(refused?.description == "127.0.0.1:\(port): connection refused")
        }
    }

    @Test("a cancelled call throws, and the connection is as it was")
    func cancels() async throws {
        try await LinkedHelper.run { helper in
            let (socket, peer) = try await helper.connection()
            for index in 0..<100 {
                let receiving = Task { try await socket.receive() }
                if index % 2 == 0 { await Task.yield() }
                receiving.cancel()
                await #expect(throws: CancellationError.self) { try await receiving.value }
            }
            try await peer.write([5])
            #expect(try await socket.receive() == [5])
            // Nobody reads there: this waits for credit.
            let sending = Task { try await socket.send([UInt8](repeating: 0, count: 64 << 20)) }
            #expect(try await peer.read().count > 0)
            sending.cancel()
            await #expect(throws: CancellationError.self) { try await sending.value }
            socket.reset()

            let listener = try await helper.link.listen(port: 0)
            let accepting = Task { for try await _ in listener {} }
            accepting.cancel()
            await #expect(throws: CancellationError.self) { try await accepting.value }
            let client = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: listener.port))
            for try await accepted in listener {
                accepted.reset()
                break
            }
            client.close()
            listener.close()
        }
    }

    @Test("a closed listener gives no more connections, resets those that nobody took, and frees the port")
    func closes() async throws {
        try await LinkedHelper.run { helper in
            let listener = try await helper.link.listen(port: 0, scope: .loopback)
            let port = listener.port
            let first = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: port))
            for try await socket in listener {
                try await socket.send([1])
                break
            }
            #expect(try await first.read() == [1])
            let second = try await Reactor.Stream.connect(to: .tcp(host: "127.0.0.1", port: port))
            listener.close()
            listener.close()
            for try await _ in listener { Issue.record("a connection of a closed listener") }
            let error = await #expect(throws: SystemError.self) { try await second.read() }
            #expect(error?.code == ECONNRESET)
            let again = try await helper.link.listen(port: port)
            #expect(again.port == port)
            again.close()
            first.close()
        }
    }

    @Test("a link that is cut fails every connection and every listener, and gives out what came before")
    func cut() async throws {
        try await LinkedHelper.run { helper in
            let listener = try await helper.link.listen(port: 0)
            var sockets: [LinkSocket] = []
            var peers: [Reactor.Stream] = []
            for _ in 0..<20 {
                let (socket, peer) = try await helper.connection()
                sockets.append(socket)
                peers.append(peer)
            }
            try await peers[0].write([1])
            let rest = sockets.dropFirst()
            let receiving = rest.map { socket in Task { try await socket.receive() } }
            let sending = rest.map { socket in Task { try await socket.send([UInt8](repeating: 0, count: 64 << 20)) } }
            let accepting = Task { for try await _ in listener {} }
            for peer in peers.dropFirst() { #expect(try await !peer.read().isEmpty) }
            // An answer comes behind that byte.
            await #expect(throws: LinkError.self) { _ = try await helper.link.connect(to: "nowhere", port: 1) }
            helper.child.signal(SIGKILL)
            for task in receiving { await #expect(throws: LinkError.self) { try await task.value } }
            for task in sending { await #expect(throws: LinkError.self) { try await task.value } }
            await #expect(throws: LinkError.self) { try await accepting.value }
            #expect(try await sockets[0].receive() == [1])
            await #expect(throws: LinkError.self) { try await sockets[0].receive() }
            await #expect(throws: LinkError.self) { _ = try await helper.link.listen(port: 0) }
        }
    }
}

@Suite("Sockets on a scripted link", .turn) struct ScriptedSocketTests {
    private static let stream = WireProtocol.firstHelperStream + 1

    private func listener(_ link: HelperLink, _ channel: ScriptedChannel) async throws -> (LinkListener, UInt32) {
        let listening = Task { try await link.listen(port: 80) }
        let asked = try #require(await channel.heard())
        #expect(asked.message == .listen(Listen(port: 80)))
        channel.say(.listening(80), on: asked.stream)
        return (try await listening.value, asked.stream)
    }

    private func accepted(_ listener: UInt32) -> Message {
        .accepted(Accepted(listener: listener, peer: SocketAddress(address: [49], port: 2)))
    }

    @Test("credit is kept to, granted as bytes are taken, and wider with traffic")
    func credit() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let (listener, number) = try await listener(link, channel)
        channel.say(accepted(number), on: Self.stream)
        let window = WireProtocol.socketWindow
        for try await socket in listener {
            let sending = Task { try await socket.send([UInt8](repeating: 1, count: window + 5)) }
            var sent = 0
            while sent < window, let frame = await channel.heard() {
                guard case .data(let bytes) = frame.message else { continue }
                sent += bytes.count
            }
            #expect(sent == window)
            channel.say(.window(9), on: Self.stream)
            #expect(await channel.heard()?.message == .data([UInt8](repeating: 1, count: 5)))
            try await sending.value

            // What nobody has taken is not granted again.
            var granted = 0
            for round in 0..<4 {
                channel.say(.data([UInt8](repeating: 2, count: window)), on: Self.stream)
                var got = 0
                while got < window { got += try await socket.receive().count }
                while granted < window * (round + 1), let frame = await channel.heard() {
                    guard case .window(let bytes) = frame.message else { continue }
                    granted += Int(bytes)
                }
            }
            // Four windows were taken, of which the last one is not half of the present one; two and four there were then.
            #expect(granted == window * 6)
            break
        }
        link.drop("done")
    }

    @Test("what arrives for a connection that is over, or for a listener that is closed, is dropped or reset")
    func late() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let (listener, number) = try await listener(link, channel)
        channel.say(accepted(number), on: Self.stream)
        for try await socket in listener {
            socket.reset(code: 5)
            break
        }
        #expect(await channel.heard() == Frame(.reset(5), on: Self.stream))
        for message in [Message.data([1]), .finish, .window(1), .reset(0)] { channel.say(message, on: Self.stream) }
        listener.close()
        #expect(await channel.heard() == Frame(.finish, on: number))
        channel.say(accepted(number), on: Self.stream + 1)
        #expect(await channel.heard() == Frame(.reset(0), on: Self.stream + 1))
        channel.say(.finish, on: number)
        #expect(link.isOpen)
        link.drop("done")
    }

    private static let again = Message.accepted(
        Accepted(listener: 1, peer: SocketAddress(address: [], port: 1)))
    private static let violations: [[Frame]] = [
        [Frame(again, on: 9)], [Frame(again, on: stream)], [Frame(.listening(1), on: stream)],
        [Frame(.data([UInt8](repeating: 0, count: WireProtocol.socketWindow + 1)), on: stream)],
        [Frame(.finish, on: stream), Frame(.data([1]), on: stream)], [Frame(.window(.max), on: stream)],
    ]

    @Test("a helper that breaks the rules of sockets loses its link", arguments: violations)
    func violation(_ frames: [Frame]) async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let (listener, number) = try await listener(link, channel)
        channel.say(accepted(number), on: Self.stream)
        for frame in frames { channel.say(frame.encoded) }
        await #expect(throws: LinkError.self) {
            for try await socket in listener { while true { _ = try await socket.receive() } }
        }
        await #expect(throws: LinkError.self) { for try await _ in listener {} }
        #expect(!link.isOpen && channel.isClosed)
    }
}
