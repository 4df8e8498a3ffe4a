import Reactor
import Synchronization
import Testing
import Wire

@testable import LoopServer

@Suite("A link to a helper", .turn) struct HelperLinkTests {
    private func stage(_ size: Int, _ link: HelperLink) -> Task<Staged, any Error> {
        let content = MemoryContent(bytes: [UInt8](repeating: 7, count: size))
        return Task {
            try await link.stage(Stage(destination: 1, stage: 1, sizeHint: 0, path: [97]), from: content).staged
        }
    }

    private func refusal(_ code: Int32 = 28) -> Failure {
        Failure(.stage, code: code, path: [97], uid: 0, text: Array("no room".utf8))
    }

    @Test("content stops at the end of its credit and goes on with more")
    func keepsToCredit() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let size = WireProtocol.initialWindow + 1000
        let staging = stage(size, link)
        var received = 0
        var stream: UInt32 = 0
        while received < WireProtocol.initialWindow, let frame = await channel.heard() {
            stream = frame.stream
            if case .data(let bytes) = frame.message { received += bytes.count }
        }
        #expect(received == WireProtocol.initialWindow)
        // A question in between is not held up by the stream that waits.
        let asking = Task { try await link.close(destination: 9) }
        let question = try #require(await channel.heard())
        #expect(question.message == .close(9))
        channel.say(.closed, on: question.stream)
        try await asking.value
        channel.say(.window(400), on: stream)
        #expect(await channel.heard()?.message == .data([UInt8](repeating: 7, count: 400)))
        channel.say(.window(4000), on: stream)
        #expect(await channel.heard()?.message == .data([UInt8](repeating: 7, count: 600)))
        #expect(await channel.heard()?.message == .stageEnd(UInt64(size)))
        let staged = Staged(stage: 1, sha256: [1], size: UInt64(size))
        channel.say(.staged(staged), on: stream)
        #expect(try await staging.value == staged)
        link.drop("done")
    }

    @Test("a refusal in the middle ends the transfer, and the link stays")
    func endsWhenRefused() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let staging = stage(3 * WireProtocol.initialWindow, link)
        let first = try #require(await channel.heard())
        channel.say(.failure(refusal()), on: first.stream)
        await #expect(throws: LinkError.refused(refusal())) { try await staging.value }
        #expect(link.isOpen)
        // What comes late for a stream that is over is dropped.
        channel.say(.window(10), on: first.stream)
        let asking = Task { try await link.close(destination: 9) }
        while let frame = await channel.heard() {
            if case .close = frame.message {
                channel.say(.closed, on: frame.stream)
                break
            }
        }
        try await asking.value
        link.drop("done")
    }

    @Test("a question about more paths than a frame holds is asked in parts")
    func listsInParts() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let paths = (0..<3000).map { Array("\($0)/".utf8) + [UInt8](repeating: 97, count: 1000) }
        let asking = Task {
            var seen: [[UInt8]] = []
            let request = List(destination: 1, paths: paths)
            try await link.list(request) {
                seen.append($0.path)
            } failed: { _ in
            }
            return seen
        }
        var asked: [[UInt8]] = []
        while asked.count < paths.count, let frame = await channel.heard() {
            guard case .list(let request) = frame.message else { continue }
            asked += request.paths
            for path in request.paths { channel.say(.entries([Entry(path: path, kind: .absent)]), on: frame.stream) }
            channel.say(.listed(UInt64(request.paths.count)), on: frame.stream)
        }
        #expect(asked == paths)
        #expect(try await asking.value == paths)
        link.drop("done")
    }

    @Test("a cancelled transfer is abandoned")
    func abandons() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let staging = stage(2 * WireProtocol.initialWindow, link)
        var received = 0
        while received < WireProtocol.initialWindow, let frame = await channel.heard() {
            if case .data(let bytes) = frame.message { received += bytes.count }
        }
        staging.cancel()
        #expect(await channel.heard()?.message == .abandon(Abandon(destination: 1, stage: 1)))
        await #expect(throws: CancellationError.self) { try await staging.value }
        link.drop("done")
    }

    @Test("a peer that falls silent is given up after two pings without an answer")
    func noticesSilence() async throws {
        let (link, channel) = try await ScriptedChannel.link(pulse: .milliseconds(1))
        let ended = Gate()
        link.whenEnded { ended.signal() }
        await ended.pass()
        #expect(!link.isOpen && channel.isClosed)
        #expect(throws: LinkError.disconnected("no answer to two pings")) { try link.begin(.close(1)) }
    }

    @Test("anything that is heard between two beats is a sign of life")
    func countsEverything() {
        var heartbeat = Heartbeat(every: .seconds(20))
        var beats: [Bool] = []
        for _ in 0..<10 {
            beats += [heartbeat.beat(after: .seconds(20)), heartbeat.beat(after: .seconds(20))]
            heartbeat.hear()
        }
        #expect(beats.allSatisfy { $0 })
        let silent = (0..<3).map { _ in heartbeat.beat(after: .seconds(21)) }
        #expect(silent == [true, true, false])
    }

    @Test("after this machine has slept, a dead connection is found out within seconds, and a live one goes on")
    func noticesSleep() {
        var heartbeat = Heartbeat(every: .seconds(20))
        let early = (0..<2).map { _ in heartbeat.beat(after: .seconds(20)) }
        #expect(early == [true, true])
        // Silence before the sleep does not count.
        let woken = heartbeat.beat(after: .seconds(3600))
        #expect(woken && heartbeat.pause == .seconds(3))
        var other = heartbeat
        let silent = (0..<2).map { _ in heartbeat.beat(after: .seconds(3)) }
        #expect(silent == [true, false])
        other.hear()
        #expect(other.pause == .seconds(20))
    }

    @Test(
        "bytes that are no frame, or a message that is out of place, end the link and every request",
        arguments: [
            [UInt8](repeating: 0xFF, count: 64), Frame(.staged(Staged(stage: 1, sha256: [], size: 0))).encoded,
            Frame(.bye).encoded,
            Frame(.failure(Failure(.session, code: 71, path: [], uid: 0, text: [110, 111]))).encoded, [],
        ] as [[UInt8]])
    func endsOnGarbage(bytes: [UInt8]) async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let asking = (0..<50).map { number in Task { try await link.close(destination: UInt32(number)) } }
        for _ in asking { _ = await channel.heard() }
        channel.say(bytes)
        for task in asking { await #expect(throws: LinkError.self) { try await task.value } }
        #expect(!link.isOpen && channel.isClosed)
    }

    @Test("many requests at once get each its own answer, in whatever order")
    func keepsAnswersApart() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        let asking = (0..<500).map { number in
            Task {
                let opened = try await link.open(Open(path: Array("\(number)".utf8), generation: 1))
                return (number, opened.uid)
            }
        }
        var questions: [(stream: UInt32, number: UInt32)] = []
        while questions.count < asking.count, let frame = await channel.heard() {
            guard case .open(let open) = frame.message else { continue }
            let number = UInt32(String(decoding: open.path, as: UTF8.self))
            questions.append((frame.stream, try #require(number)))
        }
        for question in questions.reversed() {
            let opened = Opened(
                destination: 1, kind: .folder, staging: [], isSameMount: true, owner: 0, obstacle: 0, mode: 0,
                uid: question.number)
            channel.say(.opened(opened), on: question.stream)
        }
        for task in asking {
            let (number, answer) = try await task.value
            #expect(answer == UInt32(number))
        }
        link.drop("done")
    }

    @Test("a helper that never answers the greeting is given up")
    func losesPatience() async throws {
        let channel = ScriptedChannel()
        await #expect(throws: LinkError.self) {
            try await HelperLink.open(channel, generation: 1, patience: .milliseconds(1))
        }
        #expect(channel.isClosed)
    }

    @Test("another version, a refusal and nonsense in place of a welcome have their names")
    func readsGreetings() async throws {
        var other = ScriptedChannel.welcome
        other.version = 99
        let refused = Failure(.session, code: 1, path: [], uid: 0, text: [])
        for (message, error) in [
            (Message.welcome(other), LinkError.versionMismatch(theirs: 99)), (.failure(refused), .refused(refused)),
        ] {
            let channel = ScriptedChannel()
            channel.say(message)
            await #expect(throws: error) { try await HelperLink.open(channel, generation: 1) }
        }
        let channel = ScriptedChannel()
        channel.say(Array("Welcome to Alpine!\n".utf8))
        await #expect(throws: LinkError.self) { try await HelperLink.open(channel, generation: 1) }
    }

    @Test("leaving takes no longer than its limit when the helper does not say goodbye")
    func leavesInTime() async throws {
        let (link, channel) = try await ScriptedChannel.link()
        #expect(await link.end(removingHelper: true, limit: .milliseconds(1))?.hasPrefix("no answer within") == true)
        #expect(!link.isOpen && channel.isClosed)
    }

    @Test("a helper that is gone is nothing to tell, one that cannot remove itself is told with its reason")
    func leaves() async throws {
        let refusal = Failure(.removeSelf, code: 30, path: [], uid: 0, text: Array("read-only".utf8))
        for (answer, isTold) in [(Message.bye, false), (.failure(refusal), true)] {
            let (link, channel) = try await ScriptedChannel.link()
            let told = Mutex<[String]>([])
            let access = LinkAccess(
                link, removesHelper: true, description: "the helper", patience: .seconds(240)
            ) { line in
                told.withLock { $0.append(line) }
            }
            async let ended: Void = access.end()
            while let frame = await channel.heard(), frame.message != .removeSelf {}
            channel.say(answer)
            await ended
            #expect(told.withLock { $0.contains { $0.hasPrefix("the helper may stay there: ") } } == isTold)
        }
    }
}

