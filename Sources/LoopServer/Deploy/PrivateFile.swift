internal import Glibc
internal import Reactor

/// Files that only their owner can read.
enum PrivateFile {
    /// Writes a file, over one that is there; the path, when everything is in it.
    static func write(_ bytes: [UInt8], to path: String) -> String? {
        let raw = Glibc.open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard raw >= 0 else { return nil }
        let file = OwnedDescriptor(raw)
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(file.raw, $0.baseAddress, $0.count) }
            guard count > 0 else { return nil }
            rest = rest.dropFirst(count)
        }
        return path
    }
}
