internal import Glibc
internal import Synchronization

/// A port of this machine that nobody has, for a program that binds it later.
///
/// No port is given a second time before all others were. All are below those that the kernel gives to whoever asks for any,
/// and each process begins somewhere else: until the program has bound it, nobody else comes to have it.
package func freePort() throws -> UInt16 {
    for _ in ports {
        let serial = given.wrappingAdd(1, ordering: .relaxed).oldValue
        let port = ports.lowerBound + UInt16((Int(getpid()) * 7919 + serial) % ports.count)
        if isFree(port) { return port }
    }
    throw Trouble("no port of \(ports) is free")
}

private let given = Atomic<Int>(0)

private let ports: Range<UInt16> = {
    let text = (try? Disk.read("/proc/sys/net/ipv4/ip_local_port_range")).map { String(decoding: $0, as: UTF8.self) }
    let first = text?.split(whereSeparator: \.isWhitespace).first.flatMap { UInt16($0) } ?? 32768
    // From 30000 on Kubernetes has its node ports.
    let end = max(11_024, min(30_000, first))
    return (end - 10_000)..<end
}()

/// Whether nobody has a port at any address.
private func isFree(_ port: UInt16) -> Bool {
    let made = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
    defer { close(made) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = port.bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            bind(made, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}
