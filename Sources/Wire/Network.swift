/// One end of a connection, as numbers.
public struct SocketAddress: Equatable, Hashable, Sendable {
    /// The IPv4 or IPv6 address as text: `10.96.3.4`, `fd00::4`.
    public var address: [UInt8]
    /// The port.
    public var port: UInt16

    /// An address and a port.
    public init(address: [UInt8], port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// Asks for a connection from where the helper is.
///
/// Answered by `connected` or `failure`. Then the stream is the connection: `data` both ways, each within the window that
/// starts at `WireProtocol.socketWindow`; `finish` after an end's last byte, as `shutdown` does it; `reset` when the
/// connection is gone, both ways at once, with whatever was under way. A stream is over when both ends have finished, or
/// after a `reset` of either; what still arrives for it then was under way already and is dropped. Numbers are counted
/// up, so that none comes back while anything of its stream may be under way.
public struct Connect: Equatable, Sendable {
    /// Where to: a numeric address; the helper asks no name service.
    public var target: SocketAddress
    /// How long the other end may take to answer; 0 is for as long as the kernel tries.
    public var timeoutMilliseconds: UInt32

    /// A request with every field.
    public init(target: SocketAddress, timeoutMilliseconds: UInt32) {
        self.target = target
        self.timeoutMilliseconds = timeoutMilliseconds
    }
}

/// Asks for a port to be listened at, where the helper is.
///
/// Answered by `listening` with the port, or by `failure`. Each connection then is an `accepted` on a stream of its own.
/// The host ends the listening with `finish` or `reset` on the request's stream; the helper answers `finish` when the port
/// is free. Connections that were accepted go on.
public struct Listen: Equatable, Sendable {
    /// Who can connect.
    public enum Scope: UInt8, Equatable, Sendable {
        /// Everybody who reaches the pod, over IPv4 and IPv6.
        case everywhere
        /// Only the pod's own containers.
        case loopback
    }

    /// The port; 0 lets the kernel choose.
    public var port: UInt16
    /// Who can connect.
    public var scope: Scope

    /// A request with every field.
    public init(port: UInt16, scope: Scope = .everywhere) {
        self.port = port
        self.scope = scope
    }
}

/// A connection that somebody made to a listened port: the first message of a stream that the helper numbers.
///
/// What the stream then is, is told at `Connect`. Data may follow at once.
public struct Accepted: Equatable, Sendable {
    /// The stream of the `listen`.
    public var listener: UInt32
    /// Who connected.
    public var peer: SocketAddress

    /// A message with every field.
    public init(listener: UInt32, peer: SocketAddress) {
        self.listener = listener
        self.peer = peer
    }
}

extension SocketAddress: WireCodable {
    static var minimumSize: Int { 6 }

    init(from reader: inout ByteReader) throws(WireError) {
        address = try reader.readBytes()
        port = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(address)
        writer.write(port)
    }
}

extension Connect: WireCodable {
    static var minimumSize: Int { 10 }

    init(from reader: inout ByteReader) throws(WireError) {
        target = try SocketAddress(from: &reader)
        timeoutMilliseconds = try reader.read()
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(target)
        writer.write(timeoutMilliseconds)
    }
}

extension Listen: WireCodable {
    static var minimumSize: Int { 3 }

    init(from reader: inout ByteReader) throws(WireError) {
        port = try reader.read()
        guard let scope = Scope(rawValue: try reader.read()) else { throw .invalidValue }
        self.scope = scope
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(port)
        writer.write(scope.rawValue)
    }
}

extension Accepted: WireCodable {
    static var minimumSize: Int { 10 }

    init(from reader: inout ByteReader) throws(WireError) {
        listener = try reader.read()
        peer = try SocketAddress(from: &reader)
    }

    func encode(to writer: inout ByteWriter) {
        writer.write(listener)
        writer.write(peer)
    }
}