@Suite("The outbox", .turn) struct OutboxTests {
    @Test("holds back who has much to send until it was taken, and lets everybody pass when it is closed")
    func isBounded() async throws {
        let outbox = Outbox()
        await outbox.waitForRoom()
        for _ in 0..<9 { outbox.append(Frame(.data([UInt8](repeating: 1, count: 256 << 10)), on: 1)) }
        let passed = Counter()
        let senders = (0..<20).map { _ in
            Task {
                await outbox.waitForRoom()
                passed.add()
            }
        }
        #expect(passed.count == 0)
        #expect(await outbox.take()?.count ?? 0 > 2 << 20)
        for sender in senders { await sender.value }
        for _ in 0..<9 { outbox.append(Frame(.data([UInt8](repeating: 1, count: 256 << 10)), on: 1)) }
        let late = Task { await outbox.waitForRoom() }
        outbox.close()
        await late.value
        #expect(await outbox.take() == nil)
        outbox.append(Frame(.bye))
        #expect(await outbox.take() == nil)
    }

    @Test("gives out everything that waits at once, in order")
    func gathers() async throws {
        let outbox = Outbox()
        for number in 0..<100 { outbox.append(Frame(.ping(UInt64(number)))) }
        var decoder = FrameDecoder()
        decoder.feed(try #require(await outbox.take()))
        for number in 0..<100 { #expect(try decoder.next()?.message == .ping(UInt64(number))) }
        outbox.close()
    }
}

/// Counts what tasks do.
private final class Counter: Sendable {
    private let state = Mutex(0)
    var count: Int { state.withLock { $0 } }
    func add() { state.withLock { $0 += 1 } }
}
