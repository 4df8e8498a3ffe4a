/// Finds where the body of a request ends, without changing anything of it.
struct BodyScan {
    private enum Phase {
        case plain(left: Int)
        case size(value: Int, digits: Int)
        case `extension`(value: Int)
        case sizeEnd(value: Int)
        case content(left: Int)
        case contentEnd(carriage: Bool)
        /// A trailer's line, or the empty one that ends all.
        case trailer(length: Int)
        case done
    }
    private var phase: Phase
    private var trailerBytes = 0

    /// A chunk's size line or a trailer that goes on for ever is refused.
    private static let mostTrailerBytes = 64 << 10

    init(_ body: ProxyRequest.Body) {
        switch body {
        case .length(0): phase = .done
        case .length(let count): phase = .plain(left: count)
        case .chunked: phase = .size(value: 0, digits: 0)
        }
    }

    var isDone: Bool {
        if case .done = phase { true } else { false }
    }

    /// How many of these bytes are the body's; throws where they are no body.
    mutating func take(_ bytes: [UInt8]) throws(ProxyRequest.Malformed) -> Int {
        var index = 0
        while index < bytes.count {
            switch phase {
            case .done: return index
            case .plain(let left):
                let count = min(left, bytes.count - index)
                index += count
                phase = count == left ? .done : .plain(left: left - count)
            case .content(let left):
                let count = min(left, bytes.count - index)
                index += count
                phase = count == left ? .contentEnd(carriage: false) : .content(left: left - count)
            default:
                try step(bytes[index])
                index += 1
            }
        }
        return index
    }

    private mutating func step(_ byte: UInt8) throws(ProxyRequest.Malformed) {
        switch phase {
        case .size(let value, let digits):
            if let digit = BodyScan.digit(byte) {
                guard digits < 15 else { throw malformed }
                phase = .size(value: value << 4 | digit, digits: digits + 1)
            } else if digits > 0, byte == 0x0D {
                phase = .sizeEnd(value: value)
            } else if digits > 0, byte == 0x3B || byte == 0x20 || byte == 0x09 {
                phase = .extension(value: value)
            } else {
                throw malformed
            }
        case .extension(let value):
            try count()
            if byte == 0x0D { phase = .sizeEnd(value: value) } else if byte == 0x0A { throw malformed }
        case .sizeEnd(let value):
            guard byte == 0x0A else { throw malformed }
            trailerBytes = 0
            phase = value == 0 ? .trailer(length: 0) : .content(left: value)
        case .contentEnd(let carriage):
            guard byte == (carriage ? 0x0A : 0x0D) else { throw malformed }
            phase = carriage ? .size(value: 0, digits: 0) : .contentEnd(carriage: true)
        case .trailer(let length):
            try count()
            // Carriage returns are counted with their line: an empty one has nothing else.
            if byte == 0x0A {
                phase = length <= 1 ? .done : .trailer(length: 0)
            } else {
                phase = .trailer(length: length + 1)
            }
        case .plain, .content, .done: break
        }
    }

    private mutating func count() throws(ProxyRequest.Malformed) {
        trailerBytes += 1
        guard trailerBytes <= BodyScan.mostTrailerBytes else { throw malformed }
    }

    private var malformed: ProxyRequest.Malformed { ProxyRequest.Malformed(text: "a body that is not in chunks") }

    private static func digit(_ byte: UInt8) -> Int? {
        switch byte {
        case 0x30...0x39: Int(byte) - 0x30
        case 0x41...0x46: Int(byte) - 0x41 + 10
        case 0x61...0x66: Int(byte) - 0x61 + 10
        default: nil
        }
    }
}
