import Reactor
import Synchronization
import Wire

@testable import LoopServer

/// A channel whose other end is the test: what the link sends is decoded, what it receives is said here.
final class ScriptedChannel: HelperChannel {
    private struct State {
        var decoder = FrameDecoder()
        var sent: [Frame] = []
        var incoming: [[UInt8]] = []
        var isClosed = false
        var isBlocked = false
    }
    private let state = Mutex(State())
    private let news = Gate()
    private let arrivals = Gate()
    private let room = Gate()

    /// Whether the connection was dropped from this side.
    var isClosed: Bool { state.withLock(\.isClosed) }

    /// Lets sending wait, as on a link that takes nothing.
    func block() { state.withLock { $0.isBlocked = true } }

    func send(_ bytes: [UInt8]) async throws {
        while state.withLock({ $0.isBlocked && !$0.isClosed }) {
            try Task.checkCancellation()
            await room.pass()
        }
        try state.withLock { state in
            if state.isClosed { throw LinkError.disconnected("the test's channel is closed") }
            state.decoder.feed(bytes)
            while let frame = try state.decoder.next() { state.sent.append(frame) }
        }
        arrivals.signal()
    }

    func receive() async throws -> [UInt8] {
        while true {
            let bytes: [UInt8]? = state.withLock { state in
                if !state.incoming.isEmpty { return state.incoming.removeFirst() }
                return state.isClosed ? [] : nil
            }
            if let bytes { return bytes }
            try Task.checkCancellation()
            await news.pass()
        }
    }

    func close() {
        state.withLock { $0.isClosed = true }
        news.close()
        arrivals.close()
        room.close()
    }

    /// Says something as the helper.
    func say(_ message: Message, on stream: UInt32 = 0) { say(Frame(message, on: stream).encoded) }

    func say(_ bytes: [UInt8]) {
        state.withLock { $0.incoming.append(bytes) }
        news.signal()
    }

    /// The next frame that the link sent; `nil` when the channel is closed, or the test gave up.
    func heard() async -> Frame? {
        while true {
            let (frame, isClosed) = state.withLock { state in
                (state.sent.isEmpty ? nil : state.sent.removeFirst(), state.isClosed)
            }
            if let frame { return frame }
            if isClosed || Task.isCancelled { return nil }
            await arrivals.pass()
        }
    }

    /// A link over a channel of this kind that has been greeted; it is not pinged unless a test asks for it.
    static func link(pulse: Duration = .seconds(3600)) async throws -> (HelperLink, ScriptedChannel) {
        let channel = ScriptedChannel()
        channel.say(.welcome(ScriptedChannel.welcome))
        let link = try await HelperLink.open(channel, generation: 1, pulse: pulse)
        _ = await channel.heard()
        return (link, channel)
    }

    static let welcome = Welcome(
        capabilities: [.files, .exec], architecture: Array("x86_64".utf8), uid: 0, gid: 0, pid: 1,
        digest: [UInt8](repeating: 0, count: 32), path: Array("/helper".utf8))
}

/// Content in memory.
struct MemoryContent: ContentSource {
    let bytes: [UInt8]
    var size: Int64 { Int64(bytes.count) }
    func read(at offset: Int64, limit: Int) throws -> [UInt8] { Array(bytes.dropFirst(Int(offset)).prefix(limit)) }
}
