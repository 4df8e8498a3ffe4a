/// Where the files of a tar archive are.
///
/// Nothing is written anywhere by the names in it; whatever is no archive is told apart by its sums and sizes.
struct TarIndex: Sendable {
    enum Entry: Equatable, Sendable {
        case file(offset: Int64, size: Int64)
        /// To another path of the archive.
        case link(String)
    }

    private(set) var entries: [String: Entry] = [:]
    static let largestCount = 200_000
    private static let largestExtension: Int64 = 1 << 20

    /// Reads every header of an archive; blocks.
    init(_ file: OpenFile) throws {
        let size = try file.status().size
        var offset: Int64 = 0
        var long = Long()
        var hasEnd = false
        while offset + 512 <= size {
            let block = try file.readNow(at: offset, count: 512)
            offset += 512
            if block.allSatisfy({ $0 == 0 }) {
                hasEnd = true
                break
            }
            let header = try Header(block, at: offset - 512)
            let length = long.size ?? header.size
            guard length >= 0, length <= size - offset else {
                throw ContentProblem("the archive ends in the middle of \"\(header.name.prefix(200))\"")
            }
            switch header.type {
            case "x", "g", "L", "K":
                guard length <= TarIndex.largestExtension else {
                    throw ContentProblem("the archive has a header of \(length) bytes")
                }
                let bytes = try file.readNow(at: offset, count: Int(length))
                if header.type != "g" { try long.take(header.type, bytes) }
            default:
                let name = long.path ?? header.name
                let target = long.target ?? header.target
                if let path = TarIndex.path(name, relativeTo: "") { try add(path, header.type, offset, length, target) }
                long = Long()
            }
            // Rounded up, which cannot overflow: it is below the file's size.
            offset += (length + 511) / 512 * 512
        }
        guard hasEnd || !entries.isEmpty else { throw ContentProblem("not a tar archive") }
    }

    private mutating func add(
        _ path: String, _ type: Character, _ offset: Int64, _ size: Int64, _ target: String
    ) throws {
        switch type {
        case "0", "\0", "7": entries[path] = .file(offset: offset, size: size)
        case "1": entries[path] = TarIndex.path(target, relativeTo: "").map { .link($0) }
        case "2":
            let folder = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
            entries[path] = TarIndex.path(target, relativeTo: folder).map { .link($0) }
        default: break
        }
        guard entries.count <= TarIndex.largestCount else {
            throw ContentProblem("the archive has more than \(TarIndex.largestCount) files")
        }
    }

    /// Where a file's content is, through links of the archive; `nil` where there is none.
    func file(_ name: String) -> (offset: Int64, size: Int64)? {
        guard var path = TarIndex.path(name, relativeTo: "") else { return nil }
        for _ in 0..<8 {
            switch entries[path] {
            case .file(let offset, let size)?: return (offset, size)
            case .link(let target)?: path = target
            case nil: return nil
            }
        }
        return nil
    }

    /// A path without `.` and `..`; `nil` where it leads out of the archive.
    static func path(_ text: String, relativeTo folder: String) -> String? {
        var parts = text.hasPrefix("/") ? [] : folder.split(separator: "/")
        for part in text.split(separator: "/") where part != "." {
            if part == ".." {
                guard parts.popLast() != nil else { return nil }
            } else {
                parts.append(part)
            }
        }
        return parts.joined(separator: "/")
    }

    /// What a header before a header says about the next entry.
    private struct Long {
        var path: String?
        var target: String?
        var size: Int64?

        mutating func take(_ type: Character, _ bytes: [UInt8]) throws {
            switch type {
            case "L": path = Header.text(bytes[...])
            case "K": target = Header.text(bytes[...])
            default: try takeRecords(bytes[...])
            }
        }

        private mutating func takeRecords(_ bytes: ArraySlice<UInt8>) throws {
            var rest = bytes
            while !rest.isEmpty {
                let digits = rest.prefix { (0x30...0x39).contains($0) }
                guard let length = Int(String(decoding: digits, as: UTF8.self)), length > digits.count + 2,
                    length <= rest.count, rest[rest.startIndex + digits.count] == 0x20
                else { throw ContentProblem("the archive has a broken PAX header") }
                let record = rest.prefix(length).dropFirst(digits.count + 1).dropLast()
                rest = rest.dropFirst(length)
                guard let equals = record.firstIndex(of: UInt8(ascii: "=")) else { continue }
                let value = String(decoding: record[(equals + 1)...], as: UTF8.self)
                switch String(decoding: record[..<equals], as: UTF8.self) {
                case "path": path = value
                case "linkpath": target = value
                case "size":
                    guard let number = Int64(value), number >= 0 else {
                        throw ContentProblem("the archive has a broken PAX header")
                    }
                    size = number
                default: break
                }
            }
        }
    }

    private struct Header {
        let name: String
        let type: Character
        let size: Int64
        let target: String

        init(_ block: [UInt8], at offset: Int64) throws {
            var sum = 8 * 0x20
            for (index, byte) in block.enumerated() where !(148..<156).contains(index) { sum += Int(byte) }
            guard Header.number(block[148..<156]) == Int64(sum) else {
                throw ContentProblem(
                    offset == 0
                        ? "not a tar archive" : "the archive is broken at byte \(offset): a header's sum is wrong")
            }
            guard let size = Header.number(block[124..<136]), size >= 0 else {
                throw ContentProblem("the archive is broken at byte \(offset): a file without a size")
            }
            self.size = size
            let prefix =
                block[257..<262].elementsEqual("ustar".utf8) && block[262] == 0 ? Header.text(block[345..<500]) : ""
            let last = Header.text(block[0..<100])
            name = prefix.isEmpty ? last : "\(prefix)/\(last)"
            type = Character(Unicode.Scalar(block[156]))
            target = Header.text(block[157..<257])
        }

        static func text(_ field: ArraySlice<UInt8>) -> String {
            String(decoding: field.prefix { $0 != 0 }, as: UTF8.self)
        }

        /// Octal digits, or GNU's binary numbers for large ones.
        static func number(_ field: ArraySlice<UInt8>) -> Int64? {
            if let first = field.first, first & 0x80 != 0 {
                guard first == 0x80 else { return nil }
                var value: Int64 = 0
                for byte in field.dropFirst() {
                    guard value < 1 << 54 else { return nil }
                    value = value << 8 | Int64(byte)
                }
                return value
            }
            let digits = field.drop { $0 == 0x20 }.prefix { $0 != 0 && $0 != 0x20 }
            if digits.isEmpty { return 0 }
            return Int64(String(decoding: digits, as: UTF8.self), radix: 8)
        }
    }
}
