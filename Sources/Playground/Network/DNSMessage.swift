/// A question of the DNS (RFC 1035): the beginning of every message.
struct DNSQuestion: Equatable, Sendable {
    enum Kind {
        static let a: UInt16 = 1
        static let cname: UInt16 = 5
        static let soa: UInt16 = 6
        static let pointer: UInt16 = 12
        static let aaaa: UInt16 = 28
        static let srv: UInt16 = 33
        static let any: UInt16 = 255
        static let options: UInt16 = 41
    }

    let id: UInt16
    let wantsRecursion: Bool
    /// The labels of the name, as they were sent.
    let name: [String]
    let kind: UInt16
    /// How long an answer over UDP may be.
    let limit: Int
    /// The question itself, to be repeated in the answer.
    let bytes: [UInt8]

    /// Reads a query with one question; `nil` for anything else.
    init?(_ message: [UInt8]) {
        func number(_ index: Int) -> UInt16 { UInt16(message[index]) << 8 | UInt16(message[index + 1]) }
        guard message.count >= 17 else { return nil }
        let flags = number(2)
        // A question of the ordinary kind, and one of them.
        guard flags & 0xF800 == 0, number(4) == 1 else { return nil }
        var labels: [String] = []
        var index = 12
        var length = 0
        while message[index] != 0 {
            let count = Int(message[index])
            length += count + 1
            // No pointers: there is nothing yet that a question could point to.
            guard count <= 63, length <= 254, index + count + 1 < message.count else { return nil }
            labels.append(String(decoding: message[(index + 1)...(index + count)], as: UTF8.self))
            index += count + 1
        }
        guard index + 5 <= message.count, number(index + 3) == 1 else { return nil }
        id = number(0)
        wantsRecursion = flags & 0x0100 != 0
        name = labels
        kind = number(index + 1)
        bytes = Array(message[12..<(index + 5)])
        // EDNS (RFC 6891): an additional record of the root, whose class is the size that the asker takes.
        let rest = index + 5
        let hasOptions =
            number(6) == 0 && number(8) == 0 && number(10) > 0 && rest + 11 <= message.count && message[rest] == 0
            && number(rest + 1) == Kind.options
        limit = hasOptions ? min(max(Int(number(rest + 3)), 512), 4096) : 512
    }
}

/// A record of the DNS.
struct DNSRecord: Equatable, Sendable {
    enum Data: Equatable, Sendable {
        case address(IPv4)
        case alias([String])
        case pointer([String])
        case service(port: UInt16, target: [String])
        /// What says for how long a name may be remembered as missing.
        case authority
    }

    let name: [String]
    let data: Data

    /// How long an answer holds, in seconds, as CoreDNS has it.
    static let lifetime: UInt32 = 5

    fileprivate var encoded: [UInt8] {
        let (kind, payload): (UInt16, [UInt8]) =
            switch data {
            case .address(let address): (DNSQuestion.Kind.a, address.bytes)
            case .alias(let target): (DNSQuestion.Kind.cname, DNSAnswer.encode(name: target))
            case .pointer(let target): (DNSQuestion.Kind.pointer, DNSAnswer.encode(name: target))
            case .service(let port, let target):
                // Priority 0, and the same weight for all.
                (DNSQuestion.Kind.srv, [0, 0, 0, 100] + DNSAnswer.encode(port) + DNSAnswer.encode(name: target))
            case .authority:
                (
                    DNSQuestion.Kind.soa,
                    DNSAnswer.encode(name: ["ns", "dns"] + name) + DNSAnswer.encode(name: ["hostmaster"] + name)
                        + [1, 7200, 1800, 86400, Self.lifetime].flatMap { DNSAnswer.encode($0) }
                )
            }
        return DNSAnswer.encode(name: name) + DNSAnswer.encode(kind) + DNSAnswer.encode(UInt16(1))
            + DNSAnswer.encode(Self.lifetime) + DNSAnswer.encode(UInt16(payload.count)) + payload
    }
}

/// An answer of the DNS.
struct DNSAnswer: Equatable, Sendable {
    enum Code: UInt16, Sendable {
        case success = 0
        case failure = 2
        case noSuchName = 3
    }

    var code = Code.success
    var answers: [DNSRecord] = []
    var authority: [DNSRecord] = []
    var additional: [DNSRecord] = []
    /// Whether it is of this server's own knowledge.
    var isAuthoritative = true

    /// The message; one that is longer than `limit` is cut after the question, and says so.
    func message(for question: DNSQuestion, limit: Int = 65535) -> [UInt8] {
        let flags: UInt16 =
            0x8000 | (isAuthoritative ? 0x0400 : 0) | (question.wantsRecursion ? 0x0180 : 0x0080) | code.rawValue
        let records = (answers + authority + additional).flatMap(\.encoded)
        let isCut = 12 + question.bytes.count + records.count > limit
        let counts = isCut ? [0, 0, 0] : [answers.count, authority.count, additional.count]
        return Self.encode(question.id) + Self.encode(isCut ? flags | 0x0200 : flags) + Self.encode(UInt16(1))
            + counts.flatMap { Self.encode(UInt16($0)) } + question.bytes + (isCut ? [] : records)
    }

    fileprivate static func encode(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }

    fileprivate static func encode(_ number: UInt32) -> [UInt8] { IPv4(value: number).bytes }

    fileprivate static func encode(name: [String]) -> [UInt8] {
        name.flatMap { label in
            let bytes = Array(label.utf8.prefix(63))
            return [UInt8(bytes.count)] + bytes
        } + [0]
    }
}
