import CAgent

/// Paths and texts are bytes: file names on Linux are, and strings would bring Unicode's tables along.
typealias Bytes = [UInt8]

extension [UInt8] {
    init(_ text: StaticString) {
        self.init(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    init(cString pointer: UnsafePointer<CChar>) {
        self = UnsafeRawBufferPointer(start: pointer, count: strlen(pointer)).map { $0 }
    }

    init(decimal value: UInt64) {
        var digits: [UInt8] = []
        var rest = value
        repeat {
            digits.append(48 + UInt8(rest % 10))
            rest /= 10
        } while rest > 0
        self = digits.reversed()
    }

    /// Two lower-case digits for each byte.
    var hexadecimal: [UInt8] {
        var text: [UInt8] = []
        text.reserveCapacity(count * 2)
        for byte in self {
            for digit in [byte >> 4, byte & 15] { text.append(digit < 10 ? 48 + digit : 87 + digit) }
        }
        return text
    }

    init(hexadecimal value: UInt64) {
        self = (0..<8).map { UInt8(truncatingIfNeeded: value >> UInt64(56 - 8 * $0)) }.hexadecimal
    }

    /// Calls `body` with the bytes as a C string.
    func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        let terminated = [CChar](unsafeUninitializedCapacity: count + 1) { text, used in
            for index in 0..<count { text[index] = CChar(bitPattern: self[index]) }
            text[count] = 0
            used = count + 1
        }
        return body(terminated)
    }

    func hasPrefix(_ prefix: [UInt8]) -> Bool { count >= prefix.count && self[..<prefix.count] == prefix[...] }
}
