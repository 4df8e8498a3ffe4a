internal import CLinux
internal import Glibc

/// Where a socket listens or connects: a Unix socket's path, or an IPv4 or IPv6 address (`127.0.0.1`, `::1`) and a port.
public enum Endpoint: Hashable, Sendable, CustomStringConvertible {
    case unix(path: String)
    case tcp(host: String, port: UInt16)

    /// The endpoint as people write it.
    public var description: String {
        switch self {
        case .unix(let path): "unix:\(path)"
        case .tcp(let host, let port): host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        }
    }

    /// Calls `body` with the socket address in the kernel's form.
    fileprivate func withAddress<Result>(
        _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) throws(SystemError) -> Result {
        switch self {
        case .unix(let path):
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            let capacity = MemoryLayout.size(ofValue: address.sun_path)
            guard bytes.count < capacity, !bytes.contains(0) else {
                throw SystemError(code: ENAMETOOLONG, attempt: "socket path \(path)")
            }
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        case .tcp(let host, let port) where host.contains(":"):
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            guard inet_pton(AF_INET6, host, &address.sin6_addr) == 1 else {
                throw SystemError(code: EINVAL, attempt: "address \(host)")
            }
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        case .tcp(let host, let port):
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            guard inet_pton(AF_INET, host == "localhost" ? "127.0.0.1" : host, &address.sin_addr) == 1 else {
                throw SystemError(code: EINVAL, attempt: "address \(host)")
            }
            return withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
        }
    }

    /// Makes place for a listener: a socket's file outlives its process.
    ///
    /// A live one, or another kind of file, stays.
    fileprivate func removeDeadSocket(_ path: String) throws(SystemError) {
        var about = stat()
        guard lstat(path, &about) == 0 else { return }
        let probe = try socket()
        let raw = probe.raw
        let result = try withAddress { Glibc.connect(raw, $0, $1) == 0 ? 0 : errno }
        guard about.st_mode & S_IFMT == S_IFSOCK, result == ECONNREFUSED else {
            throw SystemError(code: EADDRINUSE, attempt: "listen \(self)")
        }
        _ = unlink(path)
    }

    fileprivate func socket(in network: NetworkNamespace?) throws -> OwnedDescriptor {
        guard let network else { return try socket() }
        return OwnedDescriptor(try network.run { try socket().release() })
    }

    fileprivate func socket() throws(SystemError) -> OwnedDescriptor {
        let domain: Int32
        switch self {
        case .unix: domain = AF_UNIX
        case .tcp(let host, _): domain = host.contains(":") ? AF_INET6 : AF_INET
        }
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
        let raw = Glibc.socket(domain, type, 0)
        guard raw >= 0 else { throw .last("socket \(self)") }
        return OwnedDescriptor(raw)
    }
}

extension Stream {
    /// Connects to a listening socket, in this process' network or in another one.
    public static func connect(to endpoint: Endpoint, in network: NetworkNamespace? = nil) async throws -> Stream {
        let owned = try endpoint.socket(in: network)
        let raw = owned.raw
        let result = try endpoint.withAddress { Glibc.connect(raw, $0, $1) == 0 ? 0 : errno }
        guard result == 0 || result == EINPROGRESS else {
            throw SystemError(code: result, attempt: "connect \(endpoint)")
        }
        if case .tcp = endpoint { prepareConnection(raw) }
        let stream = try Stream(owned)
        if result == EINPROGRESS { try await stream.finishConnecting(endpoint) }
        return stream
    }

