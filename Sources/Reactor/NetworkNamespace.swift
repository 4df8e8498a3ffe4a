internal import CLinux
internal import Glibc

/// A network of its own inside this machine: interfaces, routes and ports that no other network sees (Linux namespaces).
///
/// Sockets belong to the network in which they were made, whoever uses them later.
public final class NetworkNamespace: Sendable {
    private let descriptor: OwnedDescriptor

    private init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// The network that is bound to a file, or to a process by `/proc/PID/ns/net`; fails where the file is none.
    public init(path: String) throws(SystemError) {
        descriptor = try NetworkNamespace.open(path)
        guard isNetwork else { throw SystemError(code: EINVAL, attempt: "network namespace \(path)") }
    }

    /// Makes a network and binds it to a file, which keeps it until it is unmounted.
    public static func make(at path: String) throws -> NetworkNamespace {
        let file = Glibc.open(path, O_RDONLY | O_CREAT | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw SystemError.last("create \(path)") }
        _ = Glibc.close(file)
        return try inOtherNetwork { () throws(SystemError) in
            guard clinux_network_new() == 0 else { throw .last("make a network namespace") }
        } then: {
            guard mount("/proc/thread-self/ns/net", path, nil, UInt(MS_BIND), nil) == 0 else {
                throw SystemError.last("mount network namespace on \(path)")
            }
            return try NetworkNamespace(path: path)
        }
    }

    /// Runs `body` in this network: sockets that it makes, and programs that it starts, belong there.
    ///
    /// `body` runs on the calling thread, which it must not block for long.
    public func run<Result>(_ body: () throws -> Result) throws -> Result {
        try NetworkNamespace.inOtherNetwork { () throws(SystemError) in
            guard clinux_network_enter(descriptor.raw) == 0 else { throw .last("enter a network namespace") }
        } then: {
            try body()
        }
    }

    /// Calls `body` with the descriptor.
    public func withDescriptor<Result>(_ body: (Int32) throws -> Result) rethrows -> Result {
        try body(descriptor.raw)
    }

    private var isNetwork: Bool {
        // ioctl(NS_GET_NSTYPE) answers with the kind of a namespace.
        ioctl(descriptor.raw, 0xB703) == 0x4000_0000
    }

    private static func open(_ path: String) throws(SystemError) -> OwnedDescriptor {
        let raw = Glibc.open(path, O_RDONLY | O_CLOEXEC)
        guard raw >= 0 else { throw .last("open \(path)") }
        return OwnedDescriptor(raw)
    }

    private static func inOtherNetwork<Result>(
        _ enter: () throws(SystemError) -> Void, then body: () throws -> Result
    ) throws -> Result {
        let own = try open("/proc/thread-self/ns/net")
        try enter()
        defer {
            // A thread that stayed in the wrong network would give others its sockets.
            if clinux_network_enter(own.raw) != 0 { fatalError("cannot leave a network namespace: errno \(errno)") }
        }
        return try body()
    }
}
