internal import Glibc
internal import Reactor

/// Where a dependency is reached on this machine.
struct LocalAddress: Hashable, Sendable, CustomStringConvertible {
    let host: String
    let port: UInt16

    var description: String { "\(host):\(port)" }
}

extension LoopbackListener {
    /// Listens at the same port of loopback, else at that of another of its addresses, else at one that the kernel chooses:
    /// programs that know only a name's port by heart work with the first two.
    static func near(_ port: UInt16) throws -> LoopbackListener {
        for host in ["127.0.0.1"] + (2...9).map({ "127.0.0.\($0)" }) {
            do {
                return try LoopbackListener(host: host, port: port)
            } catch let error as SystemError where error.code == EADDRINUSE {
                continue
            } catch let error as SystemError where error.code == EACCES || error.code == EADDRNOTAVAIL {
                break
            }
        }
        return try LoopbackListener(port: 0)
    }

    var local: LocalAddress { LocalAddress(host: host, port: port) }
}
