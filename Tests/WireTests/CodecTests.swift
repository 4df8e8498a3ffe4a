import Testing
import Wire

@Suite("Frames")
struct CodecTests {
    private func decode(_ bytes: [UInt8], pieces: Int) throws -> [Frame] {
        var decoder = FrameDecoder()
        var frames: [Frame] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            decoder.feed(Array(rest.prefix(pieces)))
            rest = rest.dropFirst(pieces)
            while let frame = try decoder.next() { frames.append(frame) }
        }
        #expect(decoder.isAtBoundary)
        return frames
    }

    @Test("every type of message has a sample")
    func complete() {
        #expect(Set(samples.map(\.type)) == Set(MessageType.allCases))
    }

    @Test("every message survives the way", arguments: samples)
    func roundTrip(_ message: Message) throws {
        let frame = Frame(message, on: 0xDEAD_BEEF)
        #expect(try decode(frame.encoded, pieces: .max) == [frame])
    }

    @Test("frames survive being cut anywhere; data comes in pieces that add up", arguments: [1, 2, 7, 64, 1000])
    func pieces(_ size: Int) throws {
        let sent = samples.enumerated().map { Frame($1, on: UInt32($0)) }
        let received = try decode(sent.flatMap(\.encoded), pieces: size)
        var joined: [Frame] = []
        for frame in received {
            if case .data(let more) = frame.message, case .data(let before)? = joined.last?.message,
                joined.last?.stream == frame.stream
            {
                joined[joined.count - 1].message = .data(before + more)
            } else {
                joined.append(frame)
            }
        }
        #expect(joined == sent)
    }

    @Test("the layout of the first frame never changes")
    func layout() {
        let bytes = Frame(.hello(Hello(generation: 2, heartbeatSeconds: 3, capabilities: .files, version: 1))).encoded
        #expect(
            bytes == [
                20, 0, 0, 0, 1, 0, 0, 0, 0, 108, 111, 111, 112, 1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0,
            ])
    }

    @Test("a payload cut short by any number of bytes is an error", arguments: samples)
    func truncatedPayload(_ message: Message) {
        // Content may have any length, an empty one included.
        if case .data = message { return }
        let whole = Frame(message, on: 1).encoded
        for count in WireProtocol.headerLength..<max(WireProtocol.headerLength, whole.count) {
            var bytes = Array(whole[..<count])
            let length = UInt32(count - WireProtocol.headerLength)
            for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
            var decoder = FrameDecoder()
            decoder.feed(bytes)
            #expect(throws: WireError.self) { try decoder.next() }
        }
    }

    @Test("a payload with a byte too many is an error", arguments: samples)
    func trailingByte(_ message: Message) {
        if case .data = message { return }
        var bytes = Frame(message, on: 1).encoded + [0]
        let length = UInt32(bytes.count - WireProtocol.headerLength)
        for index in 0..<4 { bytes[index] = UInt8(truncatingIfNeeded: length >> UInt32(8 * index)) }
        var decoder = FrameDecoder()
        decoder.feed(bytes)
        #expect(throws: WireError.trailingBytes) { try decoder.next() }
    }

    @Test("a stream that ends within a frame gives no frame and no error, and is not at a boundary")
    func truncatedStream() throws {
        let bytes = Frame(.ping(1)).encoded
        for count in 1..<bytes.count {
            var decoder = FrameDecoder()
            decoder.feed(Array(bytes[..<count]))
            #expect(try decoder.next() == nil)
            #expect(!decoder.isAtBoundary)
        }
    }

    @Test("hostile lengths and counts are errors and reserve nothing")
    func hostile() throws {
        var decoder = FrameDecoder()
        decoder.feed([0xFF, 0xFF, 0xFF, 0xFF, 3, 0, 0, 0, 0])
        #expect(throws: WireError.frameTooLong(.max)) { try decoder.next() }
        #expect(throws: WireError.frameTooLong(.max)) { try decoder.next() }
        decoder = FrameDecoder()
        decoder.feed([0, 0, 0, 0, 200, 0, 0, 0, 0])
        #expect(throws: WireError.unknownType(200)) { try decoder.next() }
        // An announced megabyte of a listing: nothing is held but what came.
        decoder = FrameDecoder()
        decoder.feed([0, 0, 16, 0, MessageType.entries.rawValue, 0, 0, 0, 0])
        #expect(try decoder.next() == nil)
        #expect(decoder.buffered == 9)
        // Four billion elements in four bytes.
        for type in [MessageType.entries, .committed] {
            decoder = FrameDecoder()
            decoder.feed([4, 0, 0, 0, type.rawValue, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF])
            #expect(throws: WireError.truncated) { try decoder.next() }
        }
    }

    @Test("random and mutated bytes give frames or an error, never more")
    func fuzz() {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed of the decoder's fuzzing: \(seed)")
        var generator = SplitMix(state: seed)
        let whole = samples.flatMap { Frame($0, on: 3).encoded }
        for round in 0..<3000 {
            var bytes: [UInt8]
            if round % 3 == 0 {
                bytes = (0..<Int.random(in: 0...200, using: &generator)).map { _ in
                    UInt8.random(in: 0...255, using: &generator)
                }
            } else {
                bytes = whole
                for _ in 0..<Int.random(in: 1...8, using: &generator) {
                    bytes[Int.random(in: 0..<bytes.count, using: &generator)] = .random(in: 0...255, using: &generator)
                }
                if round % 3 == 1 { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
            }
            var decoder = FrameDecoder()
            var taken = 0
            decoder.feed(bytes)
            do {
                while try decoder.next() != nil { taken += 1 }
                #expect(decoder.buffered <= bytes.count, "seed \(seed), round \(round)")
            } catch {
                #expect(throws: error) { try decoder.next() }
            }
            #expect(taken <= bytes.count, "seed \(seed), round \(round)")
        }
    }
}

private struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
