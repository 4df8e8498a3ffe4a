internal import CHash
internal import Wire

/// Compares content with what the other end has, block by block, as it is read: a pure state machine.
///
/// Feed it pieces in order, take what is decided after each, and say when there is no more.
struct DeltaScan: Sendable {
    /// The next part of the content.
    enum Part: Equatable, Sendable {
        /// The other end has it at this place of the base.
        case copy(offset: UInt64, length: UInt64)
        /// It has to travel.
        case data([UInt8])
    }

    /// What was scanned so far, for the next comparison.
    private(set) var table = BlockTable()
    private let base: BlockTable
    /// Made when it is needed first: until something differs, the blocks come in their order.
    private lazy var numbers = base.numbers
    /// The block of the base that comes next if nothing has changed since the last one that was found.
    private var expected: Int? = 0
    private var pending: [UInt8] = []
    private var parts: [Part] = []

    /// A comparison with `base`.
    init(base: BlockTable) {
        self.base = base
    }

    /// Takes the next piece; with `isLast` everything that is left is decided.
    ///
    /// Returns the parts that are decided now. Neighbouring ones are joined.
    mutating func feed(_ bytes: [UInt8], isLast: Bool) -> [Part] {
        defer { parts = [] }
        let enough = 2 * Int(CHASH_BLOCK_MAX)
        guard !pending.isEmpty, bytes.count > enough else {
            let all = pending.isEmpty ? bytes : pending + bytes
            let used = all.withUnsafeBytes { scan($0, isLast: isLast) }
            pending = Array(all[used...])
            return parts
        }
        // What was left over is joined with as much as its blocks can reach, not with all: a copy of everything would cost
        // as much as to look for the blocks.
        let joined = pending + bytes[..<enough]
        let start = joined.withUnsafeBytes { scan($0, isLast: false) } - pending.count
        let used = bytes.withUnsafeBytes { scan(UnsafeRawBufferPointer(rebasing: $0[start...]), isLast: isLast) }
        pending = Array(bytes[(start + used)...])
        return parts
    }

    private mutating func scan(_ bytes: UnsafeRawBufferPointer, isLast: Bool) -> Int {
        guard let start = bytes.baseAddress else { return 0 }
        var position = 0
        var unsent = 0
        while position < bytes.count, isLast || bytes.count - position >= Int(CHASH_BLOCK_MAX) {
            let here = start + position
            let left = bytes.count - position
            let (block, number) = next(here, left)
            if let number {
                flush(bytes, unsent..<position)
                copy(number)
                unsent = position + Int(block.length)
            }
            expected = number.map { $0 + 1 }
            table.append(block)
            position += Int(block.length)
        }
        flush(bytes, unsent..<position)
        return position
    }

    /// The next block, and its number in the base.
    ///
    /// Where nothing changed the base's own borders hold: a fast hash then decides, and no border has to be looked for.
    private mutating func next(_ bytes: UnsafeRawPointer, _ left: Int) -> (Block, Int?) {
        if let expected, expected < base.blocks.count {
            let block = base.blocks[expected]
            if Int(block.length) <= left, chash_block(bytes, Int(block.length)) == block.hash {
                return (block, expected)
            }
        }
        let length = chash_cut(bytes, left)
        let block = Block(length: UInt32(length), hash: chash_block(bytes, length))
        return (block, numbers[block])
    }

    private mutating func copy(_ number: Int) {
        let offset = base.offset(of: number)
        let length = UInt64(base.blocks[number].length)
        if case .copy(let before, let count) = parts.last, before + count == offset {
            parts[parts.count - 1] = .copy(offset: before, length: count + length)
        } else {
            parts.append(.copy(offset: offset, length: length))
        }
    }

    private mutating func flush(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        guard !range.isEmpty else { return }
        parts.append(.data(Array(bytes[range])))
    }
}
