internal import Glibc

/// What a frame is.
enum WebSocketOpcode: UInt8 {
    case continuation = 0
    case text = 1
    case binary = 2
    case close = 8
    case ping = 9
    case pong = 10

    var isControl: Bool { rawValue >= 8 }
}

/// The fixed part of a frame.
struct WebSocketFrameHead: Equatable {
    var isFinal: Bool
    var opcode: WebSocketOpcode
    var mask: UInt32?
    var count: Int

    /// How many bytes a head takes that begins with these two.
    static func size(_ first: UInt8, _ second: UInt8) -> Int {
        let length = second & 0x7F
        return 2 + (length == 126 ? 2 : length == 127 ? 8 : 0) + (second & 0x80 != 0 ? 4 : 0)
    }

    /// Reads a head; `byte` gives its bytes by index.
    init(size: Int, _ byte: (Int) -> UInt8) throws(HTTPError) {
        let first = byte(0)
        guard first & 0x70 == 0, let opcode = WebSocketOpcode(rawValue: first & 0x0F) else {
            throw .malformed("a WebSocket frame with reserved bits")
        }
        isFinal = first & 0x80 != 0
        self.opcode = opcode
        let masked = byte(1) & 0x80 != 0
        let short = Int(byte(1) & 0x7F)
        let end = masked ? size - 4 : size
        var length = UInt64(short)
        if short >= 126 {
            length = (2..<end).reduce(UInt64(0)) { $0 << 8 | UInt64(byte($1)) }
            guard short == 126 ? length >= 126 : length > 0xFFFF else {
                throw .malformed("a WebSocket length in too many bytes")
            }
        }
        guard let count = Int(exactly: length) else { throw .malformed("a WebSocket length above 2^63") }
        self.count = count
        // As the bytes lie in memory: the mask goes over the payload in that order.
        mask = masked ? (0..<4).reduce(UInt32(0)) { $0 | UInt32(byte(end + $1)) << UInt32(8 * $1) } : nil
        guard !opcode.isControl || isFinal && count < 126 else {
            throw .malformed("a WebSocket control frame in pieces or with more than 125 bytes")
        }
    }

    init(isFinal: Bool = true, opcode: WebSocketOpcode, mask: UInt32?, count: Int) {
        self.isFinal = isFinal
        self.opcode = opcode
        self.mask = mask
        self.count = count
    }

    /// The head as it goes over the wire.
    var bytes: [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(16)
        out.append((isFinal ? 0x80 : 0) | opcode.rawValue)
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        switch count {
        case ..<126: out.append(maskBit | UInt8(count))
        case ..<65536:
            out.append(maskBit | 126)
            out.append(UInt8(count >> 8))
            out.append(UInt8(truncatingIfNeeded: count))
        default:
            out.append(maskBit | 127)
            for shift in stride(from: 56, through: 0, by: -8) { out.append(UInt8(truncatingIfNeeded: count >> shift)) }
        }
        if let mask {
            for shift in stride(from: 0, to: 32, by: 8) { out.append(UInt8(truncatingIfNeeded: mask >> UInt32(shift))) }
        }
        return out
    }
}

/// The exclusive-or that clients put over their payloads.
enum WebSocketMask {
    /// Writes `source` under `mask` to `target`, 8 bytes at a time; `phase` is the position of the first byte in the
    /// frame's payload.
    ///
    /// Both may be the same memory.
    static func apply(
        _ mask: UInt32, phase: Int, from source: UnsafeRawPointer, to target: UnsafeMutableRawPointer, count: Int
    ) {
        let turn = UInt32(8 * (phase & 3))
        let turned = turn == 0 ? mask : mask >> turn | mask << (32 - turn)
        let wide = UInt64(turned) << 32 | UInt64(turned)
        var offset = 0
        while offset + 8 <= count {
            let word = source.loadUnaligned(fromByteOffset: offset, as: UInt64.self) ^ wide
            target.storeBytes(of: word, toByteOffset: offset, as: UInt64.self)
            offset += 8
        }
        while offset < count {
            let byte = source.load(fromByteOffset: offset, as: UInt8.self)
            let key = UInt8(truncatingIfNeeded: turned >> UInt32(8 * (offset & 3)))
            target.storeBytes(of: byte ^ key, toByteOffset: offset, as: UInt8.self)
            offset += 1
        }
    }

    /// Masks bytes in place; `phase` is the position of the first one in the frame's payload.
    static func apply(_ mask: UInt32, phase: Int = 0, to bytes: inout [UInt8]) {
        bytes.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            apply(mask, phase: phase, from: UnsafeRawPointer(base), to: base, count: buffer.count)
        }
    }

    /// `head`, then `payload[range]` under the mask.
    ///
    /// `position` is where the range begins in the frame's payload.
    static func piece(
        _ head: [UInt8], _ payload: [UInt8], _ range: Range<Int>, mask: UInt32, position: Int
    ) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: head.count + range.count) { buffer, count in
            head.withUnsafeBytes { source in
                if let from = source.baseAddress, let to = buffer.baseAddress { memcpy(to, from, head.count) }
            }
            payload.withUnsafeBytes { source in
                if let from = source.baseAddress, let to = buffer.baseAddress {
                    apply(
                        mask, phase: position, from: from + range.lowerBound,
                        to: UnsafeMutableRawPointer(to + head.count),
                        count: range.count)
                }
            }
            count = head.count + range.count
        }
    }
}

/// The opening handshake's one computation.
enum WebSocketHandshake {
    static func accept(_ key: String) -> String {
        Base64.encode(SHA1.digest(Array((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8)))
    }
}
