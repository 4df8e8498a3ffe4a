/// Reads parts of a file that may say anything about itself: bounded, and kept for the next part near by.
struct FileBytes {
    /// What lies outside of the file.
    struct Outside: Error {}

    let size: UInt64
    private let read: (_ offset: Int64, _ limit: Int) throws -> [UInt8]
    private var kept: [UInt8] = []
    private var keptAt: UInt64 = 0

    private static let piece = 16 << 10

    /// A file of `size` bytes; `read` returns at most `limit` of them, fewer at its end only.
    init(size: UInt64, read: @escaping (_ offset: Int64, _ limit: Int) throws -> [UInt8]) {
        self.size = size
        self.read = read
    }

    /// The bytes at an offset; `count` is at most what the caller is willing to hold.
    mutating func bytes(at offset: UInt64, count: Int) throws -> ArraySlice<UInt8> {
        let (end, overflow) = offset.addingReportingOverflow(UInt64(count))
        guard !overflow, end <= size, end <= UInt64(Int64.max) else { throw Outside() }
        if offset < keptAt || end > keptAt + UInt64(kept.count) {
            kept = try read(Int64(offset), max(count, FileBytes.piece))
            keptAt = offset
        }
        let start = Int(offset - keptAt)
        guard start + count <= kept.count else { throw Outside() }
        return kept[start..<start + count]
    }

    /// A string that ends with a zero byte, of at most `limit` bytes.
    mutating func string(at offset: UInt64, limit: Int = 4096) throws -> String? {
        guard offset < size else { throw Outside() }
        let bytes = try bytes(at: offset, count: Int(min(size - offset, UInt64(limit))))
        guard let end = bytes.firstIndex(of: 0) else { return nil }
        return String(decoding: bytes[..<end], as: UTF8.self)
    }
}

extension ArraySlice<UInt8> {
    /// A number at a position from the start of the slice.
    func number<Number: FixedWidthInteger>(_ position: Int, isLittleEndian: Bool) -> Number {
        let size = MemoryLayout<Number>.size
        return (0..<size).reduce(0) { value, step in
            let place = isLittleEndian ? size - 1 - step : step
            return value << 8 | Number(truncatingIfNeeded: self[startIndex + position + place])
        }
    }
}
