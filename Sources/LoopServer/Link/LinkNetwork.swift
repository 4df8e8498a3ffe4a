internal import Wire

/// The network as the helper's pod sees it.
///
/// Unless said otherwise, what the helper could not do is thrown as `LinkError.refused`, with a line for people such as
/// `10.96.3.4:5432: connection refused`.
extension HelperLink {
    /// Opens a connection from inside the pod to a numeric address.
    ///
    /// `timeout` is how long the other end may take to answer.
    func connect(
        to address: String, port: UInt16, timeout: Duration = .seconds(30)
    ) async throws -> LinkSocket {
        let target = SocketAddress(address: Array(address.utf8), port: port)
        let request = Connect(target: target, timeoutMilliseconds: max(1, timeout.wireMilliseconds))
        let socket = try begin(.connect(request)) { LinkSocket(link: self, stream: $0, peer: nil) }
        do {
            try await socket.connected()
            return socket
        } catch {
            socket.reset()
            throw error
        }
    }

    /// Listens inside the pod, at `port` or, for 0, at one that its kernel chooses.
    func listen(port: UInt16, scope: Listen.Scope = .everywhere) async throws -> LinkListener {
        let listener = try begin(.listen(Listen(port: port, scope: scope))) { LinkListener(link: self, stream: $0) }
        do {
            try await listener.listening()
            return listener
        } catch {
            listener.close()
            throw error
        }
    }
}
