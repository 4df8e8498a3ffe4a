/// A `Range` header of one range of bytes; several at once are answered with the whole, as HTTP allows.
struct ByteRange: Equatable {
    private let first: Int?
    private let last: Int?

    /// Reads `bytes=0-99`, `bytes=100-` or `bytes=-50`; `nil` for anything else.
    init?(_ header: String?) {
        guard let header, header.hasPrefix("bytes=") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        first = Int(parts[0])
        last = Int(parts[1])
        if first == nil, last == nil { return nil }
        if let first, let last, first > last { return nil }
    }

    /// The bytes of a blob of this size; `nil` where it has none of them.
    func bytes(of size: Int) -> Range<Int>? {
        guard let first else {
            let count = min(last ?? 0, size)
            return count > 0 ? size - count..<size : nil
        }
        return first < size ? first..<min(last ?? .max, size - 1) + 1 : nil
    }
}
