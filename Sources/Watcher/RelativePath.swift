/// A path below the watched root, as the bytes that the kernel knows it by.
///
/// Components are separated by `/`; there is no leading, trailing or doubled slash, and no `.` or `..`. The empty path is
/// the root itself. File names on Linux are bytes: nothing here assumes UTF-8.
public struct RelativePath: Hashable, Sendable {
    /// The path's bytes, without a terminating zero.
    public let bytes: [UInt8]

    /// The watched root itself.
    public static let root = RelativePath(bytes: [])

    /// A path from bytes that already have the form described above.
    public init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    /// A path from text; empty and `.` components are dropped, so `./a//b/` is `a/b`.
    public init(_ text: String) {
        let parts = text.utf8.split(separator: slash).filter { !$0.elementsEqual(".".utf8) }
        self.bytes = Array(parts.joined(separator: [slash]))
    }

    /// Whether this is the watched root itself.
    public var isRoot: Bool { bytes.isEmpty }

    /// The names on the way from the root.
    public var components: [ArraySlice<UInt8>] { bytes.split(separator: slash) }

    /// The last name; empty for the root.
    public var lastComponent: ArraySlice<UInt8> {
        guard let cut = bytes.lastIndex(of: slash) else { return bytes[...] }
        return bytes[(cut + 1)...]
    }

    /// The folder that holds this path; nil for the root.
    public var parent: RelativePath? {
        guard !bytes.isEmpty else { return nil }
        guard let cut = bytes.lastIndex(of: slash) else { return .root }
        return RelativePath(bytes: Array(bytes[..<cut]))
    }

    /// This path with one more name, or several separated by `/`, below it.
    public func appending(_ name: some Collection<UInt8>) -> RelativePath {
        guard !name.isEmpty else { return self }
        guard !bytes.isEmpty else { return RelativePath(bytes: Array(name)) }
        var joined: [UInt8] = []
        joined.reserveCapacity(bytes.count + 1 + name.count)
        joined += bytes
        joined.append(slash)
        joined += name
        return RelativePath(bytes: joined)
    }

    /// This path with one more name, or several separated by `/`, below it.
    public func appending(_ name: String) -> RelativePath { appending(Array(name.utf8)) }

    /// Whether this path is `folder` itself or lies anywhere below it.
    public func isInside(_ folder: RelativePath) -> Bool {
        guard !folder.bytes.isEmpty else { return true }
        guard bytes.starts(with: folder.bytes) else { return false }
        return bytes.count == folder.bytes.count || bytes[folder.bytes.count] == slash
    }

    /// What remains of this path below `folder`; nil when it lies outside.
    public func relative(to folder: RelativePath) -> RelativePath? {
        guard isInside(folder) else { return nil }
        guard !folder.isRoot else { return self }
        return RelativePath(bytes: Array(bytes.dropFirst(folder.bytes.count + 1)))
    }
}

extension RelativePath: Comparable {
    /// Byte order, so that the order is the same on every machine.
    public static func < (left: RelativePath, right: RelativePath) -> Bool {
        left.bytes.lexicographicallyPrecedes(right.bytes)
    }
}

extension RelativePath: CustomStringConvertible {
    /// The path on one line: control characters, backslashes and bytes that are not UTF-8 appear as `\xNN`; `.` is the root.
    public var description: String { bytes.isEmpty ? "." : escaped(bytes) }
}

let slash = UInt8(ascii: "/")

/// Shows bytes on one line, whatever they are.
func escaped(_ bytes: some Collection<UInt8>) -> String {
    var text = ""
    var decoder = UTF8.ForwardParser()
    var rest = bytes.makeIterator()
    var position = bytes.startIndex
    func hex(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16)
        return "\\x" + (digits.count < 2 ? "0" : "") + digits
    }
    while true {
        switch decoder.parseScalar(from: &rest) {
        case .emptyInput: return text
        case .valid(let encoded):
            position = bytes.index(position, offsetBy: encoded.count)
            let scalar = UTF8.decode(encoded)
            if scalar.value < 0x20 || scalar.value == 0x7f || (0x80..<0xa0).contains(scalar.value) || scalar == "\\" {
                for byte in encoded { text += hex(byte) }
            } else {
                text.unicodeScalars.append(scalar)
            }
        case .error(let length):
            for _ in 0..<length where position < bytes.endIndex {
                text += hex(bytes[position])
                position = bytes.index(after: position)
            }
        }
    }
}
