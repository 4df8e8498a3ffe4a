import Glibc
import Reactor
import Synchronization
import Testing

@testable import LoopServer

@Suite("Many connections through a helper", .serialized, .turn) struct LinkLoadTests {
    @Test("who reads slowly, at either end, is waited for alone, and the sender waits with it")
    func slowReaders() async throws {
        try await LinkedHelper.run { helper in
            let (deaf, deafPeer) = try await helper.connection()
            let written = Atomic(0)
            let flood = [UInt8](repeating: 0, count: 1 << 20)
            let floods = [
                Task { for _ in 0..<64 { try await deaf.send(flood) } },
                Task {
                    for _ in 0..<64 {
                        try await deafPeer.write(flood)
                        written.add(1, ordering: .relaxed)
                    }
                },
            ]
            for _ in 0..<5 {
                let (socket, peer) = try await helper.connection()
                let content = [UInt8](repeating: 3, count: 2 << 20)
                async let sent: Void = socket.send(content)
                async let heard = peer.all()
                async let answered: Void = peer.write(content)
                var got = 0
                while got < content.count { got += try await socket.receive().count }
                try await sent
                try await answered
                socket.finish()
                #expect(try await heard == content)
                peer.close()
            }
            // The kernel's own buffers hold some megabytes, the link next to nothing.
            #expect(written.load(ordering: .relaxed) < 32)
            for task in floods { task.cancel() }
            for task in floods { await #expect(throws: (any Error).self) { try await task.value } }
            deaf.reset()
            deafPeer.close()
        }
    }

    @Test("the windows of connections that carry much become wider up to a bound, and give back what they had")
    func windows() async throws {
        try await LinkedHelper.run { helper in
            let room = helper.link.windowRoom.withLock { $0 }
            var held: [(LinkSocket, Reactor.Stream)] = []
            for _ in 0..<12 {
                let (socket, peer) = try await helper.connection()
                held.append((socket, peer))
                let content = [UInt8](repeating: 5, count: 24 << 20)
                async let written: Void = peer.write(content)
                var got = 0
                while got < content.count { got += try await socket.receive().count }
                try await written
            }
            // All of them as wide as they may be would take half as much again as there is.
            let left = helper.link.windowRoom.withLock { $0 }
            #expect(left > 0 && left < room / 2)
            for (socket, peer) in held {
                socket.reset()
                peer.close()
            }
            held = []
            // A message that was under way may hold one of them for a moment.
            for _ in 0..<2000 where helper.link.windowRoom.withLock({ $0 }) != room {
                try await Task.sleep(for: .milliseconds(5))
            }
            #expect(helper.link.windowRoom.withLock { $0 } == room)
        }
    }

    @Test("500 connections at once, made and accepted, of all sizes, to the last byte; nothing stays behind")
    func many() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the 500 connections: \(seed)")
        var generator = SeededNumbers(state: seed)
        let noise = Noise(&generator)
        try await LinkedHelper.run { helper in
            let server = try Reactor.Listener(.tcp(host: "127.0.0.1", port: 0))
            let listener = try await helper.link.listen(port: 0)
            func round(_ count: Int) async throws {
                var sizes: [(Int, Int)] = []
                for _ in 0..<count {
                    sizes.append((randomSize(&generator), randomSize(&generator)))
                }
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for number in stride(from: 0, to: count, by: 2) {
                        // One by one until they stand, so that the ends find each other.
                        let made = try await helper.link.connect(to: "127.0.0.1", port: server.port)
                        let makers = try await server.accept()
                        let client = try await Reactor.Stream.connect(
                            to: .tcp(host: "127.0.0.1", port: listener.port))
                        var iterator = listener.makeAsyncIterator()
                        let accepted = try #require(try await iterator.next())
                        for (socket, peer, number) in [(made, makers, number), (accepted, client, number + 1)] {
                            let there = noise.bytes(sizes[number].0, from: number * 1021)
                            let back = noise.bytes(sizes[number].1, from: number * 2039)
                            group.addTask { try await exchange(socket, peer, there, back) }
                        }
                    }
                    try await group.waitForAll()
                }
            }
            try await round(500)
            let pid = helper.child.pid
            let descriptors = names("/proc/\(pid)/fd")
            let before = try #require(resident(pid))
            for _ in 0..<2 { try await round(500) }
            let after = try #require(resident(pid))
            print("helper: \(before) KB resident after 500 connections, \(after) KB after 1,500")
            #expect(names("/proc/\(pid)/fd") == descriptors, "seed \(seed)")
            #expect(after < before + 1024 && after < 8 << 10, "seed \(seed)")
            listener.close()
            server.close()
        }
    }

    /// Mostly small, some large.
    private func randomSize(_ generator: inout SeededNumbers) -> Int {
        Int.random(in: 0..<1 << Int.random(in: 0...18, using: &generator), using: &generator)
    }

    private func names(_ path: String) -> Int {
        guard let folder = opendir(path) else { return -1 }
        defer { closedir(folder) }
        var count = 0
        while readdir(folder) != nil { count += 1 }
        return count
    }

    private func resident(_ pid: Int32) -> Int? {
        guard let file = fopen("/proc/\(pid)/statm", "r") else { return nil }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        guard fgets(&line, 256, file) != nil else { return nil }
        let fields = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(
            separator: " ")
        return fields.count > 1 ? Int(fields[1]).map { $0 * Int(getpagesize()) / 1024 } : nil
    }

    /// Sends both ways at once, and compares every byte.
    private func exchange(
        _ socket: LinkSocket, _ peer: Reactor.Stream, _ there: [UInt8], _ back: [UInt8]
    ) async throws {
        async let sent: Void = {
            try await socket.send(there)
            socket.finish()
        }()
        async let answered: Void = {
            try await peer.write(back)
            peer.shutdownWrite()
        }()
        async let heard = peer.all()
        let got = try await socket.all()
        #expect(got == back, "\(got.count) bytes instead of \(back.count)")
        #expect(try await heard == there)
        try await sent
        try await answered
        peer.close()
    }
}

/// SplitMix64.
struct SeededNumbers: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
