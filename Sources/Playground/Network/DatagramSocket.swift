internal import Glibc
internal import Reactor

/// A UDP socket over IPv4.
final class DatagramSocket: Sendable {
    /// Who sent a datagram.
    struct Peer: Sendable {
        fileprivate var address: sockaddr_in
    }

    private let stream: Stream

    /// Listens at an address of this process' network, or of another one.
    init(binding address: IPv4, port: UInt16, in network: NetworkNamespace? = nil) throws {
        let owned = OwnedDescriptor(try network?.run(Self.make) ?? Self.make())
        let raw = owned.raw
        guard Self.with(address, port, { bind(raw, $0, $1) }) == 0 else {
            throw SystemError.last("bind udp \(address):\(port)")
        }
        stream = try Stream(owned)
    }

    /// Talks to one address only.
    init(connecting address: IPv4, port: UInt16) throws {
        let owned = OwnedDescriptor(try Self.make())
        let raw = owned.raw
        guard Self.with(address, port, { connect(raw, $0, $1) }) == 0 else {
            throw SystemError.last("connect udp \(address):\(port)")
        }
        stream = try Stream(owned)
    }

    private static func make() throws -> Int32 {
        let type = Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let raw = socket(AF_INET, type, 0)
        guard raw >= 0 else { throw SystemError.last("socket udp") }
        return raw
    }

    private static func with<Result>(
        _ address: IPv4, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var name = sockaddr_in()
        name.sin_family = sa_family_t(AF_INET)
        name.sin_port = port.bigEndian
        name.sin_addr.s_addr = address.value.bigEndian
        return withUnsafePointer(to: &name) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// The next datagram, and who sent it.
    func receive() async throws -> (bytes: [UInt8], peer: Peer) {
        while true {
            var buffer = [UInt8](repeating: 0, count: 65536)
            var peer = Peer(address: sockaddr_in())
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let (count, failure) = try stream.withDescriptor { descriptor in
                let count = withUnsafeMutablePointer(to: &peer.address) { pointer in
                    pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        recvfrom(descriptor, &buffer, buffer.count, 0, $0, &size)
                    }
                }
                return (count, count < 0 ? errno : 0)
            }
            if count >= 0 { return (Array(buffer.prefix(count)), peer) }
            switch failure {
            case EINTR: continue
            case EAGAIN: try await stream.untilReadable()
            default: throw SystemError(code: failure, attempt: "receive a datagram")
            }
        }
    }

    /// Sends a datagram; one that the kernel has no room for is lost, as others are.
    func send(_ bytes: [UInt8], to peer: Peer? = nil) {
        _ = try? stream.withDescriptor { descriptor in
            guard var peer else { return Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL)) }
            return withUnsafePointer(to: &peer.address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(
                        descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL), $0,
                        socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }

    func close() { stream.close() }
}