    /// Two connected streams, for tests and for handing one end to a child.
    public static func pair() throws -> (Stream, Stream) {
        var ends: [Int32] = [0, 0]
        let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue)
        guard socketpair(AF_UNIX, type, 0, &ends) == 0 else { throw SystemError.last("socketpair") }
        return (try Stream(OwnedDescriptor(ends[0])), try Stream(OwnedDescriptor(ends[1])))
    }

    /// Closes the connection so that the peer sees it broken (`ECONNRESET`), and what it has not read yet is lost.
    public func reset() {
        var now = linger(l_onoff: 1, l_linger: 0)
        _ = try? withDescriptor { setsockopt($0, SOL_SOCKET, SO_LINGER, &now, socklen_t(MemoryLayout<linger>.size)) }
        close()
    }

    /// Returns when the connection has broken: for who has read its end, and would not learn of it.
    ///
    /// Throws when the stream is closed or the task is cancelled.
    public func untilBroken() async throws {
        while try takeError() == 0 { try await untilReadable() }
    }

    private func finishConnecting(_ endpoint: Endpoint) async throws {
        try await untilWritable()
        let error = try takeError()
        guard error == 0 else { throw SystemError(code: error, attempt: "connect \(endpoint)") }
    }

    private func takeError() throws -> Int32 {
        var error: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        try withDescriptor { _ = getsockopt($0, SOL_SOCKET, SO_ERROR, &error, &size) }
        return error
    }
}

/// Small writes go out at once, and a peer that is gone without a word is found out within minutes.
private func prepareConnection(_ descriptor: Int32) {
    let options = [
        (Int32(IPPROTO_TCP), TCP_NODELAY, 1), (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, 60),
        (Int32(IPPROTO_TCP), TCP_KEEPINTVL, 15), (Int32(IPPROTO_TCP), TCP_KEEPCNT, 4),
    ]
    for (level, name, setting) in options {
        var value = Int32(setting)
        _ = setsockopt(descriptor, level, name, &value, socklen_t(MemoryLayout<Int32>.size))
    }
}

/// A listening socket.
public final class Listener: Sendable {
    private let stream: Stream
    /// Where it listens, with the port that the kernel chose when 0 was asked for.
    public let endpoint: Endpoint

    /// Binds and listens.
    ///
    /// A Unix socket is created with mode 0600, replacing a dead one at the same path; a TCP socket may be one of another
    /// network.
    public init(_ endpoint: Endpoint, in network: NetworkNamespace? = nil) throws {
        let owned = try endpoint.socket(in: network)
        let raw = owned.raw
        switch endpoint {
        case .unix(let path):
            try endpoint.removeDeadSocket(path)
        case .tcp:
            var on: Int32 = 1
            _ = setsockopt(raw, SOL_SOCKET, SO_REUSEADDR, &on, socklen_t(MemoryLayout<Int32>.size))
        }
        guard try endpoint.withAddress({ bind(raw, $0, $1) }) == 0 else { throw SystemError.last("bind \(endpoint)") }
        if case .unix(let path) = endpoint, chmod(path, 0o600) != 0 { throw SystemError.last("chmod \(path)") }
        guard listen(raw, 512) == 0 else { throw SystemError.last("listen \(endpoint)") }
        if case .tcp(let host, _) = endpoint {
            // The larger of both kinds, which have the port at the same place.
            var bound = sockaddr_in6()
            var size = socklen_t(MemoryLayout<sockaddr_in6>.size)
            let asked = withUnsafeMutablePointer(to: &bound) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(raw, $0, &size) }
            }
            guard asked == 0 else { throw SystemError.last("getsockname \(endpoint)") }
            self.endpoint = .tcp(host: host, port: UInt16(bigEndian: bound.sin6_port))
        } else {
            self.endpoint = endpoint
        }
        stream = try Stream(owned)
    }

    /// The next connection.
    ///
    /// Running out of descriptors (`EMFILE`) is thrown, not retried in a loop.
    public func accept() async throws -> Stream {
        while true {
            let (raw, failure) = try stream.withDescriptor { descriptor in
                let raw = clinux_accept(descriptor)
                return (raw, raw < 0 ? errno : 0)
            }
            if raw >= 0 {
                if case .tcp = endpoint { prepareConnection(raw) }
                return try Stream(OwnedDescriptor(raw))
            }
            switch failure {
            case EINTR, ECONNABORTED: continue
            case EAGAIN: try await stream.untilReadable()
            default: throw SystemError(code: failure, attempt: "accept \(endpoint)")
            }
        }
    }

    /// Stops listening; a pending `accept` fails.
    ///
    /// A Unix socket's file is removed.
    public func close() {
        stream.close()
        if case .unix(let path) = endpoint { _ = unlink(path) }
    }
}
