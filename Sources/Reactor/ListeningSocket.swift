internal import CLinux
internal import Glibc

/// A TCP socket that listens.
public struct ListeningSocket: Hashable, Sendable {
    /// The numeric address that it is bound to: `127.0.0.1`, `::`.
    public let address: String
    /// The port that it listens at.
    public let port: UInt16
    /// Its number: what a descriptor in `/proc/PID/fd` points at is `socket:[NUMBER]`.
    public let inode: UInt32
    /// The user whose process made it.
    public let owner: UInt32

    /// Those of this process's network, whoever they belong to.
    ///
    /// About 40 µs by the kernel's socket diagnosis, where reading `/proc/net/tcp` takes milliseconds: that walks the
    /// table of all connections. Throws `SystemError` where the kernel does not have it.
    public static func all() throws(SystemError) -> [ListeningSocket] {
        var found = [clinux_listener](repeating: clinux_listener(), count: 256)
        while true {
            let count = Int(clinux_listeners(&found, Int32(found.count)))
            guard count >= 0 else { throw .last("list the sockets that listen") }
            if count <= found.count { return found[..<count].map(ListeningSocket.init) }
            found = [clinux_listener](repeating: clinux_listener(), count: count + 64)
        }
    }

    private init(_ found: clinux_listener) {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        _ = withUnsafeBytes(of: found.address) {
            inet_ntop(found.is_six != 0 ? AF_INET6 : AF_INET, $0.baseAddress, &text, socklen_t(text.count))
        }
        address = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        port = found.port
        inode = found.inode
        owner = found.owner
    }
}
