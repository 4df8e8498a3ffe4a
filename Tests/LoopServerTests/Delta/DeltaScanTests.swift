import Testing
import Wire

@testable import LoopServer

@Suite("Comparing content block by block") struct DeltaScanTests {
    /// The parts of `content` against `base`, fed in pieces of random length.
    private func parts(
        of content: [UInt8], against base: BlockTable, _ generator: inout SeededGenerator
    ) -> (parts: [DeltaScan.Part], table: BlockTable) {
        var scan = DeltaScan(base: base)
        var parts: [DeltaScan.Part] = []
        var start = 0
        while start < content.count {
            let end = min(content.count, start + Int.random(in: 1...300_000, using: &generator))
            parts += scan.feed(Array(content[start..<end]), isLast: end == content.count)
            start = end
        }
        return (parts, scan.table)
    }

    private func assembled(_ parts: [DeltaScan.Part], from base: [UInt8]) -> [UInt8] {
        parts.flatMap { part in
            switch part {
            case .copy(let offset, let length): Array(base[Int(offset)..<Int(offset + length)])
            case .data(let bytes): bytes
            }
        }
    }

    private func sent(_ parts: [DeltaScan.Part]) -> Int {
        parts.reduce(0) { if case .data(let bytes) = $1 { $0 + bytes.count } else { $0 } }
    }

    private func random(_ count: Int, _ generator: inout SeededGenerator) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) }
    }

    @Test("the parts make the content again, and a small change sends little, wherever it is", arguments: 0..<12)
    func smallChanges(_ round: UInt64) {
        var generator = SeededGenerator(seed: round)
        let base = random(2_000_000, &generator)
        let (all, table) = parts(of: base, against: BlockTable(), &generator)
        #expect(sent(all) == base.count)
        #expect(table.size == UInt64(base.count))
        var content = base
        let place = Int.random(in: 0..<content.count, using: &generator)
        switch round % 4 {
        case 0: content[place] ^= 1
        case 1: content.insert(contentsOf: random(100, &generator), at: place)
        case 2: content.removeSubrange(place..<min(content.count, place + 5000))
        default: content = Array(content[place...]) + content[..<place]
        }
        let (changed, next) = parts(of: content, against: table, &generator)
        #expect(assembled(changed, from: base) == content)
        #expect(sent(changed) < 80_000)
        #expect(next.size == UInt64(content.count))
    }

    @Test("nothing in common, nothing at all, and all the same")
    func extremes() {
        var generator = SeededGenerator(seed: 99)
        let base = random(500_000, &generator)
        let (_, table) = parts(of: base, against: BlockTable(), &generator)
        let other = random(400_000, &generator)
        let (strange, _) = parts(of: other, against: table, &generator)
        #expect(assembled(strange, from: base) == other)
        let (same, _) = parts(of: base, against: table, &generator)
        #expect(same == [.copy(offset: 0, length: UInt64(base.count))] || sent(same) == 0)
        #expect(parts(of: [], against: table, &generator).parts.isEmpty)
    }

    @Test("zeros, which have no borders of their own, are cut all the same")
    func zeros() {
        var generator = SeededGenerator(seed: 5)
        let base = [UInt8](repeating: 0, count: 1_000_000)
        let (_, table) = parts(of: base, against: BlockTable(), &generator)
        #expect(table.blocks.count > 1)
        let content = base + [1] + base
        let (changed, _) = parts(of: content, against: table, &generator)
        #expect(assembled(changed, from: base) == content)
        #expect(sent(changed) < 40_000)
    }
}
