/// Appends fields to bytes, integers little-endian, byte strings and lists with their count (u32) in front.
struct ByteWriter {
    /// What was written so far.
    private(set) var bytes: [UInt8]

    /// A writer that goes on behind `bytes`.
    init(_ bytes: [UInt8] = []) {
        self.bytes = bytes
    }

    /// Appends an integer in its own width.
    mutating func write<Value: FixedWidthInteger>(_ value: Value) {
        var rest = value
        for _ in 0..<Value.bitWidth / 8 {
            bytes.append(UInt8(truncatingIfNeeded: rest))
            rest >>= 8
        }
    }

    /// Appends 1 or 0.
    mutating func write(_ value: Bool) { bytes.append(value ? 1 : 0) }

    /// Appends a counted byte string.
    mutating func write(_ value: [UInt8]) {
        write(UInt32(truncatingIfNeeded: value.count))
        bytes += value
    }

    /// Appends bytes without a count.
    mutating func writeRaw(_ value: [UInt8]) { bytes += value }

    /// Appends a counted list of byte strings.
    mutating func write(_ values: [[UInt8]]) {
        write(UInt32(truncatingIfNeeded: values.count))
        for value in values { write(value) }
    }

    /// Appends a counted list.
    mutating func write<Element: WireCodable>(_ values: [Element]) {
        write(UInt32(truncatingIfNeeded: values.count))
        for value in values { value.encode(to: &self) }
    }

    /// Appends a value, field by field.
    mutating func write<Value: WireCodable>(_ value: Value) { value.encode(to: &self) }

    mutating func overwrite(_ value: UInt32, at index: Int) {
        for byte in 0..<4 { bytes[index + byte] = UInt8(truncatingIfNeeded: value >> UInt32(8 * byte)) }
    }
}
