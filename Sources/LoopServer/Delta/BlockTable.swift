internal import Wire

/// The blocks that a content consists of, in order: what the other end is known to have.
struct BlockTable: Sendable {
    private(set) var blocks: [Block] = []
    /// Where each block begins.
    private var offsets: [UInt64] = []
    /// How many bytes there are.
    private(set) var size: UInt64 = 0

    /// An empty table.
    init() {}

    /// A table of blocks in their order.
    init(_ blocks: [Block]) {
        for block in blocks { append(block) }
    }

    /// Adds the next block.
    mutating func append(_ block: Block) {
        blocks.append(block)
        offsets.append(size)
        size += UInt64(block.length)
    }

    /// Where a block begins.
    func offset(of number: Int) -> UInt64 { offsets[number] }

    /// The numbers of the blocks, by what tells them apart; of several alike, the first.
    var numbers: [Block: Int] {
        Dictionary(zip(blocks, blocks.indices)) { first, _ in first }
    }
}
