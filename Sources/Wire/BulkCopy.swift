/// Moving many bytes at once.
///
/// Embedded Swift makes loops of single bytes of how an array is sliced, grown and cut, which cost the helper more than its
/// system calls; what it appends from memory is copied at once.
extension [UInt8] {
    /// A copy of bytes.
    init(copying source: UnsafeRawBufferPointer) {
        self.init(unsafeUninitializedCapacity: source.count) { buffer, count in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: source)
            count = source.count
        }
    }

    /// Appends a copy of bytes.
    mutating func append(copying source: UnsafeRawBufferPointer) {
        guard count + source.count > capacity else { return append(contentsOf: source) }
        let present = count
        self = withUnsafeBytes { old in
            [UInt8](unsafeUninitializedCapacity: Swift.max(2 * capacity, present + source.count)) { buffer, count in
                let new = UnsafeMutableRawBufferPointer(buffer)
                new.copyMemory(from: old)
                UnsafeMutableRawBufferPointer(rebasing: new[present...]).copyMemory(from: source)
                count = present + source.count
            }
        }
    }

    /// Removes the first `number` bytes; the memory is kept.
    mutating func dropPrefix(_ number: Int) {
        withUnsafeMutableBytes { bytes in
            bytes.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[number...]))
        }
        removeLast(number)
    }
}
