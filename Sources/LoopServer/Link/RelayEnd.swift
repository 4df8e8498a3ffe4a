internal import Reactor

/// One of the two connections that a relay joins.
protocol RelayEnd: Sendable {
    /// The next bytes; none when the peer has finished.
    func receive() async throws -> [UInt8]
    /// Sends all of `bytes`, as fast as the peer takes them.
    func send(_ bytes: [UInt8]) async throws
    /// Says that nothing more is sent.
    func finish()
    /// Breaks the connection; does nothing when it is over.
    func reset()
    /// Returns when the connection has broken; throws when the task is cancelled.
    func untilBroken() async throws
    /// Gives back what a connection holds after both ends have finished.
    func close()
}

extension LinkSocket: RelayEnd {
    func reset() { reset(code: 0) }

    /// Nothing: it is over when both ends have finished.
    func close() {}
}

extension Stream: RelayEnd {
    func receive() async throws -> [UInt8] { try await read(upTo: LinkSocket.turn) }

    func send(_ bytes: [UInt8]) async throws { try await write(bytes) }

    func finish() { shutdownWrite() }
}
