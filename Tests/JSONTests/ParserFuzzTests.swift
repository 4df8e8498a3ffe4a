import JSON
import Testing

/// SplitMix64: small, and the same everywhere for the same seed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

@Suite("Random JSON")
struct ParserFuzzTests {
    @Test("any value survives being written and read, in both parsers and both layouts")
    func roundTrip() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        for _ in 0..<2000 {
            let value = ParserFuzzTests.value(depth: 4, &random)
            try #require(try JSON(parsing: value.text) == value, "seed \(seed)")
            try #require(try JSON(parsing: value.pretty()) == value, "seed \(seed)")
            try #require(try LocatedJSON(parsingJSON5: value.pretty(indent: 3)).json == value, "seed \(seed)")
        }
    }

    @Test("damaged texts are read or refused, and what strict JSON accepts, JSON5 reads alike")
    func damage() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("seed \(seed)")
        var random = SeededGenerator(seed: seed)
        let pieces = Array("{}[]\"'\\:,0123456789.eE+-xu/* \n\ttrufalsn$_".utf8) + [0xFF, 0xC3, 0xA9, 0xED, 0xA0, 0x00]
        var accepted = 0
        for _ in 0..<20_000 {
            var bytes = ParserFuzzTests.value(depth: 3, &random).bytes
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                let place = Int.random(in: 0...bytes.count, using: &random)
                switch Int.random(in: 0...2, using: &random) {
                case 0: bytes.insert(pieces.randomElement(using: &random) ?? 0, at: place)
                case 1: bytes = Array(bytes[..<place])
                default: if place < bytes.count { bytes[place] = pieces.randomElement(using: &random) ?? 0 }
                }
            }
            guard let strict = try? JSON(parsing: bytes) else {
                _ = try? LocatedJSON(parsingJSON5: bytes)
                continue
            }
            accepted += 1
            try #require(try JSON(parsing: strict.bytes) == strict, "seed \(seed)")
            try #require(try LocatedJSON(parsingJSON5: bytes).json == strict, "seed \(seed): \(bytes)")
        }
        // Both ways have to happen, or the test shows nothing.
        #expect((1000..<19_000).contains(accepted), "seed \(seed)")
    }

    private static func value(depth: Int, _ random: inout SeededGenerator) -> JSON {
        switch Int.random(in: 0...(depth > 0 ? 7 : 5), using: &random) {
        case 0: return .null
        case 1: return .bool(Bool.random(using: &random))
        case 2: return .integer(Int64(bitPattern: random.next()))
        case 3:
            let double = Double(bitPattern: random.next())
            // A number without a fraction that fits would be read back as a whole one.
            return double.isFinite && double != 0 ? .double(double) : .integer(0)
        case 4, 5: return .string(text(&random))
        case 6: return .array((0..<Int.random(in: 0...4, using: &random)).map { _ in value(depth: depth - 1, &random) })
        default:
            var object = JSONObject()
            for _ in 0..<Int.random(in: 0...20, using: &random) {
                object[text(&random)] = value(depth: depth - 2, &random)
            }
            return .object(object)
        }
    }

    private static func text(_ random: inout SeededGenerator) -> String {
        var text = ""
        for _ in 0..<Int.random(in: 0...8, using: &random) {
            let ranges: [ClosedRange<UInt32>] = [0...0x7F, 0x80...0x7FF, 0x800...0xD7FF, 0x10000...0x10FFFF]
            let range = ranges.randomElement(using: &random) ?? 0...0x7F
            if let scalar = Unicode.Scalar(UInt32.random(in: range, using: &random)) {
                text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
