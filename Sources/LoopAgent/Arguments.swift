import CAgent

/// The words of the command line, taken one by one.
struct Arguments {
    private var position = 1
    private let count = Int(cagent_argument_count())

    var isEmpty: Bool { position >= count }

    /// What is left, ended by a null pointer as `execve` wants it.
    var pointers: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> { cagent_arguments() + position }

    private var first: Bytes? {
        isEmpty ? nil : cagent_arguments()[position].map { Bytes(cString: $0) }
    }

    /// The next word.
    mutating func next() -> Bytes? {
        defer { position += 1 }
        return first
    }

    /// Takes the next word if it is this one.
    mutating func take(_ word: StaticString) -> Bool {
        guard first == Bytes(word) else { return false }
        position += 1
        return true
    }

    /// The word of `--state FOLDER`, or what stands for it; `nil` when the folder is missing.
    mutating func takeState() -> Bytes? {
        take("--state") ? next() : Bytes("/.loopd/state")
    }

    /// The next word as a number.
    mutating func number(upTo limit: UInt64 = 1 << 31) -> UInt64? {
        guard let word = next(), let value = UInt64(decimal: word), value <= limit else { return nil }
        return value
    }
}

extension UInt64 {
    /// The number that these digits are.
    init?(decimal digits: Bytes) {
        guard !digits.isEmpty, digits.count < 19 else { return nil }
        var value: UInt64 = 0
        for digit in digits {
            guard digit >= 48, digit <= 57 else { return nil }
            value = value * 10 + UInt64(digit - 48)
        }
        self = value
    }
}

/// Writes one line to standard error.
func complain(_ line: Bytes) {
    let text = line + [10]
    _ = text.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
}
