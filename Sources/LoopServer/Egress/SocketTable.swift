internal import Glibc
internal import Reactor

/// The kernel's table of TCP sockets of this network: who is at the other end of a loopback connection.
enum SocketTable {
    /// Whose a socket is.
    enum Owner: Equatable {
        case user(uid_t)
        /// No process has it any more, or the table does not tell.
        case nobody
    }

    /// A line of the table; addresses as the kernel writes them, in capitals.
    struct Entry: Equatable {
        var local: Substring
        var remote: Substring
        var uid: uid_t
        var inode: UInt64

        /// From its text.
        ///
        /// `  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 12345 …`
        init?(_ line: Substring) {
            let fields = line.split(separator: " ", maxSplits: 10)
            guard fields.count > 9, let uid = uid_t(fields[7]), let inode = UInt64(fields[9]) else { return nil }
            (local, remote) = (fields[1], fields[2])
            self.uid = uid
            self.inode = inode
        }
    }

    /// Whose the other end of a connection over loopback is.
    ///
    /// The table is in memory: reading it does not wait for a disk.
    static func owner(of stream: Stream) -> Owner {
        guard let ends = try? stream.withDescriptor({ ends(of: $0) }) else { return .nobody }
        // The peer's own line has the ends the other way round.
        return owner(local: ends.remote, remote: ends.local, in: entries(of: ends.isSix ? "tcp6" : "tcp"))
    }

    static func owner(local: String, remote: String, in entries: some Sequence<Entry>) -> Owner {
        let entry = entries.first { $0.local == local && $0.remote == remote }
        // A socket that was closed by its process stays for a while, as if it were root's.
        guard let entry, entry.inode != 0 else { return .nobody }
        return .user(entry.uid)
    }

    static func entries(of file: String) -> some Sequence<Entry> {
        let bytes = (try? SmallFile.read("/proc/self/net/\(file)", limit: 64 << 20)) ?? []
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").dropFirst().lazy.compactMap { Entry($0) }
    }

    /// Both ends of a connection as the table writes them.
    private static func ends(of descriptor: Int32) -> (local: String, remote: String, isSix: Bool)? {
        guard let local = name(descriptor, getsockname), let remote = name(descriptor, getpeername) else { return nil }
        return (local.text, remote.text, local.isSix)
    }

    private static func name(
        _ descriptor: Int32, _ ask: (Int32, UnsafeMutablePointer<sockaddr>?, UnsafeMutablePointer<socklen_t>?) -> Int32
    ) -> (text: String, isSix: Bool)? {
        // The larger of both kinds, which have the port at the same place.
        var address = sockaddr_in6()
        var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { ask(descriptor, $0, &size) }
        }
        guard result == 0 else { return nil }
        let isSix = address.sin6_family == sa_family_t(AF_INET6)
        let bytes = withUnsafeBytes(of: &address) { Array($0[isSix ? 8..<24 : 4..<8]) }
        return ("\(words(bytes)):\(hex(UInt32(UInt16(bigEndian: address.sin6_port)), digits: 4))", isSix)
    }

    /// An address as the table writes it: in words of the machine's own byte order.
    static func words(_ bytes: [UInt8]) -> String {
        stride(from: 0, to: bytes.count, by: 4).map { start in
            let word = bytes[start..<start + 4].withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
            return hex(word, digits: 8)
        }.joined()
    }

    private static func hex(_ number: UInt32, digits: Int) -> String {
        let text = String(number, radix: 16, uppercase: true)
        return String(repeating: "0", count: digits - text.count) + text
    }
}
