/// Reads fields from a payload; every read is checked against what is there, so that no count can make it allocate more
/// than the payload's own size.
struct ByteReader {
    private let bytes: [UInt8]
    private var position: Int
    private let end: Int

    /// A reader of a whole payload.
    init(_ bytes: [UInt8]) {
        self.init(bytes, 0..<bytes.count)
    }

    init(_ bytes: [UInt8], _ range: Range<Int>) {
        self.bytes = bytes
        position = range.lowerBound
        end = range.upperBound
    }

    /// How many bytes are left.
    var remaining: Int { end - position }

    /// Reads an integer.
    mutating func read<Value: FixedWidthInteger>(_ type: Value.Type = Value.self) throws(WireError) -> Value {
        let width = Value.bitWidth / 8
        guard remaining >= width else { throw .truncated }
        var value: Value = 0
        for index in 0..<width {
            value |= Value(truncatingIfNeeded: bytes[position + index]) << Value(truncatingIfNeeded: 8 * index)
        }
        position += width
        return value
    }

    /// Reads a 1 or a 0; anything else is invalid.
    mutating func readBool() throws(WireError) -> Bool {
        switch try read(UInt8.self) {
        case 0: return false
        case 1: return true
        default: throw .invalidValue
        }
    }

    /// Reads a counted byte string.
    mutating func readBytes() throws(WireError) -> [UInt8] {
        let count = Int(try read(UInt32.self))
        return try readRaw(count)
    }

    /// Reads `count` bytes.
    mutating func readRaw(_ count: Int) throws(WireError) -> [UInt8] {
        guard count <= remaining else { throw .truncated }
        defer { position += count }
        return Array(bytes[position..<position + count])
    }

    /// Reads a counted list of byte strings.
    mutating func readByteStrings() throws(WireError) -> [[UInt8]] {
        let count = try readCount(minimumSize: 4)
        var values: [[UInt8]] = []
        values.reserveCapacity(count)
        for _ in 0..<count { values.append(try readBytes()) }
        return values
    }

    /// Reads a counted list.
    mutating func readList<Element: WireCodable>(
        _ type: Element.Type = Element.self
    ) throws(WireError) -> [Element] {
        let count = try readCount(minimumSize: Element.minimumSize)
        var values: [Element] = []
        for _ in 0..<count { values.append(try Element(from: &self)) }
        return values
    }

    /// Fails unless every byte was read.
    func finish() throws(WireError) {
        guard remaining == 0 else { throw .trailingBytes }
    }

    private mutating func readCount(minimumSize: Int) throws(WireError) -> Int {
        let count = Int(try read(UInt32.self))
        guard count <= remaining / minimumSize else { throw .truncated }
        return count
    }
}

/// A value with a fixed way to stand in a payload.
protocol WireCodable {
    /// The fewest bytes that a value takes; bounds how many can be announced.
    static var minimumSize: Int { get }
    /// Reads the fields in order.
    init(from reader: inout ByteReader) throws(WireError)
    /// Writes the fields in the same order.
    func encode(to writer: inout ByteWriter)
}
