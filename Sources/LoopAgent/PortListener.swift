import CAgent

/// A port that the host wants to hear of.
final class PortListener {
    let port: UInt16
    /// One for both families, or one for each.
    private(set) var sockets: [Int32] = []

    init(_ request: Listen) throws(SystemFailure) {
        let isEverywhere = request.scope == .everywhere
        var first = PortListener.listen(isEverywhere ? "::" : "127.0.0.1", request.port)
        // A node without IPv6.
        if first < 0, isEverywhere, cagent_errno() == EAFNOSUPPORT || cagent_errno() == EADDRNOTAVAIL {
            first = PortListener.listen("0.0.0.0", request.port)
        }
        guard first >= 0 else { throw PortListener.failure(request.port) }
        port = SocketAddress(own: first).port
        sockets = [first]
        if !isEverywhere {
            let second = PortListener.listen("::1", port)
            if second >= 0 { sockets.append(second) }
        }
    }

    deinit {
        for socket in sockets { close(socket) }
    }

    private static func listen(_ host: StaticString, _ port: UInt16) -> Int32 {
        Bytes(host).withCString { cagent_listen_at($0, port) }
    }

    private static func failure(_ port: UInt16) -> SystemFailure {
        let failure = SystemFailure.last()
        var text = Bytes("port ") + Bytes(decimal: UInt64(port)) + Bytes(": ") + failure.clause
        if failure.code == EADDRINUSE, let holder = PortHolder.find(port) { text += Bytes(" by ") + holder }
        return SystemFailure(code: failure.code, reason: text)
    }
}

extension SocketAddress {
    /// The address as people write it.
    var text: Bytes {
        let isSix = address.contains(UInt8(ascii: ":"))
        return (isSix ? Bytes("[") + address + Bytes("]") : address) + Bytes(":") + Bytes(decimal: UInt64(port))
    }

    /// What a socket is bound to.
    init(own socket: Int32) {
        var text = [CChar](repeating: 0, count: 64)
        var port: UInt16 = 0
        let isKnown = cagent_socket_address(socket, &text, 64, &port) == 0
        self.init(address: isKnown ? Bytes(cString: text) : [], port: port)
    }

    /// Takes a waiting connection, if there is one.
    static func accept(_ listener: Int32) -> (socket: Int32, peer: SocketAddress)? {
        var text = [CChar](repeating: 0, count: 64)
        var port: UInt16 = 0
        let socket = cagent_accept_from(listener, &text, 64, &port)
        return socket < 0 ? nil : (socket, SocketAddress(address: Bytes(cString: text), port: port))
    }
}
