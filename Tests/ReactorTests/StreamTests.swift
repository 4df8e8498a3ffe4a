import Glibc
import Reactor
import Testing

@Suite("Streams", .timeLimit(.minutes(5)))
struct StreamTests {
    private func bytes(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 131 &+ $0 >> 8) } }

    @Test("bytes arrive in order, however many", arguments: [1, 65_536, 10_000_019])
    func order(count: Int) async throws {
        let (left, right) = try Stream.pair()
        let sent = bytes(count)
        async let writing: Void = left.write(sent)
        var received: [UInt8] = []
        while received.count < count { received += try await right.read() }
        try await writing
        #expect(received == sent)
    }

    @Test("three arrays are written as one, however the kernel splits them")
    func gathered() async throws {
        let (left, right) = try Stream.pair()
        let parts = [bytes(300_001), bytes(700_003), bytes(5)]
        async let writing: Void = left.write(parts[0], then: parts[1], then: parts[2])
        var received = [UInt8](repeating: 0, count: 1_000_009)
        var filled = 0
        while filled < received.count { filled += try await right.read(into: &received, at: filled) }
        try await writing
        #expect(received == parts[0] + parts[1] + parts[2])
        try await left.write([], then: [1], then: [])
        #expect(try await right.read() == [1])
    }

    @Test("data and the end that arrive together are both read")
    func dataAndEnd() async throws {
        for _ in 0..<200 {
            let (left, right) = try Stream.pair()
            let reading = Task {
                var all: [UInt8] = []
                while true {
                    let bytes = try await right.read()
                    if bytes.isEmpty { return all }
                    all += bytes
                }
            }
            try await left.write([1, 2, 3])
            left.close()
            #expect(try await reading.value == [1, 2, 3])
        }
    }

    @Test("small messages go back and forth without a lost wake-up")
    func pingPong() async throws {
        let (left, right) = try Stream.pair()
        async let echo: Void = {
            while true {
                let bytes = try await right.read()
                if bytes.isEmpty { return }
                try await right.write(bytes)
            }
        }()
        for index in 0..<5_000 {
            let byte = UInt8(truncatingIfNeeded: index)
            try await left.write([byte])
            #expect(try await left.read() == [byte])
        }
        left.close()
        try await echo
    }

    @Test("closing fails a pending read, and closes the descriptor")
    func closeWhileReading() async throws {
        for _ in 0..<200 {
            let (left, right) = try Stream.pair()
            let reading = Task { try await left.read() }
            left.close()
            left.close()
            await #expect(throws: SystemError(code: EBADF, attempt: "use of a closed stream")) {
                try await reading.value
            }
            // The peer sees the end: the descriptor is closed, although a call was pending.
            #expect(try await right.read() == [])
        }
    }

    @Test("closing fails a pending write")
    func closeWhileWriting() async throws {
        let (left, right) = try Stream.pair()
        let writing = Task { try await left.write([UInt8](repeating: 0, count: 16 << 20)) }
        _ = try await right.read()
        left.close()
        await #expect(throws: SystemError.self) { try await writing.value }
        withExtendedLifetime(right) {}
    }

    @Test("a cancelled task's read throws, and the stream still works")
    func cancelRead() async throws {
        let (left, right) = try Stream.pair()
        for index in 0..<500 {
            let reading = Task { try await left.read() }
            if index % 2 == 0 { await Task.yield() }
            reading.cancel()
            await #expect(throws: CancellationError.self) { try await reading.value }
        }
        try await right.write([9])
        #expect(try await left.read() == [9])
    }

    @Test("a peer that closes makes a write fail with EPIPE, and does not end the process")
    func brokenPipe() async throws {
        let (left, right) = try Stream.pair()
        right.close()
        let error = await #expect(throws: SystemError.self) { try await left.write([1]) }
        #expect(error?.code == EPIPE)
    }

    @Test("the end of sending is seen as a hang-up without reading")
    func hangUp() async throws {
        let (left, right) = try Stream.pair()
        #expect(!left.isHungUp)
        try await right.write([1, 2])
        right.shutdownWrite()
        await left.untilHungUp()
        #expect(left.isHungUp)
        #expect(try await left.read() == [1, 2])
        #expect(try await left.read() == [])
    }

    @Test("waiting for a hang-up ends by cancellation and by close, again and again")
    func hangUpCancelled() async throws {
        let (left, right) = try Stream.pair()
        for _ in 0..<500 {
            let waiting = Task { await left.untilHungUp() }
            waiting.cancel()
            await waiting.value
        }
        #expect(!left.isHungUp)
        let waiting = Task { await left.untilHungUp() }
        left.close()
        await waiting.value
        withExtendedLifetime(right) {}
    }

    @Test("reading without waiting says whether nothing is there or the end")
    func readNow() async throws {
        let (left, right) = try Stream.pair()
        #expect(try left.readNow() == nil)
        try await right.write([5])
        #expect(try left.readNow() == [5])
        right.close()
        #expect(try left.readNow() == [])
    }

    @Test("a stream that nobody holds closes its descriptor")
    func released() async throws {
        let (left, right) = try Stream.pair()
        var held: Stream? = right
        held = nil
        _ = held
        try await consume(right)
        #expect(try await left.read() == [])
    }

    private func consume(_ stream: consuming Stream) async throws {
        try await stream.write([])
        stream.close()
    }
}

@Suite("Listeners", .timeLimit(.minutes(5)))
struct ListenerTests {
    private func path() -> String { "/tmp/loopd-reactor-\(UInt64.random(in: .min ... .max)).sock" }

    @Test("connections that arrive together are all accepted", arguments: [true, false])
    func accept(unix: Bool) async throws {
        let listener = try Listener(unix ? .unix(path: path()) : .tcp(host: "127.0.0.1", port: 0))
        var clients: [Stream] = []
        for index in 0..<50 {
            let client = try await Stream.connect(to: listener.endpoint)
            try await client.write([UInt8(index)])
            clients.append(client)
        }
        var seen: Set<UInt8> = []
        for _ in clients {
            let server = try await listener.accept()
            seen.formUnion(try await server.read())
        }
        #expect(seen == Set(0..<50))
        listener.close()
    }

    @Test("closing fails a pending accept and removes the socket's file")
    func close() async throws {
        let path = path()
        let listener = try Listener(.unix(path: path))
        #expect(access(path, F_OK) == 0)
        var about = stat()
        #expect(stat(path, &about) == 0 && about.st_mode & 0o777 == 0o600)
        let accepting = Task { try await listener.accept() }
        listener.close()
        await #expect(throws: SystemError.self) { _ = try await accepting.value }
        #expect(access(path, F_OK) != 0)
    }

    @Test("a dead socket's file is replaced; a live one, and another file, are not")
    func replaced() async throws {
        let path = path()
        let live = try Listener(.unix(path: path))
        #expect(throws: SystemError.self) { try Listener(.unix(path: path)) }
        // A second name keeps the file when its listener ends.
        let dead = path + ".dead"
        #expect(link(path, dead) == 0)
        live.close()
        let again = try Listener(.unix(path: dead))
        again.close()

        let descriptor = open(path, O_CREAT | O_WRONLY, 0o600)
        Glibc.close(descriptor)
        #expect(throws: SystemError.self) { try Listener(.unix(path: path)) }
        #expect(access(path, F_OK) == 0)
        unlink(path)
    }

    @Test("a reset breaks the peer's end, whether it reads or has read the end")
    func reset() async throws {
        for hasEnded in [false, true] {
            let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
            let left = try await Stream.connect(to: listener.endpoint)
            let right = try await listener.accept()
            if hasEnded {
                left.shutdownWrite()
                #expect(try await right.read() == [])
                async let broken: Void = right.untilBroken()
                left.reset()
                try await broken
            } else {
                let reading = Task { try await right.read() }
                left.reset()
                let error = await #expect(throws: SystemError.self) { try await reading.value }
                #expect(error?.code == ECONNRESET)
            }
            listener.close()
        }
    }

    @Test("a path that is too long, an address that is none, and nobody listening are errors")
    func errors() async throws {
        let long = Endpoint.unix(path: "/tmp/" + String(repeating: "x", count: 200))
        #expect(throws: SystemError.self) { try Listener(long) }
        await #expect(throws: SystemError.self) { _ = try await Stream.connect(to: long) }
        await #expect(throws: SystemError.self) { _ = try await Stream.connect(to: .tcp(host: "nowhere", port: 1)) }
        let error = await #expect(throws: SystemError.self) {
            _ = try await Stream.connect(to: .unix(path: "/tmp/loopd-no-such.sock"))
        }
        #expect(error?.code == ENOENT)
        let listener = try Listener(.tcp(host: "127.0.0.1", port: 0))
        listener.close()
        await #expect(throws: SystemError.self) { _ = try await Stream.connect(to: listener.endpoint) }
    }
}
